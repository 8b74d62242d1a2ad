"""Colour transfers: what one face of 256 pixels costs on one thread, measuring and recolouring apart.

The faces are soft patches along a line of skin colours with grain, so that as many cells of the colour cube
are taken as by a real face (about 300), and the mask is soft. The plain way beside them is Reinhard's
transfer as it is commonly written, with OpenCV's L*a*b* and numpy. Processor time stands beside the wall
clock: it is the figure to compare where the machine had other work.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from common import Timing, measure, publish
from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.filter import gaussian_blur
from understudy.image.temporal import REACH, weighted_window

SIDE = 256


def faces() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A face, a target in other light, a mask."""
    generator = torch.Generator().manual_seed(0)
    along, across = torch.tensor([1.1, 0.95, 0.85]), torch.tensor([0.6, -0.3, -0.4])
    pictures: list[torch.Tensor] = []
    for gain in (torch.tensor([0.62, 0.47, 0.4]), torch.tensor([0.45, 0.3, 0.2])):
        shade, hue = (
            gaussian_blur(torch.randn(1, 1, SIDE, SIDE, generator=generator), sigma) * sigma
            for sigma in (10.0, 16.0)
        )
        grain = torch.randn(1, 3, SIDE, SIDE, generator=generator) * 0.01
        shape = (1, 3, 1, 1)
        picture = gain.view(shape) + along.view(shape) * shade * 0.4 + across.view(shape) * hue * 0.12 + grain
        pictures.append(picture.clamp(0.0, 1.0))
    line = torch.arange(SIDE) - SIDE / 2 + 0.5
    mask = ((1.0 - torch.hypot(line[None, :] / 90, line[:, None] / 115)) * 6.0).clamp(0.0, 1.0)
    return pictures[0], pictures[1], mask[None, None]


def opencv_reinhard(face: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Means and deviations of float L*a*b* under a hard mask."""
    start, end = (cv2.cvtColor(picture, cv2.COLOR_RGB2LAB) for picture in (face, reference))
    inside = mask > 0.5
    mean, deviation = start[inside].mean(0), start[inside].std(0)
    wanted, wanted_deviation = end[inside].mean(0), end[inside].std(0)
    moved = (start - mean) * (wanted_deviation / deviation) + wanted
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB), 0.0, 1.0)


def processor(work: Callable[[], object]) -> float:
    """Milliseconds of this thread, best of twenty runs."""
    best = float("inf")
    for _ in range(20):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return round(1000.0 * best, 3)


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)  # as merging does: the other cores decode and encode
    cv2.setNumThreads(1)
    face, reference, mask = faces()
    figures: dict[str, Timing | float | str] = {}
    for name in COLOR_TRANSFERS.names():
        transfer = COLOR_TRANSFERS[name]()
        figures[name] = measure(lambda transfer=transfer: transfer(face, reference, mask), at_least=0.5)
        figures[f"{name}, processor ms"] = processor(
            lambda transfer=transfer: transfer(face, reference, mask)
        )
        if not isinstance(transfer, StableTransfer):
            continue
        statistics = transfer.measure(face, reference, mask)
        figures[f"{name}, measuring"] = measure(
            lambda transfer=transfer: transfer.measure(face, reference, mask), at_least=0.3
        )
        figures[f"{name}, recolouring"] = measure(
            lambda transfer=transfer, statistics=statistics: transfer.apply(face, statistics), at_least=0.3
        )
        lines = [statistics[0]] * (2 * REACH + 1)
        figures[f"{name}, averaging {len(lines)} frames"] = measure(
            lambda lines=lines: weighted_window(lines, REACH, REACH, 0.03), at_least=0.2
        )
    arrays = [np.ascontiguousarray(np.moveaxis(picture[0].numpy(), 0, -1)) for picture in (face, reference)]
    hard = mask[0, 0].numpy()
    figures["Reinhard with OpenCV and numpy"] = measure(
        lambda: opencv_reinhard(arrays[0], arrays[1], hard), at_least=0.3
    )
    figures["Reinhard with OpenCV and numpy, processor ms"] = processor(
        lambda: opencv_reinhard(arrays[0], arrays[1], hard)
    )
    conditions = {
        "face": f"{SIDE} x {SIDE}, float32, one in a batch; measured on every second row and column",
        "mask": f"soft ellipse, {100 * float(mask.mean()):.0f} % of the crop",
        "threads": "one",
    }
    publish("color_transfers", figures, conditions)


if __name__ == "__main__":
    main()
