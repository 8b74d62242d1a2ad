"""Swapped videos of one target side by side: figures, paired differences, a grid video, a page.

Each is measured by ``evaluate`` first, unless its report lies there already. Differences are taken frame by
frame against the first one named, on the frames that both have.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from understudy import durable
from understudy.errors import ConfigError, DataError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted, Warned
from understudy.metrics.report import write_report
from understudy.performers.truth import SWAP_VIDEO
from understudy.pipelines.evaluation.compare_page import comparison_report
from understudy.pipelines.evaluation.contenders import Contender
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.findings import FORMAT, identity_of
from understudy.pipelines.evaluation.grid_video import write_grid
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.evaluation.wanted import resolve
from understudy.pipelines.footage import open_footage
from understudy.provenance.labels import fingerprint

STAGE = "compare"
GRID = "grid.mp4"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of the videos on the page."""


def compare(
    results: Sequence[Path], wanted: Inputs, folder: Path, settings: EvaluateSettings, *, grid: bool = True
) -> Iterator[Event]:
    """Measures what is not measured yet, and writes ``report.html``, ``report.json`` and ``grid.mp4``.

    Args:
        results: swapped videos or runs; the first is what the others are compared with.
        wanted: source, target and truth, for those that are not measured yet.
        folder: where the comparison goes.
        settings: how to measure.
        grid: write the grid video.

    Raises:
        ConfigError: fewer than two were named.
        DataError: they are not of one target.
        VideoError: a video cannot be read.
    """
    if len(results) < 2:
        raise ConfigError(
            "compare: wanted at least two swapped videos or runs; see understudy compare --help"
        )
    if len(results) > len(_LETTERS):
        raise ConfigError(f"compare: wanted {len(_LETTERS)} videos or runs at most, got {len(results)}")
    twice = [path for path, count in Counter(path.resolve() for path in results).items() if count > 1]
    if twice:
        raise ConfigError(f"compare: {twice[0].name} was named twice; wanted different videos or runs")
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    contenders: list[Contender] = []
    for letter, result in zip(_LETTERS, results, strict=False):
        inputs, report, before = resolve(result, wanted, None)
        yield from before
        if not _measured(report, inputs, settings):
            yield from evaluate(inputs, report, settings)
        contenders.append(_read(report, inputs.result, f"{letter}: {_name(result)}"))
    yield from _uneven(contenders)
    if grid:
        yield from _grid(folder / GRID, contenders, wanted)
    page = folder / "report.html"
    report_of = comparison_report(contenders, wanted, GRID if grid else "", settings.pictures)
    yield Saved(path=write_report(page, report_of))
    yield StageDone(stage=STAGE, summary={"compared": len(contenders), "report": str(page)})


def _name(result: Path) -> str:
    return result.resolve().name


def _measured(folder: Path, inputs: Inputs, settings: EvaluateSettings) -> bool:
    """Whether the report there is of these very files, with a truth and the network if they are wanted."""
    data = _json(folder)
    if data is None or data.get("kind") != "evaluation" or data.get("format") != FORMAT:
        return False
    named = (("result", inputs.result), ("target", inputs.target))
    same = all(data[what].get("fingerprint") == fingerprint((path,)) for what, path in named if path.exists())
    same = same and inputs.result.exists() and data.get("source") == identity_of(inputs.source)
    looked = not (settings.perceptual or settings.network) or "perceptual_target" in data["scores"]
    return same and looked and (inputs.truth is None or data.get("truth") == identity_of(inputs.truth))


def _json(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "report.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _read(folder: Path, video: Path, name: str) -> Contender:
    data = _json(folder)
    if data is None:
        raise DataError(f"{folder / 'report.json'}: cannot be read; remove the folder and call again")
    columns = {
        column: np.array([np.nan if value is None else value for value in values], np.float64)
        for column, values in data["frames"].items()
    }
    return Contender(name=name, video=video, offset=data["offset"], rate=data["rate"], columns=columns)


def _uneven(contenders: Sequence[Contender]) -> Iterator[Event]:
    """Says which frames pair where the videos differ in length."""
    common = set(contenders[0].columns["frame"])
    for other in contenders[1:]:
        common &= set(other.columns["frame"])
    if not common:
        raise DataError("the videos have no frame of the target in common; nothing can be compared")
    for one in contenders:
        if len(one.columns["frame"]) != len(common):
            yield Warned(
                message=f"{one.name} has {len(one.columns['frame'])} frames; frames {int(min(common))} to "
                f"{int(max(common))} are in all of them, and differences are taken on those"
            )


def _grid(path: Path, contenders: Sequence[Contender], wanted: Inputs) -> Iterator[Event]:
    offset = max(one.offset for one in contenders)
    videos = [("target", wanted.target, offset)]
    videos += [(one.name, one.video, offset - one.offset) for one in contenders]
    if wanted.truth is not None:
        inside = wanted.truth / SWAP_VIDEO
        videos.append(("exact swap", inside if inside.is_file() else wanted.truth, offset))
    with open_footage(wanted.target) as reader:
        rate, total = reader.info.rate, min(len(one.columns["frame"]) for one in contenders)
    yield StageStarted(stage=STAGE, detail=f"videos side by side to {path.name}", total=total)
    started = shown = time.monotonic()
    for done in write_grid(path, videos, Fraction(rate)):
        now = time.monotonic()
        if now - shown >= 0.25:
            shown, speed = now, done / (now - started)
            left = max(0.0, (total - done) / speed)
            yield Progress(stage=STAGE, done=done, total=total, seconds_left=left, values={"fps": speed})
    yield Saved(path=path)
