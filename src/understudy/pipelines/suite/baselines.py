"""What bounds a table of methods: videos that no swapper made."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from understudy import durable
from understudy.contracts import Frame
from understudy.image.color import rect_to_rgb, rgb_to_rect
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

_Paint = Callable[[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w 1"], Frame], np.ndarray]


def write_baseline(name: str, target: Path, truth: Path, output: Path) -> None:
    """Write one of ``cases.BASELINES``.

    Args:
        name: which.
        target: the performer's video.
        truth: its truth folder, with the exact swap.
        output: the video to be; encoded with the settings that merging has by default, but for ``untouched``,
            which is a copy of the file.

    Raises:
        OutputError: it cannot be written.
    """
    if name == "untouched":
        with durable.new_file(output) as part:
            shutil.copyfile(target, part)
        return
    paint: dict[str, _Paint | None] = {"re-encoded": None, "mean colour": _mean_color, "exact": _exact}
    info = VideoReader(target).info
    with VideoWriter(output, like=info) as writer:
        for frame in _painted(target, truth, paint[name]):
            writer.write(frame)


def _painted(target: Path, truth: Path, paint: _Paint | None) -> Iterator[Frame]:
    paths = (target, truth / SWAP_VIDEO, truth / MASK_VIDEO)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(VideoReader(path)) for path in paths]
        for plate, swap, mask in zip(*(reader.frames() for reader in readers), strict=True):
            if paint is None:
                yield plate
                continue
            rgb = rect_to_rgb(plate, 0, 0, plate.width, plate.height)
            weight = (mask.planes[0].astype(np.float32) / 255.0)[..., None]
            painted = paint(rgb, weight, swap).astype(np.float32)
            yield dataclasses.replace(plate, planes=rgb_to_rect(plate.format, plate.color, painted))


def _mean_color(rgb: np.ndarray, weight: np.ndarray, swap: Frame) -> np.ndarray:
    """The face painted over in its mean colour: what any swap must beat."""
    mean = (rgb * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    return rgb + weight * (mean - rgb)


def _exact(rgb: np.ndarray, weight: np.ndarray, swap: Frame) -> np.ndarray:
    """The exact swap: nothing can beat it but by chance."""
    return rect_to_rgb(swap, 0, 0, swap.width, swap.height)
