"""The paper's ablation on performers with exact ground truth: every method with the same budget.

    scripts/bench methods                       two pairs, every method, 1,200 steps each
    .venv/bin/python benchmarks/methods.py --steps 4000 --resolution 128
    .venv/bin/python benchmarks/methods.py --only-done      measure what is trained already

For each pair the source and the target are drawn once, with the exact swap; every method is trained on the
same faces for the same number of steps and merged with the same settings, and four baselines bound the table.
Everything is measured as ``understudy evaluate`` measures, every figure of it. A method that is done is not
done again: ``--folder`` keeps everything. ``understudy evaluate --suite performers`` does the same on the
suite's own performers.

The pairs' seeds are used nowhere else, so nothing was tuned on them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from common import publish
from understudy import config
from understudy.durable import write_text
from understudy.events import Event
from understudy.faces.faceset import FaceSet
from understudy.image.color import frame_to_rgb8
from understudy.image.draw import sheet
from understudy.nn.features import own_features
from understudy.performers.draw import PerformersSettings, draw
from understudy.performers.truth import SWAP_VIDEO, truth_folder
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.merging.merge import MergeSettings, merge
from understudy.pipelines.runs.train import start, train
from understudy.pipelines.suite.baselines import write_baseline
from understudy.pipelines.suite.cases import BASELINES, BUDGET, METHODS, SuiteCase
from understudy.pipelines.suite.suite import budget
from understudy.pipelines.suite.table import Row, markdown, results
from understudy.training.rundir import RunFolder
from understudy.video.reader import VideoReader

PAIRS = (SuiteCase(source=5101, target=5102), SuiteCase(source=5103, target=5104))
SOURCE_FRAMES, TARGET_FRAMES = 200, 60
SHOWN = 30
"""Frame in the picture."""


def main() -> None:
    """Everything that is not there yet, then the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--steps", type=int, default=1200)
    words.add_argument("--resolution", type=int, default=64)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--folder", type=Path, default=Path("benchmarks/work/methods"))
    words.add_argument("--methods", nargs="*", default=list(METHODS))
    words.add_argument("--picture", type=Path, help="also write a picture of one frame of every method")
    words.add_argument("--only-done", action="store_true", help="leave out what is not trained yet")
    chosen = words.parse_args()
    rows: list[Row] = []
    for pair in PAIRS:
        folder = chosen.folder / pair.name
        if chosen.only_done and not (folder / "target" / "done").exists():
            continue
        prepare(folder, pair)
        for name in (*BASELINES, *chosen.methods):
            row = row_of(folder, pair, name, chosen)
            if row is not None:
                rows.append(row)
    conditions = {
        "pairs": [pair.name for pair in PAIRS],
        "steps": chosen.steps,
        "resolution": chosen.resolution,
        "training": dict(BUDGET),
        "methods": {name: METHODS[name].changes(chosen.resolution) for name in chosen.methods},
        "source_frames": SOURCE_FRAMES,
        "target_frames": TARGET_FRAMES,
        "seeds_per_method": 1,
    }
    table = results(rows, "methods", {})
    with contextlib.redirect_stdout(io.StringIO()):
        publish("methods", table["methods"], {**conditions, "rows": table["rows"]})
    print("\n".join(markdown(table)))
    if chosen.picture:
        draw_picture(chosen)


def prepare(folder: Path, pair: SuiteCase) -> None:
    """Draw both videos and find their faces."""
    source, target = folder / "source.mp4", folder / "target.mp4"
    folder.mkdir(parents=True, exist_ok=True)
    shown = PerformersSettings(seed=pair.source, frames=SOURCE_FRAMES, size=(384, 384), motion=5100)
    if not source.exists():
        finish(draw(shown, source))
    if not target.exists():
        other = dataclasses.replace(shown, seed=pair.target, swap_with=pair.source, frames=TARGET_FRAMES)
        finish(draw(other, target))
    for name, video in (("source", source), ("target", target)):
        if not (folder / name / "done").exists():
            finish(extract((video,), folder / name, ExtractSettings()))
            (folder / name / "done").touch()


