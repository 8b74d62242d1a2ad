"""Checkpoints that cannot be lost: written aside, flushed, renamed, named by ``latest``, verified when read.

``<step>/`` holds weights, their average, the optimiser's memory and ``state.json`` with the hash of every
file and of itself. A folder in which anything is missing or altered is not a checkpoint; the one before it is
used.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from understudy import durable
from understudy.errors import CheckpointError
from understudy.training.tensors import fill_tensors, read_tensors, sha256_of, size_of

FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Everything that a run needs to go on."""

    step: int
    """Steps that have been done."""
    weights: Mapping[str, Tensor]
    """The module's ``state_dict``."""
    optimizer: Mapping[str, Tensor]
    """As ``optim.Stepper.state`` gives it."""
    critics: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Weights of what learns against the module; empty for nothing."""
    critics_optimizer: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """The memory of their optimiser."""
    average: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Running average of the weights; empty for none."""
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the run remembers, plain data."""

    @property
    def nbytes(self) -> int:
        """Bytes on disk, nearly."""
        return sum(map(size_of, _groups(self).values()))


def _groups(checkpoint: Checkpoint) -> dict[str, Mapping[str, Tensor]]:
    """Named tensors by the file that they go to."""
    return {
        "weights": checkpoint.weights,
        "average": checkpoint.average,
        "optimizer": checkpoint.optimizer,
        "critics": checkpoint.critics,
        "critics_optimizer": checkpoint.critics_optimizer,
    }


def save(
    folder: Path, checkpoint: Checkpoint, *, best: bool = False, keep: int = 2, backups: bool = False
) -> Path:
    """Write a checkpoint, name it in ``latest``, and remove older ones.

    Args:
        folder: the run's ``checkpoints``.
        checkpoint: what to write.
        best: name it in ``best`` too.
        keep: how many of the newest stay, apart from the best.
        backups: older ones stay too, the fewer the older, see ``kept_backups``.

    Returns:
        The checkpoint's folder.

    Raises:
        OutputError: no space or no permission; what was there before is still there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{checkpoint.step:08d}"
    groups = _groups(checkpoint)
    with durable.new_folder(path, size=checkpoint.nbytes) as part:
        files = {
            f"{name}.safetensors": fill_tensors(part / f"{name}.safetensors", group)
            for name, group in groups.items()
            if group
        }
        about = {"format": FORMAT, "step": checkpoint.step, "saved": time.time()}
        state = {**about, **checkpoint.state, "files": files}
        state["sha256"] = _own_hash(state)
        durable.fill(part / "state.json", [json.dumps(state, indent=1).encode()])
    durable.write_text(folder / "latest", path.name + "\n")
    if best:
        durable.write_text(folder / "best", path.name + "\n")
    names = steps(folder)
    kept = {*names[-keep:], path.name, _named(folder, "best")}
    if backups:
        kept |= kept_backups({name: _saved_at(folder / name) for name in names}, time.time())
    for name in names:
        if name not in kept:
            durable.remove_folder(folder / name)
    return path


def kept_backups(saved: Mapping[str, float], now: float) -> set[str]:
    """Which checkpoints stay as backups: the first of each hour for a day, of each day for a month.

    Of what is older, the first of every thirty days stays. Hours and days are those of the clock, so that
    what was chosen once stays chosen as long as its kind lasts.

    Args:
        saved: when each checkpoint was made, seconds since 1970.
        now: the time, likewise.
    """
    hour, day, month = 3600, 86400, 30 * 86400
    kept: set[str] = set()
    for length, span in ((hour, day), (day, month), (month, math.inf)):
        first: dict[int, str] = {}
        for name in sorted(saved, key=lambda name: saved[name]):
            first.setdefault(int(saved[name] // length), name)
        kept |= {name for name in first.values() if now - saved[name] < span}
    return kept


def _saved_at(path: Path) -> float:
    """When a checkpoint was made; what does not say so is judged by its file."""
    try:
        text = (path / "state.json").read_text("utf-8")
        return float(json.loads(text)["saved"])
    except (ValueError, KeyError, TypeError):
        return (path / "state.json").stat().st_mtime
    except OSError:
        return 0.0  # no checkpoint any more; who is asked for the best will say so


def set_aside(folder: Path, step: int) -> Path:
    """Take a checkpoint out of use without losing it: ``<step>.fallen``.

    Returns:
        Where it lies now.
    """
    path = folder / f"{step:08d}"
    aside = path.with_name(f"{path.name}.fallen")
    durable.replace_folder(path, aside)
    return aside


def load(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint that ``latest`` names, or the newest good one.

    Args:
        folder: the run's ``checkpoints``; need not exist.

    Returns:
        The checkpoint, None where there has never been one; and why others were passed over.

    Raises:
        CheckpointError: there are checkpoints and none of them is good.
    """
    latest = _named(folder, "latest")
    names = steps(folder)[::-1]
    if latest in names:
        names.remove(latest)
        names.insert(0, latest)
    passed: list[str] = []
    for name in names:
        try:
            return read(folder / name), passed
        except CheckpointError as error:
            passed.append(str(error))
    if passed:
        raise CheckpointError(
            "no checkpoint of this run can be used: " + "; ".join(passed) + f". Bring one back from a copy, "
            f"or move {folder} away to train from the beginning"
        )
    return None, []


def read(path: Path) -> Checkpoint:
    """One checkpoint, verified.

    Raises:
        CheckpointError: something is missing, torn or altered.
    """
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_bytes())
        written, files = state.pop("sha256"), state["files"]
        whole = written == _own_hash(state)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path.name}: state.json cannot be read ({error.strerror})"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path.name}: state.json is torn or not ours ({error})") from error
    if not whole:
        raise CheckpointError(f"checkpoint {path.name}: state.json was altered")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"checkpoint {path.name}: format {state['format']}, this version reads {FORMAT}; "
            "use the version that origin.toml names"
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for name, expected in files.items():
        try:
            came = sha256_of(path / name)
        except OSError as error:
            raise CheckpointError(f"checkpoint {path.name}: {name} is missing ({error.strerror})") from error
        if came != expected:
            raise CheckpointError(f"checkpoint {path.name}: {name} is torn or was altered")
        groups[name.partition(".")[0]] = read_tensors(path / name)[0]
    return Checkpoint(
        step=state.pop("step"),
        weights=groups["weights"],
        average=groups.get("average", {}),
        optimizer=groups.get("optimizer", {}),
        critics=groups.get("critics", {}),
        critics_optimizer=groups.get("critics_optimizer", {}),
        state={key: value for key, value in state.items() if key not in ("files", "format", "saved")},
    )


def steps(folder: Path) -> list[str]:
    """Names of the checkpoints in a folder, oldest first; not verified."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def _named(folder: Path, file: str) -> str | None:
    """What the text file ``latest`` or ``best`` says."""
    try:
        return (folder / file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None  # missing or torn: the numbers of the folders say enough


def _own_hash(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def check_fit(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Check that a checkpoint is of this model.

    Raises:
        CheckpointError: names or shapes differ; the first few are named.
    """
    mine = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    wrong = [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]
    if wrong:
        shown = "; ".join(f"{n}: {theirs.get(n)} saved, {mine.get(n)} wanted" for n in sorted(wrong)[:3])
        raise CheckpointError(
            f"checkpoint {checkpoint.step} is of another model ({shown}); use the settings in recipe.toml, "
            "or begin a new run"
        )
