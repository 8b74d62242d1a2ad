from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import make_trainer


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Any]:
    """Makes a trainer in the test's folder; a second call goes on in the same run."""
    return lambda **settings: make_trainer(tmp_path, **settings)