def row_of(folder: Path, pair: SuiteCase, name: str, chosen: argparse.Namespace) -> Row | None:
    """Figures of one method or baseline on one pair; made if need be."""
    place = place_of(folder, name, chosen)
    kept, result, target = place / "row.json", place / "result.mp4", folder / "target.mp4"
    if kept.exists():
        return Row.read(kept)
    seconds = None
    if name in BASELINES:
        place.mkdir(exist_ok=True)
        write_baseline(name, target, truth_folder(target), result)
    elif result.exists() or not chosen.only_done:
        seconds = swap(folder, name, place, chosen)
    if not result.exists():
        return None
    inputs = Inputs(result=result, target=target, source=folder / "source", truth=truth_folder(target))
    finish(
        evaluate(
            inputs, place / "report", EvaluateSettings(pictures=2, perceptual=own_features() is not None)
        )
    )
    report = json.loads((place / "report" / "report.json").read_text())
    row = Row.of(pair, name, report, seconds)
    write_text(kept, json.dumps(dataclasses.asdict(row), indent=1))
    return row


def swap(folder: Path, name: str, place: Path, chosen: argparse.Namespace) -> float:
    """Train and merge what is not there; seconds of training."""
    source, target = FaceSet.open(folder / "source"), FaceSet.open(folder / "target")
    begun = sorted(place.glob("*/recipe.toml"))
    if begun:
        run = RunFolder(begun[0].parent)
    else:
        settings = config.merge(budget(), METHODS[name].changes(chosen.resolution))
        loop = dataclasses.replace(
            settings.loop, steps=chosen.steps, threads=chosen.threads, save_every=1e6, preview_every=0.0
        )
        run = start(dataclasses.replace(settings, loop=loop), source, target, place)
    result = place / "result.mp4"
    if not result.exists():
        finish(train(run, source, target))
        finish(merge(run.swapper, folder / "target.mp4", target, result, MergeSettings()))
    return float(json.loads((run.path / "status.json").read_text())["elapsed"])


def place_of(folder: Path, name: str, chosen: argparse.Namespace) -> Path:
    """Folder of a method or baseline on one pair."""
    suffix = "" if name in BASELINES else f"_{chosen.resolution}_{chosen.steps}"
    return folder / f"{name.replace(' ', '')}{suffix}"


def draw_picture(chosen: argparse.Namespace) -> None:
    """One frame of every pair: source, target, exact swap and what each method made of it."""
    rows: list[list[np.ndarray]] = []
    heads: list[str] = []
    for pair in PAIRS:
        folder = chosen.folder / pair.name
        exact = truth_folder(folder / "target.mp4") / SWAP_VIDEO
        videos = {"source": folder / "source.mp4", "target": folder / "target.mp4", "exact swap": exact}
        videos |= {name: place_of(folder, name, chosen) / "result.mp4" for name in chosen.methods}
        videos = {name: path for name, path in videos.items() if path.exists()}
        if len(videos) > 3 and (not heads or heads == list(videos)):
            heads = list(videos)
            rows.append([frame_of(path, SHOWN) for path in videos.values()])
    across = 6
    lines = [row[start : start + across] for row in rows for start in range(0, len(row), across)]
    titles = [heads[start : start + across] for _ in rows for start in range(0, len(heads), across)]
    strips = [sheet([line], columns=title) for line, title in zip(lines, titles, strict=True)]
    width = max(strip.shape[1] for strip in strips)
    wide = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=24) for s in strips]
    picture = cv2.cvtColor(np.concatenate(wide), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(chosen.picture), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def frame_of(video: Path, number: int) -> np.ndarray:
    """The middle of one frame, small."""
    with VideoReader(video) as reader:
        frame = next(frame for frame in reader.frames() if frame.index == number)
    rgb = frame_to_rgb8(frame, 384)
    return cv2.resize(rgb, (224, 224), interpolation=cv2.INTER_AREA)


def finish(events: Iterator[Event]) -> None:
    """Let a pipeline run to its end."""
    for _ in events:
        pass


if __name__ == "__main__":
    main()
