"""What an evaluation found: columns frame by frame, scores with intervals, and how to say it in JSON.

The JSON (``report.json``) is what ``compare`` and other programs read:

    format, kind, understudy     1, "evaluation", the version that measured
    result, target, source, truth    name and fingerprint of each
    measured_with                names of detector, landmarker and embedder, and the settings
    counts                       frames, those without a face, those that were not swapped
    scores                       by name: value, low, high, median, worst, n, unit, better
    correlations                 by name: how alike the curves of target and result run
    frames                       by name: a number for each frame, null where there is none
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from understudy import __version__
from understudy.errors import NoFaceError
from understudy.events import Warned
from understudy.metrics.correlation import pearson
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.evaluation.scores import BY_NAME, Score, scores
from understudy.pipelines.person import Person
from understudy.provenance.labels import fingerprint

FORMAT = 1
"""Version of the JSON."""
FOLLOWS = ("yaw", "pitch", "mouth", "lids", "gaze")
"""Curves of the target that the result's should follow."""
_OUTSIDE = 0.06
"""Difference of the surroundings of the face from which two videos do not show the same frames."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The measured video."""

    inputs: Inputs
    """What was measured."""
    settings: Mapping[str, Any]
    """How, as plain data."""
    rate: float
    """Frames a second."""
    offset: int
    """Frame of the target that pairs with frame 0 of the result."""
    source: Person
    """Who was put in."""
    columns: Mapping[str, Float64[np.ndarray, " n"]]
    """See ``FrameMeter.columns``."""
    boxes: Mapping[int, Float64[np.ndarray, "4"]]
    """Where the face is in the target, by number of the pair."""
    remarks: tuple[str, ...] = ()
    """What did not fit, a sentence each."""

    def __post_init__(self) -> None:
        if not self.boxes:
            raise NoFaceError(
                f"{self.inputs.target}: no face was found in the {self.frames} frames that were compared; "
                "is one "
                "visible, lit, and larger than 16 pixels?"
            )

    @property
    def frames(self) -> int:
        """Frames that paired."""
        return len(self.columns.get("frame", ()))

    @property
    def scores(self) -> dict[str, Score]:
        """Every figure by name."""
        return scores(self.columns, self.rate)

    @property
    def correlations(self) -> dict[str, float]:
        """Pearson's correlation of target and result by name."""
        columns = self.columns
        return {
            name: pearson(columns[f"{name}_before"], columns[f"{name}_after"])
            for name in FOLLOWS
            if f"{name}_before" in columns
        }

    def counts(self) -> dict[str, int]:
        """Frames, and those in which something is missing."""
        seen = self.columns["target_seen"] > 0
        found = self.columns.get("found", np.full(self.frames, np.nan))
        return {
            "frames": self.frames,
            "without_a_face": int((~seen).sum()),
            "face_lost": int((found == 0).sum()),
            "not_swapped": len(self._unswapped()),
        }

    def _unswapped(self) -> Int64[np.ndarray, " m"]:
        """Frames that show the target's own face.

        Where no face is found, or the videos do not show the same moment, a small difference says nothing.
        """
        nothing = np.full(self.frames, np.nan)
        same = self.columns.get("swapped", nothing) == 0
        lost = self.columns.get("found", nothing) == 0
        elsewhere = self.columns.get("outside", nothing) > _OUTSIDE
        return np.flatnonzero(same & ~lost & ~elsewhere)

    def warnings(self) -> Iterator[Warned]:
        """What a reader of the figures must know first."""
        counts = self.counts()
        if counts["not_swapped"]:
            first = int(self._unswapped()[0])
            yield Warned(
                message=f"{counts['not_swapped']} frames show the target's own face, the first is {first}",
                frame=first,
            )
        if counts["face_lost"]:
            first = int(np.flatnonzero(self.columns["found"] == 0)[0])
            yield Warned(
                message=f"in {counts['face_lost']} frames the swapped face is not found as a face, the "
                "first is "
                f"{first}",
                frame=first,
            )
        outside = self.columns.get("outside")
        if outside is not None and float(np.nanmedian(outside)) > _OUTSIDE:
            yield Warned(
                message="beside the face the videos differ by "
                f"{float(np.nanmedian(outside)) * 100:.0f} % of full scale: do they show the same frames? "
                "Another beginning is said with --offset"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data; see above."""
        inputs = self.inputs
        named = {
            "result": inputs.result,
            "target": inputs.target,
            "source": inputs.source,
            "truth": inputs.truth,
        }
        return {
            "format": FORMAT,
            "kind": "evaluation",
            "understudy": __version__,
            "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **{name: None if path is None else identity_of(path) for name, path in named.items()},
            "measured_with": dict(self.settings),
            "source_faces": self.source.faces,
            "offset": self.offset,
            "rate": self.rate,
            "counts": self.counts(),
            "remarks": list(self.remarks),
            "scores": {
                name: {**asdict(found), "unit": BY_NAME[name].unit, "better": BY_NAME[name].better}
                for name, found in self.scores.items()
            },
            "correlations": self.correlations,
            "frames": {name: _rounded(values) for name, values in self.columns.items()},
        }

    def summary(self) -> dict[str, Any]:
        """What the command says at its end."""
        found = self.scores
        out: dict[str, Any] = dict(self.counts())
        for name in (
            "psnr_truth",
            "ssim_target",
            "perceptual_target",
            "identity_source",
            "closer",
            "landmarks",
            "pose",
            "flicker",
        ):
            if name in found and math.isfinite(found[name].value):
                out[name] = round(found[name].value, BY_NAME[name].digits)
        for name, value in self.correlations.items():
            if name in ("mouth", "yaw") and math.isfinite(value):
                out[f"{name}_r"] = round(value, 2)
        return out


def identity_of(path: Path) -> dict[str, str]:
    """Name and fingerprint; a folder that is no folder of pictures is known by its name."""
    if path.is_dir() and any((path / name).exists() for name in ("faceset.toml", "performer.json")):
        return {"name": path.name}
    return {"name": path.name, "fingerprint": fingerprint((path,))}


def _rounded(values: Float64[np.ndarray, " n"]) -> list[float | None]:
    return [None if not math.isfinite(value) else round(float(value), 5) for value in values]
