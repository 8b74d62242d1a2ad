"""Occluders: how much of what stands before a performer's face stays as it was.

    benchmarks/occluders.py [RUN]    a TernausNet of understudy mask train that training starts from

Two clips, a performer with a hand and one with glasses before the face, drawn a second time without: the
difference of the two exact masks are the true occluder's pixels. As a user does, a mask network is trained
on a few labelled faces of the clip (here their exact masks) and asked for other frames. A flat green face is
put in, so that every pixel that it reaches is seen to have changed: by more than two code values of 255 in
any channel. What stays is a share of the occluder's pixels inside the outline of the face; what it costs is
the share of the visible inner face that is not replaced (alpha below one half).
"""

from __future__ import annotations

import dataclasses
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from common import Timing, publish
from compositing import face_of, tensor
from understudy.blends.alpha import Alpha
from understudy.blends.feather import Feather
from understudy.blends.multiband import Multiband
from understudy.blends.poisson import Poisson
from understudy.color_transfers.none import NoTransfer
from understudy.contracts import Frame, Segmenter
from understudy.image.draw import hull_mask
from understudy.image.warp import crop
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import Rendered, render
from understudy.performers.scene import Occluder, Scene
from understudy.performers.truth import rgb_frame
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.compositing.masks import MaskSettings, StoredMask
from understudy.segmenters.ternausnet import Ternausnet
from understudy.training.process import keep_pages
from understudy.training.segmenter import TrainedSegmenter

