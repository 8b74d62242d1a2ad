"""The paper's ablation on performers with exact ground truth: every method with the same budget.

    scripts/bench methods                       two pairs, every method, 1,200 steps each
    .venv/bin/python benchmarks/methods.py --steps 4000 --resolution 128

For each pair the source and the target are drawn once, with the exact swap; every method is trained on the
same faces for the same number of steps and merged with the same settings. What is measured: PSNR and SSIM
inside the face against the exact swap, identity distance to the source (dlib's descriptor), landmarks of the
result against the exact swap's (mean distance as a fraction of the eye distance), yaw and pitch against the
target's (mean absolute difference, degrees), and how the mouth's opening follows (Pearson). A method that is
done is not done again: ``--folder`` keeps everything.

The pairs' seeds are used nowhere else, so nothing was tuned on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common import publish
from understudy import config
from understudy.durable import write_text
from understudy.events import Event
from understudy.faces.faceset import FaceSet
from understudy.image.expression import eye_distance
from understudy.image.geometry import pose_of_points
from understudy.image.landmarks import points68
from understudy.performers.draw import PerformersSettings, draw
from understudy.performers.truth import read_truth, truth_folder
from understudy.pipelines.evaluate import against_truth, measure_swap, read_faces
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.merge import MergeSettings, merge
from understudy.pipelines.setup import Finders, build_finders, make_context
from understudy.pipelines.train import TrainSettings, start, train

PAIRS = ((5101, 5102), (5103, 5104))
FRAMING = {"crop": "full", "coverage": 0.8}
BASE: dict[str, Any] = {
    "batch": 4,
    "augmentation": {"rotation": 4.0, "scale": 0.06, "shift": 0.02, "flip_source": 0.4, "flip_target": 0.4,
                     "warp_strength": 0.6, "color": 0.2},
    "optimizer": {"name": "adam", "rate": 1e-3, "warm_up": 100, "schedule": "cosine", "clip": 1.0},
}  # fmt: skip
SIZES = {"e_dims": 32, "ae_dims": 128, "d_dims": 32, "d_mask_dims": 8, "options": "d", "normalized": True}
PLAIN = {"dssim": {}, "mse": {"weight": 10.0}}
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "original": ({"name": "original", "width": 64, "code": 256}, {}),
    "df": ({"name": "df", **SIZES}, {}),
    "dfhd": ({"name": "dfhd", **SIZES}, {}),
    "liae": ({"name": "liae", **SIZES}, {}),
    "liaehd": ({"name": "liaehd", **SIZES}, {}),
    "df + gan": ({"name": "df", **SIZES}, {"patch_gan": {"weight": 0.1}}),
    "df + trueface": ({"name": "df", **SIZES}, {"true_face": {"weight": 0.01}}),
    "df + expression": ({"name": "df", **SIZES}, {"expression": {"weight": 1.0, "spread": 3.0}}),
    "liae + expression": ({"name": "liae", **SIZES}, {"expression": {"weight": 1.0, "spread": 3.0}}),
}
"""Model settings and losses besides DSSIM and MSE. The paper's pictures come from df and liae."""


