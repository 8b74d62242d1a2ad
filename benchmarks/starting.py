"""What the starting model saves: steps to the quality that training from scratch reaches at its end.

    scripts/bench starting
    .venv/bin/python benchmarks/starting.py --steps 4500

A pair of performers used nowhere else is drawn and their faces found. Recipe ``cpu`` is trained from scratch
for all the steps; that its end's held-out figures are the bar was settled before any run. Then it is trained
with the starting model for half the steps, its learning rate falling over that half. Both are measured every
250 steps on faces that are never learned from; the curves are in the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from common import ROOT, publish
from methods import finish, prepare
from understudy import config
from understudy.durable import write_text
from understudy.faces.faceset import FaceSet
from understudy.metrics.chart import Chart, Curve, chart_svg
from understudy.pipelines.runs.settings import TrainSettings
from understudy.pipelines.runs.train import start, train

PAIR = (5201, 5202)
COLORS = ("#9aa7b5", "#5a6b7d", "#f0a35c", "#c8511b")
BAR = ("heldout/psnr_source", "heldout/psnr_target", "heldout/ssim_source", "heldout/ssim_target")


def main() -> None:
    """Both runs, then what they say."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--steps", type=int, default=4500)
    words.add_argument("--folder", type=Path, default=Path("benchmarks/work/starting"))
    chosen = words.parse_args()
    prepare(chosen.folder, PAIR)
    scratch = curve(chosen.folder, "none", chosen.steps)
    begun = curve(chosen.folder, "cpu", chosen.steps // 2)
    last = scratch[max(scratch)]
    figures: dict[str, float | str] = {}
    for name in BAR:
        if name not in last:
            continue
        reached = [step for step, at in begun.items() if at.get(name, float("-inf")) >= last[name]]
        figures[f"{name}, scratch after {chosen.steps}"] = float(last[name])
        figures[f"{name}, started after {chosen.steps // 2}"] = float(begun[max(begun)][name])
        figures[f"{name}, steps to the bar"] = float(min(reached)) if reached else "not reached"
    for name in sorted(last.keys() - set(BAR)):
        figures[f"{name}, scratch after {chosen.steps}"] = float(last[name])
        figures[f"{name}, started after {chosen.steps // 2}"] = float(begun[max(begun)][name])
    curves = {"scratch": scratch, "started": begun}
    publish("starting", figures, {"pair": list(PAIR), "recipe": "cpu", "curves": curves})
    write_text(ROOT / "docs" / "starting.svg", picture(curves))


def picture(curves: dict[str, dict[int, dict[str, float]]]) -> str:
    """Both runs' held-out structure over the steps, as a drawing that stands alone."""
    shown: list[Curve] = []
    for run, steps in curves.items():
        for person in ("source", "target"):
            values = [at[f"heldout/ssim_{person}"] for at in steps.values()]
            shown.append(Curve(name=f"{run}, {person}", x=list(steps), y=values))
    chart = Chart(
        title="From scratch and from the starting model", x_label="steps", y_label="SSIM, held-out faces",
        curves=tuple(shown),
    )  # fmt: skip
    words = "".join(
        f'<text x="{700}" y="{180 + 18 * number}" style="fill:{COLORS[number]};text-anchor:start">'
        f"{curve.name}</text>"
        for number, curve in enumerate(shown)
    )
    style = "text{font:13px sans-serif;fill:#555}.grid,line{stroke:#ddd}.line{fill:none;stroke-width:2.5}"
    style += ".band{fill:none}" + "".join(f".line.curve{n}{{stroke:{c}}}" for n, c in enumerate(COLORS))
    head, _, body = chart_svg(chart).partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}><style>{style}</style>{ground}{body.removesuffix('</svg>')}{words}</svg>\n"


def curve(folder: Path, starting: str, steps: int) -> dict[int, dict[str, float]]:
    """Held-out figures by step of a run of recipe ``cpu``; trained if it is not there."""
    place = folder / f"{starting}_{steps}"
    runs = sorted(place.glob("*_df")) if place.is_dir() else []
    if not runs:
        settings = config.merge(TrainSettings(), config.read_recipe("cpu")["train"])
        loop = dataclasses.replace(
            settings.loop, steps=steps, threads=1, measure_every=250, save_every=600.0, preview_every=0.0
        )
        source, target = FaceSet.open(folder / "source"), FaceSet.open(folder / "target")
        settings = dataclasses.replace(settings, loop=loop, starting=starting)
        run = start(settings, source, target, place)
        finish(train(run, source, target))
        runs = [run.path]
    return dict(measured(runs[0] / "events.jsonl"))


def measured(events: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps and figures as a run recorded them."""
    for line in events.read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "Measured":
            yield event["step"], event["figures"]


if __name__ == "__main__":
    main()