SEED, SIZE, STORED = 900_001, 320, 256
LABELLED, SHOWN, STEPS, BATCH, RESOLUTION = 16, 5, 400, 4, 128
GREEN = (0.1, 0.8, 0.2)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A frame with something before the face."""

    kind: str
    drawn: Rendered
    plate: Frame
    occluder: np.ndarray
    visible: np.ndarray


def draw_clip(kind: Occluder, count: int, first: float) -> list[Case]:
    """Moments of one clip, a second apart."""
    performer, scene = Performer.from_seed(SEED), Scene.from_seed(31, kind)
    motion = Motion.from_seed(8)
    out: list[Case] = []
    for number in range(count):
        state = motion.state(first + number)
        drawn = render(performer, state, scene, SIZE, 0.7 + 0.4 * (number * 0.381966 % 1.0))
        bare = render(performer, state, dataclasses.replace(scene, occluder="none"), SIZE)
        hull = hull_mask(drawn.points, np.eye(2, 3), SIZE) > 0.5
        hidden = (bare.face_mask - drawn.face_mask > 0.5) & hull
        visible = (drawn.inner_mask > 0.95) & (bare.inner_mask > 0.95)
        out.append(Case(kind, drawn, rgb_frame(0, drawn.picture, Fraction(25)), hidden, visible))
    return out


def train(clip: list[Case], start: Path | None) -> TrainedSegmenter:
    """A mask network that has seen the labelled faces of a clip."""
    chosen = Ternausnet(base=8, resolution=RESOLUTION, crop="full", file=start)
    torch.manual_seed(0)
    network = chosen.network()
    chosen.start(network)
    matrices = [case.drawn.alignment("full").crop_matrix(RESOLUTION + 32) for case in clip]
    side = RESOLUTION + 32
    pictures = [tensor(crop(case.drawn.picture, m, side)) for case, m in zip(clip, matrices, strict=True)]
    masks = [
        tensor(crop(case.drawn.face_mask, m, side)[..., None]) for case, m in zip(clip, matrices, strict=True)
    ]
    faces = torch.cat([torch.cat(pictures), torch.cat(masks)], 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    generator = np.random.default_rng(0)
    for step in range(STEPS):
        rows = generator.choice(len(faces), BATCH, replace=False)
        y, x = generator.integers(0, 33, 2)
        shown = faces[rows, :, y : y + RESOLUTION, x : x + RESOLUTION]
        shown = shown.flip(-1) if generator.random() < 0.5 else shown
        gain = 1.0 + 0.1 * torch.from_numpy(generator.standard_normal((BATCH, 3, 1, 1))).float()
        loss = F.binary_cross_entropy_with_logits(network((shown[:, :3] * gain).clamp(0, 1)), shown[:, 3:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 24:
            print(f"step {step + 1} loss {float(loss.detach()):.3f}", flush=True)
    return TrainedSegmenter(network, dataclasses.replace(chosen, file=None))


def masks_of(case: Case, segmenter: Segmenter) -> dict[str, StoredMask | None]:
    """What the face set could say of a face."""
    alignment = case.drawn.alignment("full")
    matrix = alignment.crop_matrix(STORED)
    exact = crop(case.drawn.face_mask, matrix, STORED)
    found = segmenter(tensor(crop(case.drawn.picture, matrix, STORED)))
    return {
        "no mask of the face set": None,
        "exact mask": StoredMask((exact.clip(0, 1) * 255).astype(np.uint8), alignment),
        "trained on the clip": StoredMask((found[0, 0].numpy() * 255).astype(np.uint8), alignment),
    }


def look(case: Case, stored: StoredMask | None, settings: CompositeSettings) -> tuple[float, float]:
    """Share of the occluder that stays, and of the visible inner face that is not replaced."""
    green = torch.tensor(GREEN)[None, :, None, None].expand(1, 3, 96, 96).contiguous()
    job = FaceJob(frame=0, face=face_of(case.drawn), mask=stored)
    (made,) = composite([case.plate], [job], green, None, settings)
    before, after = (frame.planes[0].astype(np.float32) for frame in (case.plate, made))
    stays = (np.abs(after - before).max(-1) <= 2.0)[case.occluder].mean() if case.occluder.any() else np.nan
    wanted = np.array(GREEN, np.float32) * 255.0
    share = ((after - before) * (wanted - before)).sum(-1) / ((wanted - before) ** 2).sum(-1)
    return float(stays), float((share < 0.5)[case.visible].mean())


def settings_of() -> dict[str, CompositeSettings]:
    """Ways of using the mask."""
    plain = CompositeSettings(color_transfer=NoTransfer(), blend=Feather())
    out = {"defaults, feather": plain}
    for level, grow in ((0.0, 0.015), (0.5, 0.015), (0.5, 0.03), (0.8, 0.03)):
        mask = MaskSettings(front_level=level, front_grow=grow)
        out[f"feather, front_level {level:g}, front_grow {grow:g}"] = dataclasses.replace(plain, mask=mask)
    out["alpha"] = dataclasses.replace(plain, blend=Alpha())
    out["multiband"] = dataclasses.replace(plain, blend=Multiband())
    out["poisson"] = dataclasses.replace(plain, blend=Poisson())
    return out


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()
    start = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    figures: dict[str, Timing | float | str] = {}
    kinds: tuple[Occluder, ...] = ("hand", "glasses")
    for kind in kinds:
        segmenter = train(draw_clip(kind, LABELLED, 0.0), start)
        cases = draw_clip(kind, SHOWN, LABELLED + 0.5)
        rows = [(case, masks_of(case, segmenter)) for case in cases]
        for how, settings in settings_of().items():
            for name in rows[0][1]:
                stays, lost = np.nanmean([look(case, masks[name], settings) for case, masks in rows], 0)
                figures[f"{kind} | {name} | {how}"] = f"{stays:.3f} {lost:.3f}"
                print(f"{kind} | {name} | {how}", figures[f"{kind} | {name} | {how}"], flush=True)
    conditions = {
        "clips": f"performer {SEED}, {SIZE} x {SIZE}, {LABELLED} faces labelled, {SHOWN} others shown",
        "network": f"ternausnet, base 8, {RESOLUTION} px, {STEPS} steps of {BATCH}; started from "
        + ("scratch" if start is None else "one of 20 other performers, 64 px, 816 steps"),
        "columns": "share of the occluder that stays, share of the visible inner face not replaced",
    }
    publish("occluders", figures, conditions)


if __name__ == "__main__":
    main()
