"""Several videos of the same moments in one: a grid with a label in each cell, frame by frame in step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from understudy.contracts import ColorTags, Frame
from understudy.image.color import frame_to_rgb8, rgb_to_rect
from understudy.image.draw import write
from understudy.pipelines.footage import open_footage
from understudy.stream import read_ahead
from understudy.video.layout import yuv_format
from understudy.video.writer import VideoWriter

_WIDE = 1920
"""Width of the grid at most, pixels."""
_CELL = 640
"""Width of a cell at most, pixels."""
_COLUMNS = 3
_LAYOUT = yuv_format(8, 1, 1)
_COLOR = ColorTags(matrix="bt709", full_range=False, primaries=1, transfer=1, space=1)


def write_grid(path: Path, videos: Sequence[tuple[str, Path, int]], rate: Fraction) -> Iterator[int]:
    """Write the grid; ends with the shortest video.

    Args:
        path: the video to write.
        videos: label, file and first frame of each.
        rate: frames a second.

    Yields:
        How many frames are written.

    Raises:
        OutputError: it cannot be written.
        VideoError: a video cannot be read.
    """
    readers = [open_footage(file) for _, file, _ in videos]
    columns = min(_COLUMNS, len(videos)) if len(videos) != 4 else 2
    width = min(_CELL, _WIDE // columns, max(reader.info.width for reader in readers)) & ~1
    height = max(2, round(width * readers[0].info.height / readers[0].info.width) & ~1)
    labels = [_ascii(label) for label, _, _ in videos]
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(contextlib.closing(read_ahead(reader.frames(first), 4)))
            for reader, (_, _, first) in zip(readers, videos, strict=True)
        ]
        writer = stack.enter_context(VideoWriter(path))
        for number, frames in enumerate(zip(*streams, strict=False)):
            cells = [
                _cell(frame, label, (width, height)) for frame, label in zip(frames, labels, strict=True)
            ]
            writer.write(_frame(number, _laid(cells, columns), rate))
            yield number + 1


def _cell(frame: Frame, label: str, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    picture = frame_to_rgb8(frame)
    smaller = picture.shape[1] > size[0]
    kind = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    out = np.ascontiguousarray(cv2.resize(picture, size, interpolation=kind))
    scale = max(0.4, size[0] / 900)
    write(out, label, (round(12 * scale) + 4, round(30 * scale) + 4), scale)
    return out


def _laid(cells: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = cells[0].shape[:2]
    out = np.zeros((height * math.ceil(len(cells) / columns), width * columns, 3), np.uint8)
    for place, cell in enumerate(cells):
        y, x = place // columns * height, place % columns * width
        out[y : y + height, x : x + width] = cell
    return out


def _frame(number: int, picture: UInt8[np.ndarray, "h w 3"], rate: Fraction) -> Frame:
    planes = rgb_to_rect(_LAYOUT, _COLOR, picture.astype(np.float32) / 255)
    return Frame(
        index=number, pts=number, time_base=1 / rate, planes=planes, format=_LAYOUT, color=_COLOR, duration=1
    )


def _ascii(label: str) -> str:
    """OpenCV's font has nothing else."""
    return label.encode("ascii", "replace").decode()
