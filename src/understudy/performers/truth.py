"""What is true of drawn frames, kept without loss beside the video: a table, swapped frames and masks.

::

    <video stem>.truth/
      performer.json   who is seen, whose face was put in, motion, scene, size
      truth.jsonl      one line a frame: pose, landmarks, alignment, expression
      face.mkv         where the face is seen (FFV1, grey)
      swap.mkv         the exact swap (FFV1, RGB), where a second performer was named
      mask.mkv         the weight of the inner face in the swap (FFV1, grey)
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from understudy.contracts import ColorTags, Frame
from understudy.errors import DataError
from understudy.performers.renderer import Rendered
from understudy.video.layout import gray_format, rgb_format

TABLE = "truth.jsonl"
ABOUT = "performer.json"
FACE_VIDEO, SWAP_VIDEO, MASK_VIDEO = "face.mkv", "swap.mkv", "mask.mkv"


@dataclass(frozen=True, eq=False)
class TruthRow:
    """One line of the table."""

    frame: int
    """Number of the frame, from 0."""
    points: Float32[np.ndarray, "478 3"]
    """Landmarks in pixels of the frame."""
    swap_points: Float32[np.ndarray, "478 3"] | None
    """Landmarks of the swapped face; None without one."""
    pose: tuple[float, float, float]
    """Yaw, pitch, roll, degrees."""
    expression: dict[str, float]
    """Parameters by name."""
    alignment: list[list[float]]
    """Frame pixels to the unit square, crop mode ``full``."""


def truth_folder(video: Path) -> Path:
    """Where the truth of a drawn video lies."""
    return video.with_name(f"{video.stem}.truth")


def drawn_with(folder: Path) -> dict[str, Any]:
    """The settings with which a truth folder was drawn.

    Raises:
        DataError: it does not say.
    """
    try:
        settings: dict[str, Any] = json.loads((folder / ABOUT).read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder / ABOUT}: cannot be read ({error}); draw the performer again") from None
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}  # pyright: ignore[reportUnknownArgumentType]


def truth_line(frame: int, drawn: Rendered, swapped: Rendered | None) -> str:
    """A line of the table, coordinates rounded to a thousandth of a pixel."""

    def marks(rendered: Rendered) -> list[list[float]]:
        return np.round(rendered.points.astype(np.float64), 3).tolist()

    row: dict[str, Any] = {
        "frame": frame,
        "pose": [round(angle, 4) for angle in drawn.pose],
        "expression": {k: round(v, 4) for k, v in dataclasses.asdict(drawn.state.expression).items()},
        "alignment": drawn.alignment("full").matrix.tolist(),
        "points": marks(drawn),
    }
    if swapped is not None:
        row["swap_points"] = marks(swapped)
    return json.dumps(row, separators=(",", ":"))


def read_truth(folder: Path) -> Iterator[TruthRow]:
    """The table of a truth folder, in the order of frames.

    Raises:
        DataError: there is no table, or a line is damaged.
    """
    table = folder / TABLE
    if not table.is_file():
        raise DataError(
            f"{folder} holds no {TABLE}: wanted the truth folder that `understudy performers` wrote"
        )
    with table.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                swapped = row.get("swap_points")
                yaw, pitch, roll = row["pose"]
                yield TruthRow(
                    frame=row["frame"],
                    points=np.array(row["points"], np.float32),
                    swap_points=None if swapped is None else np.array(swapped, np.float32),
                    pose=(yaw, pitch, roll),
                    expression=row["expression"],
                    alignment=row["alignment"],
                )
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{table}, line {number} is damaged ({error}); draw the performer again"
                ) from error


def rgb_frame(index: int, picture: Float32[np.ndarray, "h w 3"], rate: Fraction) -> Frame:
    """A frame of 8-bit RGB, stored exactly by FFV1."""
    planes = (np.rint(picture * 255).astype(np.uint8),)
    return Frame(
        index=index, pts=index, time_base=1 / rate, planes=planes, format=rgb_format(8, alpha=False),
        color=ColorTags(matrix="rgb", full_range=True, primaries=1, transfer=13, space=0), duration=1,
    )  # fmt: skip


def gray_frame(index: int, mask: Float32[np.ndarray, "h w"], rate: Fraction) -> Frame:
    """A frame of 8-bit grey."""
    planes = (np.rint(mask * 255).astype(np.uint8),)
    return Frame(
        index=index, pts=index, time_base=1 / rate, planes=planes, format=gray_format(8),
        color=ColorTags(full_range=True), duration=1,
    )  # fmt: skip
