"""What holds for every test: a home of its own, quiet threads, shapes checked against the signatures.

Nothing of understudy may be imported at the top of this file: the import hook comes first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import platformdirs
import pytest
from jaxtyping import install_import_hook

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "understudy"

# Read when torch loads. xdist runs one process a core; spinning threads of one would starve the other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# An int is welcome where a float is asked for (PEP 484), as type checkers have it.
TYPE_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"


def checked_modules() -> list[str]:
    """Modules whose signatures are checked at every call.

    Left out: the words of layer 0, the packages' ``__init__`` and the command line. They name Tensor for the
    type checker only, so that help needs no torch, and a name that is not there cannot be checked.
    """
    files = [file for file in PACKAGE.glob("*/*.py") if file.stem != "__init__" and file.parent.name != "cli"]
    return sorted(f"understudy.{file.parent.name}.{file.stem}" for file in files)


def own_home() -> Path:
    """A new ``UNDERSTUDY_HOME`` for this process; only the cache of weight files is the user's own.

    Keys, audit log and manifests of a test never mix with the user's, and no weight file is fetched twice.
    """
    real = os.environ.get("UNDERSTUDY_HOME") or platformdirs.user_data_dir("understudy", appauthor=False)
    weights = Path(real).expanduser() / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="understudy-test-home-"))
    (home / "weights").symlink_to(weights.resolve(), target_is_directory=True)
    return home


def pytest_configure(config: pytest.Config) -> None:
    install_import_hook(checked_modules(), TYPE_CHECKER)
    home = own_home()
    os.environ["UNDERSTUDY_HOME"] = str(home)
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped, with the reason, where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, this machine has none"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real footage for trials, if somebody put some beside the repository; never part of it."""
    folder = REPOSITORY.parent / "shared" / "clips"
    if not folder.is_dir():
        pytest.skip(f"real footage is not here ({folder.name}/ beside the repository)")
    return folder
