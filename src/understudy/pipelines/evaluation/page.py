"""The page of an evaluated video: what counts most, pictures, figures, curves, and how it was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from understudy import __version__
from understudy.metrics.chart import Chart, Curve
from understudy.metrics.page import number_text
from understudy.metrics.report import (
    Figure,
    Gallery,
    Histogram,
    Paragraphs,
    Part,
    PictureRow,
    Report,
    Sheet,
    Slider,
    Table,
)
from understudy.pipelines.evaluation.findings import Evaluation
from understudy.pipelines.evaluation.pictures import Shown, apart, read_pictures, trouble
from understudy.pipelines.evaluation.scores import BY_NAME, MEASURES, PERCENT, Measure, Score

_SHEET = 24
"""Pictures of the contact sheet."""
_ARROWS = {"high": "↑", "low": "↓", "zero": "0 is best", "one": "1 is best", "neither": ""}

PAPER: tuple[tuple[str, float, float, float, float, float], ...] = (
    ("DeepFakes (original autoencoder)", 0.71, 0.41, 0.69, 1.15, 4.75),
    ("Nirkin et al. 2018", 0.65, 0.50, 0.66, 0.35, 6.01),
    ("DeepFaceLab, Quick96", 0.73, 0.39, 0.61, 0.73, 1.12),
    ("DeepFaceLab, LIAEHD + GAN + TrueFace", 0.80, math.nan, 0.58, 0.65, 0.83),
)
"""Petrov et al., "DeepFaceLab: integrated, flexible and extensible face-swapping framework", tables 1 and 2:
SSIM, perceptual distance, verification, landmarks, pose."""
_COLUMNS = ("ssim_target", "perceptual_target", "identity_source", "landmarks", "pose")


def evaluation_report(evaluation: Evaluation, pictures: int) -> Report:
    """The page and the JSON of an evaluation.

    Args:
        evaluation: what was found.
        pictures: best and worst frames to show, of each.
    """
    bad = trouble(evaluation.columns)
    gap = max(1, min(round(evaluation.rate), evaluation.frames // (2 * max(1, pictures) + 1)))
    worst, best = apart(bad, pictures, gap), apart(-bad, pictures, gap)
    spaced = (
        np.linspace(0, evaluation.frames - 1, min(_SHEET, evaluation.frames)).round().astype(int).tolist()
    )
    shown = read_pictures(evaluation, sorted({*worst, *best, *spaced}))
    inputs = evaluation.inputs
    return Report(
        title=f"{inputs.result.name}, measured",
        subtitle=f"{evaluation.source.name} put into {inputs.target.name}: {evaluation.frames} frames, "
        f"{evaluation.frames / evaluation.rate:.1f} s. Measured by understudy {__version__}.",
        figures=tuple(_headline(evaluation)),
        parts=tuple(_parts(evaluation, shown, worst, best, spaced)),
        data=evaluation.to_json(),
    )


def _parts(
    evaluation: Evaluation, shown: dict[int, Shown], worst: list[int], best: list[int], spaced: list[int]
) -> Iterator[Part]:
    warnings = (*evaluation.remarks, *(event.message for event in evaluation.warnings()))
    if warnings:
        yield Paragraphs(title="Know this first", texts=warnings, bullets=len(warnings) > 1, strong=True)
    yield _slider(evaluation, shown, worst, best)
    yield _scores(evaluation)
    yield _paper(evaluation)
    yield from _charts(evaluation)
    how = _how_chosen(evaluation)
    yield _gallery("Worst frames", evaluation, shown, worst, how)
    yield _gallery("Best frames", evaluation, shown, best)
    yield _source(evaluation)
    yield Sheet(
        title="Contact sheet",
        note="The swapped face, evenly spaced over the video; the frame and its second below.",
        pictures=tuple(
            (_moment(evaluation, place), shown[place].close[1]) for place in spaced if place in shown
        ),
    )
    yield from _histograms(evaluation)
    yield _meanings(evaluation)
    yield _provenance(evaluation)


# ------------------------------------------------------------------------------------------------ figures


def _headline(evaluation: Evaluation) -> Iterator[Figure]:
    found, counts, follows = evaluation.scores, evaluation.counts(), evaluation.correlations

    def one(name: str, label: str, note: str) -> Iterator[Figure]:
        if name in found and found[name].n:
            measure = BY_NAME[name]
            unit = measure.unit.removesuffix(" of the eye distance").removesuffix(" of full scale")
            yield Figure(
                label=label, value=found[name].value, unit=unit, digits=measure.digits,
                note=f"{note}; n = {found[name].n}",
            )  # fmt: skip

    yield from one("psnr_truth", "PSNR against the exact swap", "inside the face")
    yield from one("ssim_truth", "SSIM against the exact swap", "inside the face")
    yield from one("closer", "closer to the source", "of the described frames")
    target = found.get("identity_target")
    beside = "" if target is None else f", {target.value:.2f} to the target"
    yield from one("identity_source", "identity to the source", f"distance; below 0.6 is one person{beside}")
    yield from one("pose", "pose is off by", "the paper's best 0.83°")
    yield from one("landmarks", "landmarks are off by", "of the eye distance")
    if "mouth" in follows:
        yield Figure(
            label="mouth follows", value=follows["mouth"], note="correlation with the target; 1 is exact"
        )
    yield from one("flicker", "flicker added", "of full scale; 0 is as steady as the footage")
    yield Figure(
        label="frames not swapped", value=counts["not_swapped"], digits=0,
        note=f"of {counts['frames'] - counts['without_a_face']} with a face; lost in {counts['face_lost']}",
    )  # fmt: skip


def _interval(found: Score, digits: int) -> str:
    if not math.isfinite(found.low):
        return "–"
    return f"{number_text(found.low, digits)} … {number_text(found.high, digits)}"


def _scores(evaluation: Evaluation) -> Table:
    found = evaluation.scores
    rows: list[tuple[str, ...]] = []
    known = [measure for measure in MEASURES if measure.name in found and found[measure.name].n]
    for group, measures in itertools.groupby(known, lambda measure: measure.group):
        rows.append((group,))
        for measure in measures:
            one, digits = found[measure.name], measure.digits
            tail = number_text(one.worst, digits) if measure.better in ("high", "low") else ""
            numbers = (number_text(one.median, digits), tail, str(one.n))
            mean, span = number_text(one.value, digits), _interval(one, digits)
            rows.append((measure.label, mean, measure.unit, _ARROWS[measure.better], span, *numbers))
    return Table(
        title="All figures",
        columns=("", "mean", "", "better", "95 % interval", "median", "worst 5 %", "frames"),
        rows=tuple(rows),
        numeric=(1, 4, 5, 6, 7),
        note="Means over the frames. The interval is a bootstrap over seconds of this one video: how much a "
        "figure "
        "hangs on which part of it was seen, not what other footage would give.",
    )


def _paper(evaluation: Evaluation) -> Table:
    found = evaluation.scores

    def cell(name: str) -> str:
        digits = 2
        return number_text(found[name].value, digits) if name in found else "–"

    rows = [(name, *(number_text(value, 2) for value in values)) for name, *values in PAPER]
    mine = (evaluation.inputs.result.name, *(cell(name) for name in _COLUMNS))
    return Table(
        title="Beside the DeepFaceLab paper",
        columns=("", "SSIM ↑", "perceptual ↓", "verification ↓", "landmarks ↓", "pose ↓"),
        rows=(*rows, mine),
        marked=(len(rows),),
        numeric=(1, 2, 3, 4, 5),
        note="The footage differs: the paper's figures are means over 500 videos of FaceForensics++, this "
        "is one "
        "video of yours, so a better number here proves nothing. The paper does not state the unit of its "
        "landmarks, "
        "so that column cannot be compared; ours is per cent of the eye distance. Its SSIM, perceptual "
        "network and "
        "angles also come from other code. An untouched video would win the columns SSIM, landmarks and "
        "pose.",
    )


# ------------------------------------------------------------------------------------------------ pictures


def _moment(evaluation: Evaluation, place: int) -> str:
    columns = evaluation.columns
    return f"{int(columns['frame'][place])} · {columns['time'][place]:.2f} s"


def _label(evaluation: Evaluation, place: int) -> str:
    columns = evaluation.columns
    parts = [f"frame {int(columns['frame'][place])}, {columns['time'][place]:.2f} s"]
    for name in ("psnr_truth", "landmarks", "pose", "mouth", "identity_source"):
        values = columns.get(name)
        if values is not None and math.isfinite(values[place]):
            measure = BY_NAME[name]
            number = values[place] * (100.0 if name in PERCENT else 1.0)
            unit = measure.unit.removesuffix(" of the eye distance")
            parts.append(
                f"{measure.label} {number_text(number, measure.digits)}{' ' if unit == 'dB' else ''}{unit}"
            )
    return "; ".join(parts)


def _slider(evaluation: Evaluation, shown: dict[int, Shown], worst: list[int], best: list[int]) -> Slider:
    named = [("best", best[:2]), ("worst", worst[:2])]
    pairs = tuple(
        (f"{name}: frame {_moment(evaluation, place)}", *_same_size(shown[place]))
        for name, places in named
        for place in places
        if place in shown
    )
    return Slider(
        title="Before and after",
        names=("target", "swap"),
        pairs=pairs,
        note="Drag the edge, or focus it and use the arrow keys.",
    )


def _same_size(shown: Shown) -> tuple[np.ndarray, np.ndarray]:
    first, second = shown.whole[:2]
    height, width = min(first.shape[0], second.shape[0]), min(first.shape[1], second.shape[1])
    return first[:height, :width], second[:height, :width]


def _how_chosen(evaluation: Evaluation) -> str:
    if "psnr_truth" in evaluation.columns:
        return "Chosen by PSNR against the exact swap, some way apart."
    return (
        "Chosen by how far landmarks, pose, expression, mouth, lids, colour, flicker and identity together "
        "lie above "
        "their medians in this video, some way apart. Bad here means bad for this video."
    )


def _gallery(
    title: str, evaluation: Evaluation, shown: dict[int, Shown], places: list[int], note: str = ""
) -> Gallery:
    names = ("target", "swap") + (("exact swap",) if evaluation.inputs.truth is not None else ())
    rows = tuple(
        PictureRow(label=_label(evaluation, place), pictures=shown[place].close)
        for place in places
        if place in shown
    )
    return Gallery(title=title, columns=names, rows=rows, note=note)


def _source(evaluation: Evaluation) -> Sheet:
    source = evaluation.source
    return Sheet(
        title="The source",
        note=f"Identity is the mean of {source.faces} faces of {source.name}.",
        pictures=tuple((f"{number + 1}", picture) for number, picture in enumerate(source.pictures)),
    )


# ------------------------------------------------------------------------------------------------ curves


_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("PSNR against the exact swap", "dB", (("psnr_truth", "inside the face"),)),
    (
        "Identity",
        "distance",
        (("identity_source", "swap to the source"), ("identity_target", "swap to the target")),
    ),
    ("Mouth opening", "eye distances", (("mouth_before", "target"), ("mouth_after", "swap"))),
    ("Lid closure", "0 open, 1 shut", (("lids_before", "target"), ("lids_after", "swap"))),
    ("Yaw", "degrees, to the picture's right", (("yaw_before", "target"), ("yaw_after", "swap"))),
    ("Gaze", "to the picture's right", (("gaze_before", "target"), ("gaze_after", "swap"))),
    ("Landmarks off the target's", "eye distances", (("landmarks", "swap"),)),
    ("Structure against the target", "SSIM", (("ssim_target", "inside the face"),)),
    ("Flicker added", "of full scale", (("flicker", "swap less target"), ("brightness", "jumps of colour"))),
)


def _charts(evaluation: Evaluation) -> Iterator[Chart]:
    columns, follows = evaluation.columns, evaluation.correlations
    for title, label, lines in _CHARTS:
        curves = [
            _curve(columns["time"], columns[name], said)
            for name, said in lines
            if name in columns and np.isfinite(columns[name]).any()
        ]
        if curves:
            name = lines[0][0].removesuffix("_before")
            r = follows.get(name, math.nan)
            said = f"{title}: follows with r = {number_text(r, 2)}" if math.isfinite(r) else title
            yield Chart(title=said, x_label="seconds of the target", y_label=label, curves=tuple(curves))


def _curve(time: Float64[np.ndarray, " n"], values: Float64[np.ndarray, " n"], name: str) -> Curve:
    known = np.isfinite(values)
    return Curve(name=name, x=time[known].tolist(), y=values[known].tolist())


def _histograms(evaluation: Evaluation) -> Iterator[Histogram]:
    columns = evaluation.columns
    if "identity_source" in columns:
        yield Histogram(
            title="Identity, how often",
            x_label="distance of identity vectors",
            series=(
                ("to the source", columns["identity_source"]),
                ("to the target", columns["identity_target"]),
            ),
            note="The further the two lie apart, the surer it is who is seen. The dashed lines are means.",
        )
    for name in ("landmarks", "pose", "mouth"):
        if name in columns:
            measure = BY_NAME[name]
            factor = 100.0 if name in PERCENT else 1.0
            yield Histogram(
                title=f"{measure.label.capitalize()}, how often",
                x_label=f"{measure.label} off, {measure.unit}",
                series=(("swap", columns[name] * factor),),
            )


# ------------------------------------------------------------------------------------------------ words


def _meanings(evaluation: Evaluation) -> Table:
    def said(measure: Measure) -> tuple[str, str, str]:
        return measure.label, measure.group, measure.meaning

    return Table(
        title="What the figures mean",
        columns=("", "", ""),
        rows=tuple(said(measure) for measure in MEASURES if measure.name in evaluation.columns),
    )


def _provenance(evaluation: Evaluation) -> Paragraphs:
    about, counts = evaluation.to_json(), evaluation.counts()
    names = [
        f"{what}: {about[what]['name']}"
        + (f", fingerprint {about[what]['fingerprint'][:16]}" if "fingerprint" in about[what] else "")
        for what in ("result", "target", "source", "truth")
        if about[what]
    ]
    settings = evaluation.settings
    found = ", ".join(str(settings[kind]["name"]) for kind in ("detector", "landmarker", "embedder"))
    return Paragraphs(
        title="How this was measured",
        texts=(
            f"By understudy {__version__}, {about['measured']}. Files: {'; '.join(names)}.",
            f"{counts['frames']} frames paired; a face was found in "
            f"{counts['frames'] - counts['without_a_face']} of "
            "the target's. Faces were found in the target and looked for at the same place of the swapped "
            "video, by "
            f"{found}; both were read through one alignment. Every "
            f"{_ordinal(int(settings['identity_every']))} frame "
            "was described for identity.",
            "Distances of identity are those of the network that is named, which has its own blind spots: "
            "it is also "
            "what chose the persons at extraction. Landmarks, pose and gaze of both videos come from one "
            "landmark "
            "network, whose errors are in every figure of what the face does.",
            f"Settings: {settings}.",
        ),
    )


def _ordinal(number: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(number, f"{number}th")
