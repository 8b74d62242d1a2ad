"""``understudy models``: what there is to train, how it is built, and what it costs."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from understudy import config
from understudy.models import MODELS
from understudy.pipelines.runs.costs import ModelCard, describe
from understudy.pipelines.runs.train import TrainSettings
from understudy.pipelines.setup import choose_device
from understudy.training.memory import available_memory, gigabytes
from understudy.training.process import resolve_precision

_WIDTH = 100
_HEAD = f"{'model':<18}{'pixels':>10}{'weights':>12}{'GMAC a face':>20}{'memory':>12}"
_BELOW = f"{'':<18}{'':>10}{'million':>12}{'train':>12}{'swap':>8}{'to train':>12}"


@dataclass(frozen=True, kw_only=True)
class Command(TrainSettings):
    """The command's flags."""

    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line: cpu, quick96."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words[:1] = ["--model", words[0]]
    command = config.parse(
        Command(),
        words,
        prog="understudy models",
        description="List the models: weights, multiply-adds a face, memory that training takes. "
        "understudy models NAME tells how that one is built and what its parts cost. The settings of "
        "train apply: --batch, --recipe, --model.resolution…; nothing is trained.",
        sections={"train": ""},
    )
    settings = config.merge(TrainSettings(), config.base_of(command, TrainSettings))
    device = choose_device(settings.device)
    if any(word.partition("=")[0] == "--model" for word in words):
        _write(_whole(describe(settings, device)))
    else:
        _write((_HEAD, _BELOW))
        for name in MODELS.names():
            listed = dataclasses.replace(settings, model=MODELS[name]())
            _write(_row(describe(listed, device), name))
        if command.recipe or any(word.startswith("--model.") for word in words):
            label = f"{settings.model.name}: {'+'.join(command.recipe) or 'as set'}"
            _write(_row(describe(settings, device), label))
    _write(("", _conditions(settings, device.type, available_memory(device)[1])))
    return 0


def _conditions(settings: TrainSettings, device: str, total: int) -> str:
    """What the figures of memory are for, and what there is."""
    precision = resolve_precision(settings.loop.precision, device)
    where = "GPU" if device == "cuda" else "machine"
    return (
        f"memory: {settings.batch} faces of each person a step, {precision}, {settings.optimizer.name}; "
        f"this {where} has {gigabytes(total)} GB"
    )


def _write(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _row(card: ModelCard, label: str) -> list[str]:
    size = f"{card.resolution}" + (
        f"→{card.output_resolution}" if card.output_resolution != card.resolution else ""
    )
    costs = f"{_giga(card.learning.macs / 2):>12}{_giga(card.swap.macs):>8}"
    memory = f"{gigabytes(card.memory.total)} GB"
    return [
        f"{label:<18}{size:>10}{_million(card.learning.parameters):>12}{costs}{memory:>12}",
        *textwrap.wrap(card.sentence, _WIDTH - 4, initial_indent="    ", subsequent_indent="    "),
    ]


def _whole(card: ModelCard) -> list[str]:
    return [card.structure, "", _HEAD, _BELOW, *_row(card, card.name), "", *_parts(card), "", *_memory(card)]


def _parts(card: ModelCard) -> Iterator[str]:
    """A table of the parts, of a training step on one face of each person and of a swap."""
    swap = {part.name: part for part in card.swap.parts}
    yield f"{'part':<18}{'weights':>12}{'GMAC of a step':>17}{'of a swap':>12}   gives, for one face of each"
    for part in card.learning.parts:
        shapes = ", ".join("x".join(map(str, shape)) for shape in part.outputs) or "-"
        costs = f"{_giga(part.macs):>17}{_giga(swap[part.name].macs):>12}"
        yield f"{part.name:<18}{_million(part.parameters) + ' M':>12}{costs}   {shapes}"


def _memory(card: ModelCard) -> Iterator[str]:
    yield "memory to train, at the moment of a step at which most is needed:"
    for item in dataclasses.fields(card.memory):
        size = getattr(card.memory, item.name)
        yield f"    {item.name:<14}{size / 2**20:8.0f} MB"


def _million(count: int) -> str:
    return f"{count / 1e6:.1f}"


def _giga(count: float) -> str:
    return f"{count / 1e9:.2f}" if count < 9.995e9 else f"{count / 1e9:.1f}"
