"""``understudy mask``: a network that knows which pixels are face, trained by the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.actions import Actions, dispatch, faces_first
from understudy.cli.show import console, follow
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.words import require_folder, seconds_of
from understudy.errors import ConfigError
from understudy.faces.faceset import FaceSet
from understudy.pipelines.runs import mask_apply, mask_carry, segmentation
from understudy.training.bounds import bounded
from understudy.training.rundir import RunFolder


@dataclass(frozen=True, kw_only=True)
class Train(segmentation.MaskTrainSettings):
    """The flags of ``mask train``."""

    faces: tuple[Path, ...] = ()
    """Face sets with labels: masks/*.json (polygons) or masks/*.png (painted). They may stand before the
    flags."""
    output: Path | None = None
    """Folder of the run (-o); one that is there goes on, with its own recipe."""
    time: str | None = None
    """Training time, those of earlier calls included: 90s, 10m, 2h30m."""
    steps: int | None = None
    """Training steps, those of earlier calls included."""


@dataclass(frozen=True, kw_only=True)
class Apply:
    """The flags of ``mask apply``."""

    faces: tuple[Path, ...] = ()
    """Face sets; they may stand before the flags."""
    segmenter: Path | None = None
    """The run that trained it, or its weights.safetensors."""
    again: bool = False
    """Make masks anew that a segmenter made before; painted ones stay in any case."""
    batch: int = 8
    """Faces at a time."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"batch: wanted 1 face or more at a time, got {self.batch}")


@dataclass(frozen=True, kw_only=True)
class Carry:
    """The flags of ``mask carry``."""

    faces: tuple[Path, ...] = ()
    """The face set; it may stand before the flags."""
    labels: tuple[str, ...] = ()
    """Crops on which the thing is drawn: 000123_0 000456_0. One, and a few more where the head turns far."""
    stand_off: float = 0.14
    """How far before the skin the thing is, as a fraction of the square from brows to mouth: 0.14 for
    glasses, 0 for what lies on the skin, as a plaster does."""
    everywhere: bool = False
    """Also in the other tracks of the same person, who must wear it there too."""

    def __post_init__(self) -> None:
        if not -1.0 <= self.stand_off <= 2.0:
            raise ConfigError(f"stand_off: wanted -1 to 2, got {self.stand_off}")


@dataclass(frozen=True, kw_only=True)
class Remove:
    """The flags of ``mask remove``."""

    faces: tuple[Path, ...] = ()
    """Face sets; they may stand before the flags."""
    painted: bool = False
    """Also masks that a person painted or another program made."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """The flags of ``mask show``."""

    faces: tuple[Path, ...] = ()
    """Face sets; they may stand before the flags."""
    output: Path | None = None
    """The sheet (-o), a PNG file; none: masks.png in the face set."""


_CARRY = """Carry the outline of a thing that is fixed to the head (glasses, an eye patch) from the crops on
which it is drawn to every face of their tracks, as the head moves; merging then leaves it as it was filmed.

Draw it as polygons in masks/000123_0.json, with corners in pixels of a crop of the given size:
{"size": 256, "polygons": [{"kind": "exclude", "points": [[60, 90], [110, 88], [108, 120]]}]}
or paint masks/000123_0.png: white is face, black the thing. Draw generously what is to be kept: rims, bridge
and arms, and the glass where it shines. A second drawing from another side helps where the head turns by
more than 20 degrees: each face gets the one whose pose is nearest.

Masks that a person painted or a segmenter made stay as they are; those that were carried before are made
anew. Look at masks.png in the face set."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = "Which pixels of a crop are face and which are hair, a hand or a cup before it."
    begin = (
        "understudy mask train --performers 40 --time 2h -o runs/mask",
        "understudy mask apply faces/target --segmenter runs/mask",
        "understudy mask carry faces/target --labels 000123_0",
    )
    return dispatch("mask", arguments, _ACTIONS, words, begin, "[FACES ...] ")


def _open(paths: Sequence[Path], action: str) -> list[FaceSet]:
    if not paths:
        raise ConfigError(f"mask {action}: wanted at least one face set; see understudy mask {action} --help")
    return [FaceSet.open(path) for path in paths]


def _train(arguments: Sequence[str]) -> int:
    command = config.parse(
        Train(),
        faces_first(arguments),
        prog="understudy mask train",
        description="Train a mask network on labelled faces, on performers, or on both. Ctrl-C saves and "
        "ends; the same command goes on as if never stopped.",
    )
    if command.output is None:
        raise ConfigError("mask train: wanted --output RUN; see understudy mask train --help")
    require_folder(command.output, "output")
    sets = [FaceSet.open(path) for path in command.faces]
    seconds = seconds_of(command.time) if command.time is not None else None
    if (command.output / "recipe.toml").is_file():
        folder = RunFolder(command.output)
    else:
        base = segmentation.MaskTrainSettings
        settings = config.merge(base(), config.base_of(command, base))
        folder = segmentation.start(bounded(settings, command.steps, seconds), sets, command.output)
    done = follow_stoppable(
        lambda stop: segmentation.train(
            folder,
            sets,
            steps=command.steps,
            time=seconds,
            device=command.device if command.device != "auto" else None,
            stop=stop,
        )
    )
    console.print(f"make masks with:\n  understudy mask apply FACES --segmenter {escape(str(folder.path))}")
    return exit_code(done)


def _apply(arguments: Sequence[str]) -> int:
    command = config.parse(
        Apply(),
        faces_first(arguments),
        prog="understudy mask apply",
        description="Write a mask for every face that has none. An interrupted call goes on where it was.",
    )
    if command.segmenter is None:
        raise ConfigError("mask apply: wanted --segmenter RUN; see understudy mask apply --help")
    for faces in _open(command.faces, "apply"):
        again, device, batch = command.again, command.device, command.batch
        follow(mask_apply.apply_masks(command.segmenter, faces, again=again, device=device, batch=batch))
        console.print(escape(f"look at {faces.path / mask_apply.SHEET}"))
    return 0


def _carry(arguments: Sequence[str]) -> int:
    command = config.parse(
        Carry(),
        faces_first(arguments),
        prog="understudy mask carry",
        description=_CARRY,
    )
    if not command.labels:
        raise ConfigError("mask carry: wanted --labels CROP …; see understudy mask carry --help")
    if len(command.faces) != 1:
        raise ConfigError(f"mask carry: wanted one face set, got {len(command.faces)}")
    for faces in _open(command.faces, "carry"):
        labels, off, wide = command.labels, command.stand_off, command.everywhere
        follow(mask_carry.carry_masks(faces, labels, stand_off=off, everywhere=wide))
        console.print(escape(f"look at {faces.path / mask_apply.SHEET}"))
    return 0


def _remove(arguments: Sequence[str]) -> int:
    command = config.parse(
        Remove(),
        faces_first(arguments),
        prog="understudy mask remove",
        description="Remove the masks that a segmenter made. Polygons are never removed.",
    )
    for faces in _open(command.faces, "remove"):
        follow(mask_apply.remove_masks(faces, painted=command.painted))
    return 0


def _show(arguments: Sequence[str]) -> int:
    command = config.parse(
        Show(),
        faces_first(arguments),
        prog="understudy mask show",
        description="Count the masks of face sets and write a sheet of them: green a segmenter's, yellow a "
        "person's.",
    )
    sets = _open(command.faces, "show")
    if command.output is not None and len(sets) > 1:
        raise ConfigError("mask show: --output is for one face set")
    for faces in sets:
        counts = ", ".join(f"{name} {count}" for name, count in mask_apply.count_masks(faces).items())
        console.print(escape(f"{faces.path}: {counts}"))
        shown = [getattr(event, "path", "") for event in mask_apply.show_masks(faces, command.output)]
        for path in shown:
            console.print(escape(f"look at {path}"))
        if not shown:
            console.print(
                "no mask to look at; make some: understudy mask apply "
                f"{escape(str(faces.path))} --segmenter RUN"
            )
    return 0


_ACTIONS: Actions = {
    "train": (_train, "Train a mask network on labelled faces and on performers."),
    "apply": (_apply, "Write masks into face sets with a trained network."),
    "carry": (_carry, "Carry a thing drawn on one crop, as glasses, to every face of its track."),
    "remove": (_remove, "Remove the masks that a network made."),
    "show": (_show, "Count masks and write a sheet of them."),
}
