"""Fill the tables of docs/results.md from benchmarks/results: methods.json, metrics.json, suite_*.json.

    .venv/bin/python scripts/fill_results.py            rewrite what stands between the page's markers
    .venv/bin/python scripts/fill_results.py --check    fail if the page is not what it would write

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; the text round it is a person's. A table
whose file is not there says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from understudy.pipelines.suite.table import COLUMNS, cell

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
RESULTS = ROOT / "benchmarks" / "results"

PAPER: Mapping[str, tuple[float | None, ...]] = {
    "DeepFakes": (0.71, 0.41, 0.69, 1.15, 4.75),
    "Nirkin et al. 2018": (0.65, 0.50, 0.66, 0.35, 6.01),
    "DF": (0.73, 0.39, 0.61, 0.73, 1.12),
    "DFHD": (0.75, None, 0.61, 0.71, 1.06),
    "DFHD + GAN": (0.72, None, 0.61, 0.79, 1.33),
    "DFHD + GAN + TrueFace": (0.77, None, 0.61, 0.70, 0.99),
    "LIAE": (0.76, None, 0.58, 0.66, 0.91),
    "LIAEHD": (0.78, None, 0.58, 0.65, 0.90),
    "LIAEHD + GAN": (0.79, None, 0.58, 0.69, 1.00),
    "LIAEHD + GAN + TrueFace": (0.80, None, 0.58, 0.65, 0.83),
}
"""Tables 1 and 2 of the DeepFaceLab paper: SSIM, perceptual, verification, landmarks, pose."""
PAPERS = ("ssim_target", "perceptual_target", "identity_source", "landmarks", "pose")
"""Our names of the paper's columns."""
OURS = (
    "psnr_truth",
    "ssim_truth",
    "color_truth",
    "identity_target",
    "expression",
    "mouth_r",
    "yaw_r",
    "flicker",
)
HEADS = {name: head for name, (head, _) in COLUMNS.items()} | {
    "identity_target": "distance to target ↑",
    "mouth_r": "mouth follows, r ↑",
    "yaw_r": "yaw follows, r ↑",
}
DIGITS = {name: digits for name, (_, digits) in COLUMNS.items()}


def paper_table(methods: Mapping[str, Any]) -> list[str]:
    """The paper's columns: its own figure, then ours."""
    heads = ["SSIM ↑", "perceptual ↓", "verification ↓", "landmarks ↓", "pose, ° ↓"]
    lines = [f"| method | {' | '.join(heads)} | n |", "|---" * 7 + "|"]
    for name, one in methods.items():
        paper = PAPER.get(one["paper"], (None,) * 5)
        cells = [
            f"{'–' if theirs is None else f'{theirs:.2f}'} / {mean(one, ours)}"
            if one["paper"]
            else mean(one, ours)
            for theirs, ours in zip(paper, PAPERS, strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['pairs']} |")
    return lines


def truth_table(methods: Mapping[str, Any]) -> list[str]:
    """What only exact truth, or nobody's table, can say."""
    shown = [name for name in OURS if any(name in one["figures"] for one in methods.values())]
    lines = [f"| method | {' | '.join(HEADS[name] for name in shown)} | n |", "|---" * (len(shown) + 2) + "|"]
    for name, one in methods.items():
        cells = [cell(one["figures"].get(figure), DIGITS.get(figure, 2), one["pairs"]) for figure in shown]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['pairs']} |")
    return lines


def mean(one: Mapping[str, Any], name: str) -> str:
    """The mean alone, with its n where not every pair has the figure."""
    figure = one["figures"].get(name)
    if figure is None or figure["mean"] is None:
        return "–"
    few = f" (n = {figure['n']})" if figure["n"] < one["pairs"] else ""
    return f"{figure['mean']:.{DIGITS.get(name, 2)}f}{few}"


def group_table(methods: Mapping[str, Any]) -> list[str]:
    """PSNR to the truth by skin tone and age."""
    groups = [
        (kind, group)
        for kind in ("tone", "age")
        for group in next(iter(methods.values()))["groups"][kind]["psnr_truth"]
    ]
    lines = [f"| method | {' | '.join(group for _, group in groups)} |", "|---" * (len(groups) + 1) + "|"]
    for name, one in methods.items():
        found = [one["groups"][kind].get("psnr_truth", {}).get(group) for kind, group in groups]
        cells = [f"{each['mean']:.2f} (n = {each['n']})" if each and each["n"] else "–" for each in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def metrics_table(figures: Mapping[str, str], conditions: Mapping[str, Any]) -> list[str]:
    """Rank correlations of metrics and damage; those a metric is there for in bold."""
    rows = {name: json.loads(row) for name, row in figures.items()}
    damage = list(conditions["damage"])
    lines = [f"| metric | {' | '.join(damage)} |", "|---" * (len(damage) + 1) + "|"]
    for name, row in rows.items():
        cells = [
            f"**{row[kind][0]:.2f}** [{row[kind][1]:.2f}, {row[kind][2]:.2f}]"
            if isinstance(row[kind], list)
            else f"{row[kind]:.2f}"
            for kind in damage
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [line.replace("-0.00", "0.00") for line in lines]


def table(name: str) -> list[str]:
    """The lines of a table of the page."""
    subject, _, kind = name.partition(" ")
    file = RESULTS / f"{subject}.json"
    if not file.is_file():
        return [f"*There is no `benchmarks/results/{file.name}` yet.*"]
    record = json.loads(file.read_text("utf-8"))
    if subject == "metrics":
        return metrics_table(record["figures"], record["conditions"])
    methods = record["methods"] if "methods" in record else record["figures"]
    if any(isinstance(one, str) for one in methods.values()):
        return [f"*`benchmarks/results/{file.name}` is of an older form; run benchmarks/methods.py again.*"]
    kinds: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
        "paper": paper_table, "truth": truth_table, "groups": group_table,
    }  # fmt: skip
    return kinds[kind](methods)


def filled(text: str) -> str:
    """The page with its tables brought up to date."""

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n" + "\n".join(table(match[2])) + f"\n{match[3]}"

    return re.sub(r"(<!-- table: ([^>]*?) -->)\n.*?(<!-- end -->)", fill, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the page, or check it."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--check", action="store_true")
    chosen = words.parse_args()
    text = PAGE.read_text("utf-8")
    new = filled(text)
    if chosen.check and new != text:
        sys.exit(f"{PAGE.name} is not up to date; run scripts/fill_results.py")
    PAGE.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
