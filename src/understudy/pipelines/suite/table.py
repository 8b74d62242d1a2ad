"""From the figures of single swaps to a table of methods: means over pairs, with intervals, by group."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from understudy.metrics.groups import AGES, TONES, age_group, by_group, tone_group
from understudy.metrics.interval import Estimate, estimate
from understudy.performers.performer import Performer
from understudy.pipelines.suite.cases import BASELINES, METHODS, SuiteCase

HEADLINE = ("psnr_truth", "ssim_truth", "identity_source", "landmarks", "pose")
"""Figures that are said while the suite runs."""
COLUMNS: Mapping[str, tuple[str, int]] = {
    "ssim_target": ("SSIM to target ↑", 3),
    "perceptual_target": ("perceptual ↓", 3),
    "identity_source": ("verification ↓", 3),
    "landmarks": ("landmarks, % ↓", 2),
    "pose": ("pose, ° ↓", 2),
    "psnr_truth": ("PSNR to truth ↑", 2),
    "ssim_truth": ("SSIM to truth ↑", 3),
    "color_truth": ("ΔE2000 to truth ↓", 2),
    "retrieved": ("retrieval, % ↑", 0),
    "expression": ("expression ↓", 2),
    "flicker": ("flicker, %", 3),
}
"""Headings and decimals of the printed table, by name of the figure; the first five are the paper's."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one pair."""

    case: str
    """Name of the pair."""
    method: str
    """Name of the method or baseline."""
    tone: str
    """Skin tone of the target, a group."""
    age: str
    """Age of the target, a group."""
    seconds: float | None
    """Training time of the last call; None for a baseline."""
    figures: dict[str, float]
    """Means over the frames, by name."""
    frames: dict[str, int]
    """Counts: frames, without a face, not swapped."""

    @classmethod
    def of(cls, case: SuiteCase, method: str, report: Mapping[str, Any], seconds: float | None) -> Row:
        """What a report says."""
        look = Performer.from_seed(case.target).look
        correlations = {f"{name}_r": value for name, value in report["correlations"].items()}
        figures = {name: found["value"] for name, found in report["scores"].items()} | correlations
        return cls(
            case=case.name,
            method=method,
            tone=tone_group(look.tone),
            age=age_group(look.age),
            seconds=seconds,
            figures={name: value for name, value in figures.items() if _is_number(value)},
            frames=dict(report["counts"]),
        )

    @classmethod
    def read(cls, path: Path) -> Row:
        """A kept row."""
        return cls(**json.loads(path.read_text("utf-8")))

    def headline(self) -> dict[str, float]:
        """The figures to say while the suite runs."""
        return {name: self.figures[name] for name in HEADLINE if name in self.figures}


def results(rows: Sequence[Row], half: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Everything for ``results_<half>.json``: estimates by method, by group, and the single rows.

    Args:
        rows: what is there so far.
        half: of the suite.
        said: the suite's settings, plain data.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    return {
        "subject": "suite",
        "half": half,
        "settings": dict(said),
        "methods": {method: _method([row for row in rows if row.method == method]) for method in methods},
        "rows": [asdict(row) for row in rows],
    }


def _method(rows: Sequence[Row]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    values = {name: [row.figures.get(name, math.nan) for row in rows] for name in names}
    groups = {"tone": ([row.tone for row in rows], TONES), "age": ([row.age for row in rows], AGES)}
    seconds = [row.seconds for row in rows if row.seconds is not None]
    return {
        "kind": "baseline" if rows[0].method in BASELINES else "method",
        "paper": METHODS[rows[0].method].paper if rows[0].method in METHODS else "",
        "pairs": len(rows),
        "frames": sum(row.frames.get("frames", 0) for row in rows),
        "not_swapped": sum(row.frames.get("not_swapped", 0) for row in rows),
        "train_seconds": _plain(estimate(seconds)),
        "figures": {name: _plain(estimate(found)) for name, found in values.items()},
        "groups": {
            kind: {
                name: {group: _plain(one) for group, one in by_group(found, own, groups_of).items()}
                for name, found in values.items()
                if name in COLUMNS
            }
            for kind, (own, groups_of) in groups.items()
        },
    }


def markdown(table: Mapping[str, Any]) -> list[str]:
    """The table of methods as lines of Markdown: mean, and the interval where there are three pairs or more.

    Args:
        table: what ``results`` gave.
    """
    methods: Mapping[str, Any] = table["methods"]
    shown = [name for name in COLUMNS if any(name in one["figures"] for one in methods.values())]
    heads = [COLUMNS[name][0] for name in shown]
    lines = [f"| method | n | {' | '.join(heads)} |", "|---" * (len(shown) + 2) + "|"]
    for method, one in methods.items():
        cells = [cell(one["figures"].get(name), COLUMNS[name][1], one["pairs"]) for name in shown]
        lines.append(f"| {method} | {one['pairs']} | {' | '.join(cells)} |")
    return lines


def cell(figure: Mapping[str, Any] | None, digits: int, pairs: int) -> str:
    """An estimate for a table: mean, interval where there is one, n where a pair has no figure."""
    if figure is None or figure["mean"] is None:
        return "–"
    few = f" (n = {figure['n']})" if figure["n"] < pairs else ""
    span = "" if figure["low"] is None else f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
    return f"{figure['mean']:.{digits}f}{span}{few}"


def _plain(one: Estimate) -> dict[str, Any]:
    return {name: value if _is_number(value) else None for name, value in asdict(one).items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
