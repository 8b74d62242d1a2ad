"""Evaluation: frames per second of ``understudy evaluate`` at 512 x 512, pages and pictures and all.

The footage is a performer, drawn here; the swapped video is the exact swap, encoded as a merge would encode
it. Who the source is, is read from a face set that is there already, as after a training. The threads are
those that a user has.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import Timing, measure, publish
from understudy.performers.draw import PerformersSettings, draw
from understudy.performers.truth import truth_folder
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.suite.baselines import write_baseline
from understudy.training.process import keep_pages

FRAMES, SIZE, SOURCE, TARGET = 240, 512, 58, 7


def main() -> None:
    """Measure and publish."""
    keep_pages()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, target, result = (folder / f"{name}.mp4" for name in ("source", "target", "result"))
        drawn = PerformersSettings(seed=TARGET, swap_with=SOURCE, frames=FRAMES, size=(SIZE, SIZE))
        for _ in draw(drawn, target):
            pass
        for _ in draw(PerformersSettings(seed=SOURCE, frames=40, size=(SIZE, SIZE)), source):
            pass
        for _ in extract((source,), folder / "faces", ExtractSettings()):
            pass
        write_baseline("exact", target, truth_folder(target), result)

        def rate(truth: Path | None, settings: EvaluateSettings) -> Timing:
            inputs = Inputs(result=result, target=target, source=folder / "faces", truth=truth)

            def once() -> None:
                for _ in evaluate(inputs, folder / "report", settings):
                    pass

            return measure(once, units=FRAMES, runs=3)

        every = EvaluateSettings(identity_every=1)
        figures: dict[str, Timing | float | str] = {
            "defaults": rate(None, EvaluateSettings()),
            "defaults, with the exact swap": rate(truth_folder(target), EvaluateSettings()),
            "identity of every frame": rate(None, every),
        }
    publish("evaluation", figures, {"frames": FRAMES, "size": f"{SIZE} x {SIZE}", "faces": 1})


if __name__ == "__main__":
    main()
