"""The figures of an evaluation: what each measures, in which unit, which way is better, and how sure it is.

A figure never stands alone: with it go the number of frames that it rests on, an interval, and its tail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

Better = Literal["high", "low", "zero", "one", "neither"]
"""Which values of a figure are good; neither: an untouched frame has the best."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure."""

    name: str
    """Of its column."""
    label: str
    """For a person."""
    group: str
    """Headline under which it stands."""
    unit: str
    """Behind the number."""
    digits: int
    """Decimals shown."""
    better: Better
    """Which way is better."""
    meaning: str
    """What it compares with what, and where it comes from."""


TRUTH = "Against the exact swap"
TARGET = "Against the target's frame"
WHO = "Whose face it is"
DOES = "What the face does"
TIME = "Over time"
ALONE = "By itself"

MEASURES: tuple[Measure, ...] = (
    Measure(
        name="psnr_truth", label="PSNR", group=TRUTH, unit="dB", digits=2, better="high",
        meaning="Peak signal-to-noise ratio inside the face, against the exact swap.",
    ),
    Measure(
        name="ssim_truth", label="SSIM", group=TRUTH, unit="", digits=3, better="high",
        meaning="Structural similarity inside the face (Wang et al. 2004), against the exact swap.",
    ),
    Measure(
        name="ms_ssim_truth", label="MS-SSIM", group=TRUTH, unit="", digits=3, better="high",
        meaning="The same over five scales (Wang et al. 2003); faces of 176 pixels and more.",
    ),
    Measure(
        name="color_truth", label="colour difference", group=TRUTH, unit="ΔE", digits=2, better="low",
        meaning="CIEDE2000 inside the face, against the exact swap; 1 is just visible side by side.",
    ),
    Measure(
        name="gradient_truth", label="edges (GMSD)", group=TRUTH, unit="", digits=3, better="low",
        meaning="Deviation of gradient similarity (Xue et al. 2014); 0 for equal edges.",
    ),
    Measure(
        name="psnr_target", label="PSNR", group=TARGET, unit="dB", digits=2, better="neither",
        meaning="Peak signal-to-noise ratio inside the face, against the target's frame.",
    ),
    Measure(
        name="ssim_target", label="SSIM", group=TARGET, unit="", digits=3, better="neither",
        meaning="Structural similarity inside the face (Wang et al. 2004), against the target's frame. "
        "The paper's column. An untouched frame has 1, so that high alone is no praise.",
    ),
    Measure(
        name="ms_ssim_target", label="MS-SSIM", group=TARGET, unit="", digits=3, better="neither",
        meaning="The same over five scales (Wang et al. 2003); faces of 176 pixels and more.",
    ),
    Measure(
        name="color_target", label="colour difference", group=TARGET, unit="ΔE", digits=2, better="low",
        meaning="CIEDE2000 inside the face, against the target's frame; 1 is just visible side by side.",
    ),
    Measure(
        name="gradient_target", label="edges (GMSD)", group=TARGET, unit="", digits=3, better="neither",
        meaning="Deviation of gradient similarity (Xue et al. 2014); 0 for equal edges.",
    ),
    Measure(
        name="perceptual_target", label="perceptual distance", group=TARGET, unit="", digits=3,
        better="neither",
        meaning="Distance in a network's features, in the form of LPIPS (Zhang et al. 2018); which "
        "network stands below. Not comparable between networks.",
    ),
    Measure(
        name="identity_source", label="distance to the source", group=WHO, unit="", digits=3, better="low",
        meaning="Euclidean distance of identity vectors to the source person: the paper's verification. "
        "For dlib's vectors 0.6 and less means one person.",
    ),
    Measure(
        name="identity_target", label="distance to the target", group=WHO, unit="", digits=3, better="high",
        meaning="Euclidean distance of identity vectors to the person who was there before.",
    ),
    Measure(
        name="closer", label="closer to the source", group=WHO, unit="%", digits=0, better="high",
        meaning="Frames whose identity vector is nearer to the source than to the target.",
    ),
    Measure(
        name="retrieved", label="found in the gallery", group=WHO, unit="%", digits=0, better="high",
        meaning="Frames whose identity vector is nearer to the source than to anybody in the gallery "
        "(FaceShifter's retrieval).",
    ),
    Measure(
        name="landmarks", label="landmarks", group=DOES, unit="% of the eye distance", digits=2, better="low",
        meaning="Mean distance of 68 points in the picture, swapped and target. The source's own "
        "proportions are in it.",
    ),
    Measure(
        name="pose", label="pose", group=DOES, unit="°", digits=2, better="low",
        meaning="Euclidean distance of yaw, pitch and roll, swapped and target: the paper's column.",
    ),
    Measure(
        name="expression", label="expression", group=DOES, unit="deviations", digits=2, better="low",
        meaning="Mouth, lids and brows, each face less its person's own mean, in standard deviations of a "
        "performance; 1.4 for two performances that have nothing to do with each other.",
    ),
    Measure(
        name="mouth", label="mouth opening", group=DOES, unit="% of the eye distance", digits=2, better="low",
        meaning="Difference of the gap between the lips.",
    ),
    Measure(
        name="lids", label="lid closure", group=DOES, unit="%", digits=1, better="low",
        meaning="Difference of how far the eyes are shut; 100 is open against shut.",
    ),
    Measure(
        name="gaze", label="gaze", group=DOES, unit="°", digits=2, better="low",
        meaning="Angle between the directions in which the eyes look, within the head.",
    ),
    Measure(
        name="flicker", label="flicker", group=TIME, unit="% of full scale", digits=3, better="low",
        meaning="Warping error (Lai et al. 2018) of the swapped face less the target's own, along the "
        "target's optical flow. Below 0 it is steadier than the footage: blurred, or with less "
        "noise.",
    ),
    Measure(
        name="brightness", label="jumps of colour", group=TIME, unit="% of full scale", digits=3,
        better="low",
        meaning="Jumps of the face's mean colour from frame to frame that the target has not.",
    ),
    Measure(
        name="jitter", label="trembling of landmarks", group=TIME, unit="% of the eye distance", digits=3,
        better="low",
        meaning="Second difference of the landmarks over three frames, less the target's own.",
    ),
    Measure(
        name="sharpness", label="sharpness", group=ALONE, unit="× the target's", digits=2, better="one",
        meaning="Sharpness of the face over that of its surroundings, over the same of the target; below "
        "1 it is softer.",
    ),
    Measure(
        name="border", label="visibility of the border", group=ALONE, unit="× the target's", digits=2,
        better="one",
        meaning="Change across the face's outline over change beside it, over the same of the target; "
        "above 1 a seam.",
    ),
    Measure(
        name="neck", label="face against neck", group=ALONE, unit="ΔE more", digits=2, better="zero",
        meaning="CIEDE2000 between cheeks and throat, less the target's own.",
    ),
)  # fmt: skip
"""In the order in which they are shown."""
BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}
PERCENT = frozenset(("closer", "retrieved", "landmarks", "mouth", "lids", "flicker", "brightness", "jitter"))
"""Columns that are kept as fractions and shown as per cent."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A figure over the frames of a video."""

    value: float
    """Mean."""
    low: float
    """Lower end of the 95 % interval of the mean; NaN where there are too few frames for one."""
    high: float
    """Upper end."""
    median: float
    """Half of the frames are below."""
    worst: float
    """What the worst 5 % of the frames pass; the upper 5 % where no way along is better."""
    n: int
    """Frames that it rests on."""


