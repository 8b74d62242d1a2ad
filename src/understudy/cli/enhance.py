"""``understudy enhance``: a network that draws faces larger, trained by the user on their source's faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.actions import Actions, dispatch, faces_first
from understudy.cli.show import console, follow
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.words import seconds_of
from understudy.enhancers import ENHANCERS, Enhancer
from understudy.errors import ConfigError
from understudy.faces.faceset import FaceSet
from understudy.pipelines.runs import enhance_show, enhancer
from understudy.training.bounds import bounded
from understudy.training.enhancer import write_enhancer
from understudy.training.rundir import RunFolder


@dataclass(frozen=True, kw_only=True)
class Train(enhancer.EnhanceTrainSettings):
    """The flags of ``enhance train``."""

    faces: tuple[Path, ...] = ()
    """Face sets of the source; they may stand before the flags."""
    output: Path | None = None
    """Where it goes (-o): a file that ends in .safetensors, with the run's folder beside it, or a folder. A
    run that is there goes on, with its own recipe."""
    time: str | None = None
    """Training time, those of earlier calls included: 90s, 10m, 2h30m."""
    steps: int | None = None
    """Training steps, those of earlier calls included."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """The flags of ``enhance show``."""

    faces: tuple[Path, ...] = ()
    """Face sets; they may stand before the flags."""
    enhancer: Enhancer = config.slot(ENHANCERS, "superres")
    """What draws them larger."""
    output: Path | None = None
    """The sheet (-o), a PNG file; none: enhanced.png in the face set."""
    count: int = 6
    """Faces."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count: wanted 1 face or more, got {self.count}")


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = "A small network that draws a swapped face larger than the swapper made it."
    begin = (
        "understudy enhance train faces/source --time 30m -o enhancer.safetensors",
        "understudy merge ... --composite.detail.enhancer superres \\",
        "    --composite.detail.enhancer.file enhancer.safetensors",
    )
    return dispatch("enhance", arguments, _ACTIONS, words, begin, "[FACES ...] ")


def _train(arguments: Sequence[str]) -> int:
    command = config.parse(
        Train(),
        faces_first(arguments),
        prog="understudy enhance train",
        description="Train a network on faces that are made small and bad, to draw them as they were. Ctrl-C "
        "saves and ends; the same command goes on as if never stopped.",
    )
    if command.output is None:
        raise ConfigError("enhance train: wanted --output FILE; see understudy enhance train --help")
    file = command.output if command.output.suffix == ".safetensors" else None
    path = command.output.with_suffix("") if file else command.output
    sets = [FaceSet.open(place) for place in command.faces]
    seconds = seconds_of(command.time) if command.time is not None else None
    if (path / "recipe.toml").is_file():
        folder = RunFolder(path)
    else:
        base = enhancer.EnhanceTrainSettings
        settings = config.merge(base(), config.base_of(command, base))
        folder = enhancer.start(bounded(settings, command.steps, seconds), sets, path)
    device = command.device if command.device != "auto" else None
    done = follow_stoppable(
        lambda stop: enhancer.train(folder, sets, steps=command.steps, time=seconds, device=device, stop=stop)
    )
    if file is not None:
        write_enhancer(folder.path, file)
    console.print(
        "use it with:\n  understudy merge ... --composite.detail.enhancer superres "
        f"--composite.detail.enhancer.file {escape(str(file or folder.path))}"
    )
    return exit_code(done)


def _show(arguments: Sequence[str]) -> int:
    command = config.parse(
        Show(),
        faces_first(arguments),
        prog="understudy enhance show",
        description="Write a sheet of faces: made small, interpolated, drawn by the network, as they were.",
    )
    if not command.faces:
        raise ConfigError("enhance show: wanted at least one face set; see understudy enhance show --help")
    if command.output is not None and len(command.faces) > 1:
        raise ConfigError("enhance show: --output is for one face set")
    for path in command.faces:
        faces = FaceSet.open(path)
        place = command.output or faces.path / enhance_show.SHEET
        follow(enhance_show.show(faces, command.enhancer, place, count=command.count, device=command.device))
        console.print(escape(f"look at {place}"))
    return 0


_ACTIONS: Actions = {
    "train": (_train, "Train a network on the source's faces, on performers, or on both."),
    "show": (_show, "Write a sheet of faces before and after."),
}
