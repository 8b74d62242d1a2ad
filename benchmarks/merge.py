"""Merging at 1080p: decode, crop, network, composite, paste and encode, one face of 300 pixels a frame.

The face moves and turns over a soft background with grain; the swapper has the size of ``df`` Quick96 with
random weights, so that nothing has to be trained or fetched. "Merge without network" is what the issue
asks for: decoding in a thread of its own, compositing in this one.
"""

from __future__ import annotations

import math
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from common import Timing, measure, publish
from understudy.blends.feather import Feather
from understudy.blends.poisson import Poisson
from understudy.color_transfers.none import NoTransfer
from understudy.color_transfers.reinhard import Reinhard
from understudy.contracts import Alignment, ColorTags, Face, Frame, PixelFormat
from understudy.image.color import rgb_to_rect
from understudy.image.landmarks import FACE_OVAL
from understudy.image.paste import paste_crop
from understudy.image.poisson import clone
from understudy.image.warp import crop_frame
from understudy.pipelines.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.swapper import Swapper
from understudy.stream import read_ahead
from understudy.video.encoding import Encoding
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

WIDTH, HEIGHT, FRAMES, SIDE, BATCH = 1920, 1080, 64, 300, 8
GRAIN = 0.012  # of the range; makes H.264 at CRF 20 about as large as a broadcast master
FORMAT = PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1)


