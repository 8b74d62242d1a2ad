"""The page of a comparison: figures with their differences, curves, pictures where they differ most."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from understudy import __version__
from understudy.metrics.chart import Chart, Curve
from understudy.metrics.page import number_text
from understudy.metrics.report import Figure, Gallery, Paragraphs, Part, PictureRow, Report, Slider, Table
from understudy.performers.truth import SWAP_VIDEO
from understudy.pipelines.evaluation.contenders import Contender, Difference, difference, plain
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.evaluation.pictures import apart, trouble, whole_frames
from understudy.pipelines.evaluation.scores import BY_NAME, MEASURES, Measure

_FIRST = ("psnr_truth", "identity_source", "pose", "mouth", "landmarks", "flicker")
"""Figures for the top of the page, if two contenders can be told apart by them."""


def comparison_report(contenders: Sequence[Contender], wanted: Inputs, grid: str, pictures: int) -> Report:
    """The page and its JSON.

    Args:
        contenders: the videos; the first is what the others are compared with.
        wanted: target and truth.
        grid: file name of the grid video beside the page; empty for none.
        pictures: rows of pictures.
    """
    names = " and ".join(one.name for one in contenders)
    return Report(
        title=f"{len(contenders)} swaps of {wanted.target.name}",
        subtitle=f"{names}. Compared by understudy {__version__}.",
        figures=tuple(_figures(contenders)),
        parts=tuple(_parts(contenders, wanted, grid, pictures)),
        data=plain(contenders),
    )


def _figures(contenders: Sequence[Contender]) -> Iterator[Figure]:
    if len(contenders) != 2:
        return
    for name in _FIRST:
        measure = BY_NAME[name]
        found = difference(contenders[0], contenders[1], measure)
        if found is not None:
            unit = measure.unit.removesuffix(" of the eye distance").removesuffix(" of full scale")
            yield Figure(
                label=f"{measure.label}, B less A",
                value=found.mean,
                unit=unit,
                digits=measure.digits,
                note=f"{verdict(measure, found)}; n = {found.n}",
            )


def verdict(measure: Measure, found: Difference) -> str:
    """Whether a contender is better than the first, in a word or two."""
    if not math.isfinite(found.low):
        return "too short to say"
    if not found.told_apart:
        return "not told apart"
    if measure.better not in ("high", "low"):
        return "more" if found.mean > 0 else "less"
    return "better" if (found.mean > 0) == (measure.better == "high") else "worse"


def _parts(contenders: Sequence[Contender], wanted: Inputs, grid: str, pictures: int) -> Iterator[Part]:
    if grid:
        yield Paragraphs(
            title="Video",
            texts=(f"{grid} beside this page shows them side by side, frame by frame in step.",),
        )
    yield _table(contenders)
    shown = _where(contenders, pictures)
    yield from _pictures(contenders, wanted, shown)
    yield from _charts(contenders)
    yield Paragraphs(
        title="What this means",
        texts=(
            "A difference is the mean over the frames that both videos have, frame against the same frame; "
            "its "
            "interval is a bootstrap over seconds of this one video. An interval without 0 says that the "
            "two can "
            "be told apart on this footage; it says nothing about other footage, and with many figures one "
            "or "
            "two will be told apart by chance.",
        ),
    )


def _table(contenders: Sequence[Contender]) -> Table:
    first, others = contenders[0], contenders[1:]
    rows: list[tuple[str, ...]] = []
    known = [measure for measure in MEASURES if any(one.score(measure) for one in contenders)]
    for group, measures in itertools.groupby(known, lambda measure: measure.group):
        rows.append((group,))
        for measure in measures:
            found = [one.score(measure) for one in contenders]
            cells = [number_text(one.value, measure.digits) if one else "–" for one in found]
            for other in others:
                cells += _difference_cells(measure, difference(first, other, measure))
            rows.append((measure.label, measure.unit, *cells))
    heads = [one.name for one in contenders]
    for other in others:
        heads += [f"{other.name[0]} − A", "95 % interval", ""]
    right = [place for place, name in enumerate(("", "", *heads)) if name]
    return Table(title="Figures", columns=("", "", *heads), rows=tuple(rows), numeric=tuple(right))


def _difference_cells(measure: Measure, found: Difference | None) -> list[str]:
    if found is None:
        return ["–", "–", ""]
    span = f"{number_text(found.low, measure.digits)} … {number_text(found.high, measure.digits)}"
    return [
        number_text(found.mean, measure.digits),
        span if math.isfinite(found.low) else "–",
        verdict(measure, found),
    ]


def _where(contenders: Sequence[Contender], count: int) -> list[int]:
    """Frames of the target at which the contenders differ most in how bad they are."""
    frames = contenders[0].columns["frame"]
    for other in contenders[1:]:
        frames = np.intersect1d(frames, other.columns["frame"])
    bad = []
    for one in contenders:
        place = np.searchsorted(one.columns["frame"], frames)
        bad.append(trouble(one.columns)[place])
    unlike = np.ptp(np.stack(bad), axis=0)
    gap = max(1, min(round(contenders[0].rate), len(frames) // (count + 1) or 1))
    return [int(frames[place]) for place in apart(unlike, count, gap)]


def _pictures(contenders: Sequence[Contender], wanted: Inputs, frames: Sequence[int]) -> Iterator[Part]:
    videos: list[tuple[str, Path, int]] = [("target", wanted.target, 0)]
    videos += [(one.name, one.video, one.offset) for one in contenders]
    if wanted.truth is not None:
        inside = wanted.truth / SWAP_VIDEO
        videos.append(("exact swap", inside if inside.is_file() else wanted.truth, 0))
    found = [whole_frames(path, frames, offset) for _, path, offset in videos]
    usable = [frame for frame in frames if all(frame in pictures for pictures in found)]
    rate = contenders[0].rate
    first, second = found[1], found[2]
    yield Slider(
        title="A and B",
        names=(contenders[0].name, contenders[1].name),
        pairs=tuple(
            (f"frame {frame} · {frame / rate:.2f} s", first[frame], second[frame]) for frame in usable
        ),
        note="Frames in which the videos differ most in how good they are. Drag the edge, or use the arrow "
        "keys.",
    )
    rows = tuple(
        PictureRow(
            label=f"frame {frame}, {frame / rate:.2f} s",
            pictures=tuple(pictures[frame] for pictures in found),
        )
        for frame in usable
    )
    yield Gallery(title="Side by side", columns=tuple(name for name, _, _ in videos), rows=rows)


_CHARTS = (
    ("psnr_truth", "PSNR against the exact swap", "dB"),
    ("identity_source", "Identity", "distance to the source"),
    ("mouth", "Mouth opening off the target's", "eye distances"),
    ("pose", "Pose off the target's", "degrees"),
    ("landmarks", "Landmarks off the target's", "eye distances"),
    ("flicker", "Flicker added", "of full scale"),
)


def _charts(contenders: Sequence[Contender]) -> Iterator[Chart]:
    for name, title, label in _CHARTS:
        curves: list[Curve] = []
        for one in contenders:
            values = one.columns.get(name)
            if values is not None and np.isfinite(values).any():
                known = np.isfinite(values)
                curves.append(
                    Curve(name=one.name, x=one.columns["time"][known].tolist(), y=values[known].tolist())
                )
        if curves:
            yield Chart(title=title, x_label="seconds of the target", y_label=label, curves=tuple(curves))
