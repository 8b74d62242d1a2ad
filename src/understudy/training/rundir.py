"""The folder of one training run, and the swapper that comes out of it.

What lies here is the interface: people, the studio and merge read it, and a person steers a run by putting
files named ``save``, ``preview`` or ``stop`` into ``inbox/``.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import platform
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

import understudy
from understudy import durable
from understudy.config import merge, to_toml
from understudy.errors import CheckpointError, ConfigError
from understudy.events import Event, Warned
from understudy.training.tensors import read_tensors, write_tensors

COMMANDS = ("save", "preview", "stop")
FORMAT = 1
S = TypeVar("S")


class RunFolder:
    """One run on disk.

    Args:
        path: an existing run; ``create`` makes a new one.
        guest: only look at it: for the processes of a run that do not lead it.

    Raises:
        CheckpointError: there is no run.
    """

    def __init__(self, path: Path, *, guest: bool = False) -> None:
        if not (path / "recipe.toml").is_file():
            raise CheckpointError(f"{path}: not the folder of a run (it has no recipe.toml)")
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.previews = path / "previews"
        self.inbox = path / "inbox"
        self.swapper = path / "swapper"
        self.events = path / "events.jsonl"
        if guest:
            return
        for folder in (self.checkpoints, self.previews, self.inbox, self.swapper):
            folder.mkdir(exist_ok=True)  # zip programs and people drop empty folders
        for folder in (path, self.checkpoints, self.previews, self.swapper):
            durable.sweep(folder)

    @classmethod
    def create(
        cls, parent: Path, model: str, recipe: Mapping[str, Any], origin: Mapping[str, Any]
    ) -> RunFolder:
        """Make the folder of a new run.

        Args:
            parent: the project's ``runs``; made if it does not exist.
            model: name of the model, part of the folder's name; never a person's.
            recipe: every setting, plain data.
            origin: see ``make_origin``.

        Raises:
            OutputError: no space, no permission.
        """
        with durable.explained(parent):
            parent.mkdir(parents=True, exist_ok=True)
        durable.sweep(parent)
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        names = (f"{stamp}_{model}" + (f"-{n}" if n > 1 else "") for n in range(1, 1000))
        path = next(parent / name for name in names if not (parent / name).exists())
        return cls._fill(path, recipe, origin)

    @classmethod
    def create_at(cls, path: Path, recipe: Mapping[str, Any], origin: Mapping[str, Any]) -> RunFolder:
        """Make the folder of a new run under a name that the user chose; see ``create``.

        Raises:
            ConfigError: something else lies there.
            OutputError: no space, no permission.
        """
        if path.is_dir() and any(path.iterdir()):
            raise ConfigError(f"output: {path} holds something else; choose a new folder")
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return cls._fill(path, recipe, origin)

    @classmethod
    def _fill(cls, path: Path, recipe: Mapping[str, Any], origin: Mapping[str, Any]) -> RunFolder:
        with durable.new_folder(path) as part:
            durable.fill(part / "recipe.toml", [to_toml(recipe).encode()])
            durable.fill(part / "origin.toml", [to_toml(origin).encode()])
        return cls(path)

    def settings(self, defaults: S, section: str, otherwise: str) -> S:
        """The settings with which the run was started.

        Args:
            defaults: what the recipe is laid over.
            section: of the recipe.
            otherwise: what the run is not, if they cannot be read.

        Raises:
            CheckpointError: it trains something else, or this version cannot read them.
        """
        try:
            return merge(defaults, self.recipe[section])
        except (KeyError, ConfigError) as error:
            raise CheckpointError(f"{self.path / 'recipe.toml'}: {otherwise} ({error})") from None

    @property
    def recipe(self) -> dict[str, Any]:
        """Every setting of the run, plain data."""
        return tomllib.loads((self.path / "recipe.toml").read_text("utf-8"))

    @property
    def origin(self) -> dict[str, Any]:
        """Where the run comes from."""
        return tomllib.loads((self.path / "origin.toml").read_text("utf-8"))

    def remarks_on(self, digests: Sequence[str]) -> list[Event]:
        """A warning where these are not the hashes of the face sets that the run was started with."""
        if list(self.origin["face_sets"].values()) == list(digests):
            return []
        message = (
            "the face sets are not those that the run was started with, or have changed: it goes on, but not "
            "as it would have gone on"
        )
        return [Warned(message=message)]

    def record(self, event: Event) -> None:
        """Append an event to ``events.jsonl``."""
        line = json.dumps({"time": round(time.time(), 3), **event.to_json()}, default=str)
        durable.append_line(self.events, line)

    def history(self) -> list[dict[str, Any]]:
        """All recorded events; what a power cut tore is passed over."""
        if not self.events.exists():
            return []
        events: list[dict[str, Any]] = []
        for line in self.events.read_text("utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
        return events

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace ``status.json``."""
        text = json.dumps({**status, "updated": round(time.time(), 3)}, indent=1)
        durable.write_text(self.path / "status.json", text + "\n", flush=False)

    def take_commands(self) -> set[str]:
        """Commands that were put into ``inbox``, which are removed from it."""
        found: set[str] = set()
        for name in COMMANDS:
            with contextlib.suppress(FileNotFoundError):
                (self.inbox / name).unlink()
                found.add(name)
        return found