def score(measure: Measure, values: Float64[np.ndarray, " n"], block: int) -> Score:
    """A figure of one video.

    Args:
        measure: which.
        values: one a frame; NaN where there is none.
        block: frames that are drawn together for the interval: neighbours are alike, and to take each for a
            witness of its own would make the interval much too small.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return Score(value=np.nan, low=np.nan, high=np.nan, median=np.nan, worst=np.nan, n=0)
    factor = 100.0 if measure.name in PERCENT else 1.0
    low, high = interval(values, block)
    tail = 5.0 if measure.better == "high" else 95.0
    numbers = (known.mean(), low, high, np.median(known), np.percentile(known, tail))
    mean, low, high, median, worst = (float(number) * factor for number in numbers)
    return Score(value=mean, low=low, high=high, median=median, worst=worst, n=len(known))


def scores(columns: Mapping[str, Float64[np.ndarray, " n"]], rate: float) -> dict[str, Score]:
    """All figures that a video has, by name.

    Args:
        columns: see ``FrameMeter.columns``.
        rate: frames a second: a second is drawn together for the intervals.
    """
    block = max(1, round(rate))
    return {m.name: score(m, columns[m.name], block) for m in MEASURES if m.name in columns}


_DRAWS = 2000
_FEWEST = 4
"""Blocks below which nothing is said about an interval."""


def interval(values: Float64[np.ndarray, " n"], block: int) -> tuple[float, float]:
    """95 % interval of the mean of a curve, by bootstrap over blocks of neighbours.

    Künsch 1989, "The jackknife and the bootstrap for general stationary observations", with blocks side by
    side; percentiles. It says how much the figure hangs on which part of this video was seen, and nothing
    about other videos.

    Args:
        values: one a frame; NaN where there is none.
        block: frames a block.

    Returns:
        Lower and upper end; NaN for fewer than four blocks.
    """
    starts = np.arange(0, len(values), block)
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known.astype(np.float64), starts)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if len(sums) < _FEWEST:
        return np.nan, np.nan
    drawn = np.random.default_rng(0).integers(0, len(sums), (_DRAWS, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
