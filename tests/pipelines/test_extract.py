from __future__ import annotations

import pytest

from understudy.errors import ConfigError
from understudy.pipelines.extract import ExtractSettings


@pytest.mark.parametrize("size", [31, 0, -3, 4097, 1_000_000])
def test_crops_that_no_memory_holds_are_refused(size):
    with pytest.raises(ConfigError, match=f"^size: wanted 32 to 4096 pixels, got {size}"):
        ExtractSettings(size=size)
    assert ExtractSettings(size=4096).size == 4096


def test_the_side_that_is_searched_is_bounded():
    with pytest.raises(ConfigError, match=r"^search_side: wanted 64 pixels or more, got 63"):
        ExtractSettings(search_side=63)