def make_origin(seed: int, face_sets: Mapping[str, str], **more: object) -> dict[str, Any]:
    """What a run says about where it comes from.

    Args:
        seed: of the run.
        face_sets: hash of each face set, under ``source`` and ``target``.
        more: further plain data.
    """
    return {
        "understudy": understudy.__version__,
        "commit": _commit() or "none",
        "seed": seed,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "face_sets": dict(face_sets),
        **more,
    }


def _commit() -> str | None:
    """The commit of the checkout that runs; None for an installed package."""
    repository = Path(understudy.__file__).resolve().parents[2]
    git = repository / ".git"
    if not (repository / "pyproject.toml").is_file() or not git.is_dir():
        return None
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        if (git / reference).is_file():
            return (git / reference).read_text().strip()
        packed = (git / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(reference)), None)
    except OSError:
        return None


# -------------------------------------------------------------------------------------------------- swappers


@dataclass(frozen=True, kw_only=True, eq=False)
class SwapperFiles:
    """A trained swapper as it lies on disk."""

    model: str
    """Name of the model."""
    settings: Mapping[str, Any]
    """The model's settings, plain data; crop and coverage are among them."""
    weights: Mapping[str, Tensor]
    """For ``load_state_dict``."""
    step: int
    """Steps it was trained."""


def save_swapper(folder: Path, swapper: SwapperFiles, **more: object) -> None:
    """Write all that merge needs: ``weights.safetensors``, which alone is enough, and ``swapper.toml``.

    Both files are replaced one by one, whole; the weights carry model and settings themselves, so that the
    pair is never mixed.

    Raises:
        OutputError: no space, no permission.
    """
    about = {
        "format": FORMAT,
        "model": swapper.model,
        "step": swapper.step,
        "understudy": understudy.__version__,
        **more,
        "settings": dict(swapper.settings),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "weights.safetensors", swapper.weights, {"swapper": json.dumps(about)})
    durable.write_text(folder / "swapper.toml", to_toml(about))


def weights_file(place: Path) -> Path:
    """The file of weights of a run, of the folder in it, or the file itself."""
    for folder in (place / "swapper", place):
        if (folder / "weights.safetensors").is_file():
            return folder / "weights.safetensors"
    return place / "weights.safetensors" if place.is_dir() else place


def require_weights(place: Path) -> Path:
    """``weights_file`` of what a person named, if it is there.

    Raises:
        CheckpointError: it is not; the message lists what lies near that name.
    """
    file = weights_file(place)
    if file.is_file():
        return file
    if (place / "recipe.toml").is_file():
        raise CheckpointError(f"{place}: this run has saved no swapper yet; train it further")
    what = "no weights are here" if place.exists() else "there is no such run or swapper"
    near = _trained_near(place)
    there = f"there are: {', '.join(map(str, near))}" if near else "none is near that name"
    raise CheckpointError(
        f"{place}: {what}; wanted a run that has saved a swapper, the swapper folder in it, or its "
        f"weights.safetensors ({there})"
    )


def _trained_near(place: Path, most: int = 6) -> list[Path]:
    """Runs with weights in the place and beside it, those that were begun last first."""
    found = {
        file.parent.parent
        for folder in (place, place.parent)
        for runs in (folder, folder / "runs")
        for file in runs.glob("*/swapper/weights.safetensors")
    }
    return sorted(found, key=lambda run: run.name, reverse=True)[:most]


def load_swapper_files(folder: Path) -> SwapperFiles:
    """What ``save_swapper`` wrote, verified.

    Args:
        folder: a run, its ``swapper`` folder, or the ``weights.safetensors`` in it.

    Raises:
        CheckpointError: missing, torn, altered or of another version.
    """
    file = require_weights(folder)
    weights, metadata = read_tensors(file)
    try:
        about: dict[str, Any] = json.loads(metadata["swapper"])
        if about["format"] != FORMAT:
            raise CheckpointError(f"{file}: format {about['format']}, this version reads {FORMAT}")
        return SwapperFiles(
            model=about["model"], settings=about["settings"], weights=weights, step=about["step"]
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: weights, but not of a swapper ({error})") from error