def main() -> None:
    """Everything that is not there yet, then the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--steps", type=int, default=1200)
    words.add_argument("--resolution", type=int, default=64)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--folder", type=Path, default=Path("benchmarks/work/methods"))
    words.add_argument("--methods", nargs="*", default=list(METHODS))
    chosen = words.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for pair in PAIRS:
        folder = chosen.folder / f"{pair[0]}_{pair[1]}"
        prepare(folder, pair)
        for name in chosen.methods:
            rows.setdefault(name, []).append(figures_of(folder, name, chosen))
    conditions = {
        "pairs": [list(pair) for pair in PAIRS],
        "steps": chosen.steps,
        "resolution": chosen.resolution,
        "training": BASE,
        "sizes": SIZES,
        "source_frames": 200,
        "target_frames": 60,
        "seeds_per_method": 1,
    }
    publish("methods", {name: table_row(found) for name, found in rows.items()}, conditions)


def prepare(folder: Path, pair: tuple[int, int]) -> None:
    """Draw both videos and find their faces."""
    source, target = folder / "source.mp4", folder / "target.mp4"
    folder.mkdir(parents=True, exist_ok=True)
    shown = PerformersSettings(seed=pair[0], frames=200, size=(384, 384), motion=5100)
    if not source.exists():
        finish(draw(shown, source))
    if not target.exists():
        finish(draw(dataclasses.replace(shown, seed=pair[1], swap_with=pair[0], frames=60), target))
    for name, video in (("source", source), ("target", target)):
        if not (folder / name / "done").exists():
            finish(extract((video,), folder / name, ExtractSettings()))
            (folder / name / "done").touch()


def figures_of(folder: Path, name: str, chosen: argparse.Namespace) -> dict[str, float]:
    """Figures of one method on one pair; trained and merged if need be."""
    place = folder / f"{name.replace(' ', '')}_{chosen.resolution}_{chosen.steps}"
    kept = place / "figures.json"
    if kept.exists():
        return json.loads(kept.read_text())
    model, losses = METHODS[name]
    changes = {**BASE, "losses": {**PLAIN, **losses}}
    changes["model"] = {**FRAMING, **model, "resolution": chosen.resolution}
    settings = config.merge(TrainSettings(), changes)
    loop = dataclasses.replace(
        settings.loop, steps=chosen.steps, threads=chosen.threads, save_every=1e6, preview_every=0.0
    )
    source, target = FaceSet.open(folder / "source"), FaceSet.open(folder / "target")
    run = start(dataclasses.replace(settings, loop=loop), source, target, place)
    begun = time.monotonic()
    finish(train(run, source, target))
    seconds = time.monotonic() - begun
    result = place / "result.mp4"
    finish(merge(run.swapper, folder / "target.mp4", target, result, MergeSettings()))
    truth = against_truth(result, folder / "target.mp4", truth_folder(folder / "target.mp4"))
    usual = ExtractSettings()
    finders = build_finders(usual.detector, usual.landmarker, usual.embedder, make_context("cpu"))
    seen = measure_swap(result, "target.mp4", source, target, finders)
    marks, turned = against_marks(result, truth_folder(folder / "target.mp4"), finders)
    out = {
        "landmarks": marks,
        "pose": turned,
        "psnr": truth.result.mean_psnr,
        "ssim": truth.result.mean_ssim,
        "untouched_psnr": truth.untouched.mean_psnr,
        "distance_to_source": seen.distance_to_source,
        "distance_to_target": seen.distance_to_target,
        "closer": seen.closer_to_source,
        "mouth": seen.mouth,
        "yaw": seen.yaw,
        "train_seconds": seconds,
    }
    write_text(kept, json.dumps(out, indent=1))
    return out


def against_marks(result: Path, truth: Path, finders: Finders) -> tuple[float, float]:
    """Mean distance to the exact swap's 68 points, % of the eye distance; mean error of pose, degrees."""
    _, points, _ = read_faces(result, finders)
    rows = {row.frame: row for row in read_truth(truth)}
    marks: list[float] = []
    turned: list[float] = []
    for frame, found in points.items():
        exact = rows[frame].swap_points
        assert exact is not None, "drawn with its exact swap"
        away = np.linalg.norm(points68(found) - points68(exact), axis=1).mean()
        marks.append(100 * float(away / eye_distance(exact[None])[0]))
        pose = np.subtract(pose_of_points(found)[:2], rows[frame].pose[:2])
        turned.append(float(np.abs(pose).mean()))
    return float(np.mean(marks)), float(np.mean(turned))


def table_row(found: list[dict[str, float]]) -> str:
    """The mean over the pairs, and each pair's PSNR."""
    mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
    each = " ".join(f"{one['psnr']:.2f}" for one in found)
    return (
        f"PSNR {mean['psnr']:.2f} ({each}) SSIM {mean['ssim']:.3f} identity {mean['distance_to_source']:.3f} "
        f"to source {mean['distance_to_target']:.3f} to target, landmarks {mean['landmarks']:.1f} % pose "
        f"{mean['pose']:.1f} degrees, mouth r {mean['mouth']:.2f} yaw r {mean['yaw']:.2f}, "
        f"{mean['train_seconds']:.0f} s"
    )


def finish(events: Iterator[Event]) -> None:
    """Let a pipeline run to its end."""
    for _ in events:
        pass


if __name__ == "__main__":
    main()