def plate(index: int, grain: np.ndarray) -> Frame:
    """A frame of moving soft colours with grain."""
    small_x, small_y = np.meshgrid(np.arange(WIDTH // 8), np.arange(HEIGHT // 8))
    waves = [0.5 + 0.3 * np.sin(small_x / (15 + 4 * k) + small_y / 21 + 0.05 * index) for k in range(3)]
    picture = cv2.resize(np.stack(waves, -1).astype(np.float32), (WIDTH, HEIGHT))
    picture += np.roll(grain, 37 * index, axis=0)
    planes = rgb_to_rect(FORMAT, ColorTags(), picture.clip(0, 1))
    return Frame(
        index=index,
        pts=index,
        time_base=Fraction(1, 30),
        duration=1,
        planes=planes,
        format=FORMAT,
        color=ColorTags(primaries=1, transfer=1, space=1),
    )


def face_of(index: int) -> Face:
    """Where the face is in a frame: on a circle, swaying."""
    angle = 0.3 * math.sin(index / 17)
    x, y = 960 + 300 * math.cos(index / 30), 540 + 150 * math.sin(index / 30)
    c, s = math.cos(angle) / SIDE, math.sin(angle) / SIDE
    linear = np.array([[c, s], [-s, c]])
    matrix = np.column_stack([linear, 0.5 - linear @ np.array([x, y])])
    turns = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    square = np.full((478, 2), 0.5)
    square[list(FACE_OVAL)] += 0.5 * np.stack([0.7 * np.sin(turns), -0.86 * np.cos(turns)], -1)
    points = np.linalg.solve(linear, (square - matrix[:, 2]).T).T
    return Face(
        frame=index,
        time=index / 30,
        index=0,
        track=0,
        box=np.array([x - 150, y - 150, x + 150, y + 150]),
        presence=1.0,
        points=np.column_stack([points, np.zeros(478)]).astype(np.float32),
        alignment=Alignment(matrix=matrix, mode="full"),
    )


def settings(blend: str, transfer: str) -> CompositeSettings:
    """Composite settings by plugin name."""
    return CompositeSettings(
        blend={"feather": Feather(), "poisson": Poisson()}[blend],
        color_transfer={"none": NoTransfer(), "reinhard": Reinhard()}[transfer],
    )


def swapped_faces(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random faces of 96 pixels and round masks, as a network gives them."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, 3, 12, 12, generator=generator)
    faces = torch.nn.functional.interpolate(noise, (96, 96), mode="bicubic").clamp(0, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    mask = ((0.85 - torch.hypot(x * 1.1, y * 0.95)) * 12).clamp(0, 1)
    return faces, mask.expand(count, 1, 96, 96).contiguous()


def merge(clip: Path, how: CompositeSettings, swapper: Swapper | None, writer: VideoWriter | None) -> None:
    """One pass over the clip."""
    faces, masks = swapped_faces(BATCH)
    with VideoReader(clip) as reader:
        group: list[Frame] = []
        for frame in read_ahead(reader, 2 * BATCH):
            group.append(frame)
            if len(group) < BATCH:
                continue
            jobs = [FaceJob(frame=place, face=face_of(frame.index)) for place, frame in enumerate(group)]
            if swapper is not None:
                faces, masks = swapper(network_crops(group, jobs, swapper.resolution))
            for made in composite(group, jobs, faces, masks, how):
                if writer is not None:
                    writer.write(made)
            group = []


def network_crops(frames: list[Frame], jobs: list[FaceJob], size: int) -> torch.Tensor:
    """What the swapper is given."""
    matrices = [job.face.alignment.crop_matrix(size) for job in jobs]
    crops = [crop_frame(frames[job.frame], matrix, size) for job, matrix in zip(jobs, matrices, strict=True)]
    return torch.from_numpy(np.stack(crops))


def decode(clip: Path) -> None:
    """Read every frame."""
    with VideoReader(clip) as reader:
        for _ in reader:
            pass


def parts() -> dict[str, Timing | float]:
    """What one face costs, station by station."""
    grain = GRAIN * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32)
    frames = [plate(index, grain) for index in range(BATCH)]
    jobs = [FaceJob(frame=index, face=face_of(index)) for index in range(BATCH)]
    faces, masks = swapped_faces(BATCH)
    matrix = jobs[0].face.alignment.crop_matrix(256)
    crop = crop_frame(frames[0], matrix, 256)
    down, across = np.mgrid[:256, :256] - 127.5
    alpha = np.clip((1 - np.hypot(down / 110, across / 90)) * 8, 0, 1).astype(np.float32)
    out: dict[str, Timing | float] = {
        "crop_frame to 256": measure(lambda: crop_frame(frames[0], matrix, 256), at_least=0.5),
        "paste from 256": measure(lambda: paste_crop(frames[0], crop * alpha, alpha, matrix), at_least=0.5),
    }
    for blend in ("feather", "poisson"):
        for transfer in ("none", "reinhard"):
            how = settings(blend, transfer)
            out[f"composite {blend} {transfer}"] = measure(
                lambda how=how: composite(frames, jobs, faces, masks, how), units=BATCH, at_least=1.0
            )
    out |= poisson_beside_opencv()
    return out


def poisson_beside_opencv() -> dict[str, Timing | float]:
    """Our solver and cv2.seamlessClone (8 bit, approximate) on the same face of 300 pixels, one thread."""
    generator = np.random.default_rng(0)
    base, face = (cv2.GaussianBlur(generator.random((SIDE, SIDE, 3)), (0, 0), 6) * 4 - 1.5 for _ in range(2))
    base, face = (np.clip(picture, 0, 1).astype(np.float32) for picture in (base, face))
    down, across = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    mask = np.hypot(across / (0.36 * SIDE), down / (0.45 * SIDE)) < 1
    tensors = [torch.from_numpy(np.moveaxis(picture, -1, 0).copy())[None] for picture in (base, face)]
    inside = torch.from_numpy(mask)[None, None]
    base8, face8 = ((picture * 255).astype(np.uint8) for picture in (base, face))
    mask8, middle = mask.astype(np.uint8) * 255, (SIDE // 2, SIDE // 2)
    ours = measure(lambda: clone(*tensors, inside), at_least=0.5)
    theirs = measure(lambda: cv2.seamlessClone(face8, base8, mask8, middle, cv2.NORMAL_CLONE), at_least=0.5)
    return {"poisson 300": ours, "cv2.seamlessClone 300": theirs, "ratio": theirs.median / ours.median}


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)  # as merging does: the other cores decode and encode
    cv2.setNumThreads(1)
    figures: dict[str, Timing | float | str] = dict(parts())
    grain = GRAIN * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        with VideoWriter(clip, encoding=Encoding(preset="fast", quality=20.0)) as writer:
            for index in range(FRAMES):
                writer.write(plate(index, grain))
        figures["decode"] = measure(lambda: decode(clip), units=FRAMES, runs=3)
        for blend, transfer in (("feather", "none"), ("feather", "reinhard"), ("poisson", "reinhard")):
            how = settings(blend, transfer)
            figures[f"merge without network, {blend} {transfer}"] = measure(
                lambda how=how: merge(clip, how, None, None), units=FRAMES, runs=3
            )
        how, swapper = settings("feather", "reinhard"), quick96()
        figures["merge with network"] = measure(lambda: merge(clip, how, swapper, None), units=FRAMES, runs=3)
        for preset in ("superfast", "veryfast", "medium"):

            def encoded(preset: str = preset) -> None:
                with VideoWriter(Path(folder) / "out.mp4", encoding=Encoding(preset=preset)) as writer:
                    merge(clip, how, swapper, writer)

            figures[f"merge and encode, {preset}"] = measure(encoded, units=FRAMES, warm_up=0, runs=1)
        megabits = clip.stat().st_size * 8 / 1e6 / (FRAMES / 30)
    conditions = {
        "frame": f"{WIDTH} x {HEIGHT} yuv420p, {FRAMES} frames, H.264 of {megabits:.0f} Mbit/s",
        "face": f"one of {SIDE} pixels, working size 320",
        "batch": BATCH,
        "threads": "one each for torch and OpenCV",
    }
    publish("merge", figures, conditions)


def quick96() -> Swapper:
    """A swapper of the size of Quick96, untrained."""
    from understudy.models.df import Df
    from understudy.pipelines.setup import make_context

    chosen = Df()
    torch.manual_seed(0)
    return Swapper(chosen.build(make_context("cpu")), chosen)


if __name__ == "__main__":
    main()
