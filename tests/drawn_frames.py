"""Frames of soft colours in every kind of sample, and faces whose outline in them is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from understudy.contracts import Alignment, ColorTags, Face, Frame, PixelFormat
from understudy.image.color import rgb_to_rect
from understudy.image.landmarks import FACE_OVAL

FORMATS = {
    "yuv420p": PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1),
    "yuv420p10le": PixelFormat(name="yuv420p10le", kind="yuv", depth=10, shift_x=1, shift_y=1),
    "yuv422p10le": PixelFormat(name="yuv422p10le", kind="yuv", depth=10, shift_x=1, shift_y=0),
    "yuv444p": PixelFormat(name="yuv444p", kind="yuv", depth=8),
    "rgb24": PixelFormat(name="rgb24", kind="rgb", depth=8),
    "rgba": PixelFormat(name="rgba", kind="rgb", depth=8, alpha=True),
    "gray": PixelFormat(name="gray", kind="gray", depth=8),
}
WIDTH, HEIGHT = 321, 240


def frame_of(kind: str = "yuv420p", seed: int = 0, detail: float = 0.02, index: int = 0) -> Frame:
    """A picture of soft colours with a little grain."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    generator = np.random.default_rng(seed)
    rgb = np.stack(
        [0.5 + 0.25 * np.sin(xx / 31 + seed + k) * np.cos(yy / (23 + 4 * k)) for k in range(3)], axis=-1
    )
    rgb = (rgb + detail * generator.standard_normal(rgb.shape)).clip(0, 1).astype(np.float32)
    color = ColorTags(matrix="rgb" if FORMATS[kind].kind == "rgb" else "bt709")
    planes = rgb_to_rect(FORMATS[kind], color, rgb)
    return Frame(
        index=index, pts=index, time_base=Fraction(1, 25), planes=planes, format=FORMATS[kind], color=color
    )


def face_at(x: float, y: float, side: float, angle: float = 0.2) -> Face:
    """A face whose oval is an upright ellipse in its crop, 0.7 wide and 0.86 high."""
    scale = 1.0 / side
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[c, s], [-s, c]])
    matrix = np.column_stack([linear, np.array([0.5, 0.5]) - linear @ np.array([x, y])])
    turns = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    square = np.full((478, 2), 0.5)
    square[list(FACE_OVAL)] = 0.5 + 0.5 * np.stack([0.7 * np.sin(turns), -0.86 * np.cos(turns)], -1)
    points = np.linalg.solve(linear, (square - matrix[:, 2]).T).T
    return Face(
        frame=0,
        time=0.0,
        index=0,
        track=0,
        box=np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2]),
        presence=1.0,
        points=np.concatenate([points, np.zeros((478, 1))], axis=1).astype(np.float32),
        alignment=Alignment(matrix=matrix, mode="full"),
    )
