"""The words of the house: what travels between rooms, and what each kind of plugin promises.

Conventions that hold everywhere:

* Pixel coordinates are (x, y) with **(0, 0) the outer corner of the first pixel**; the centre of that pixel
  is (0.5, 0.5). ``image.geometry`` converts to OpenCV's and ``grid_sample``'s conventions; nobody else
  does.
* Pictures in memory are RGB, ``(B, C, H, W)`` float in [0, 1] for tensors; only frames stay as decoded.
* A matrix is 2 x 3, maps column vectors (x, y, 1), and is float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CropMode = Literal["half", "mid_full", "full", "whole", "head"]
"""How much of the head a crop shows, from the brows-to-mouth square to hair and neck."""


# ---------------------------------------------------------------------------------------------------- frames


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """How the samples of a frame lie in memory."""

    name: str
    """FFmpeg's name, ``yuv420p10le``."""
    kind: Literal["yuv", "rgb", "gray"]
    """``yuv``: one array a plane, full-size luma first.

    ``rgb``: one (h, w, 3) or (h, w, 4) array. ``gray``: one (h, w).
    """
    depth: int
    """Bits a sample; arrays are uint8 for 8, uint16 above (value in the low bits)."""
    shift_x: int = 0
    """log2 of the horizontal chroma subsampling."""
    shift_y: int = 0
    """log2 of the vertical chroma subsampling."""
    alpha: bool = False
    """True when the last plane or channel is alpha."""


@dataclass(frozen=True, kw_only=True)
class ColorTags:
    """What the file says about its colours; unknowns are settled by ``video.probe`` and marked as guessed."""

    matrix: Literal["bt601", "bt709", "bt2020", "rgb"] = "bt709"
    """RGB to YUV matrix."""
    full_range: bool = False
    """True for 0…255, False for 16…235 (scaled with the depth)."""
    primaries: int = 2
    """ITU-T H.273 number, 2 = unspecified; restored on writing."""
    transfer: int = 2
    """ITU-T H.273 number, 2 = unspecified; restored on writing."""
    space: int = 2
    """ITU-T H.273 number of the matrix as tagged in the file, 2 = unspecified; restored on writing."""
    guessed: bool = False
    """True when the file did not name its matrix and ``matrix`` was chosen by size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a video exactly as decoded: rotated upright, never converted."""

    index: int
    """Number of the frame in display order, from 0."""
    pts: int
    """Time stamp in units of ``time_base``."""
    time_base: Fraction
    """Seconds a tick."""
    planes: tuple[np.ndarray, ...]
    """Sample arrays as ``format`` describes; treat as read-only, paste into a copy."""
    format: PixelFormat
    """Layout and depth of ``planes``."""
    color: ColorTags
    """Matrix, range and tags."""
    duration: int = 0
    """Length in ticks; 0 when unknown."""
    name: str = ""
    """File name, for a frame of an image sequence."""

    @property
    def time(self) -> float:
        """Time stamp in seconds."""
        return float(self.pts * self.time_base)

    @property
    def height(self) -> int:
        """Rows of the picture, pixels."""
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the picture, pixels."""
        return int(self.planes[0].shape[1])


# ---------------------------------------------------------------------------------------------------- faces


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """A face that a detector saw, in pixels of the frame."""

    box: Float64[np.ndarray, "4"]
    """x0, y0, x1, y1."""
    score: float
    """Confidence in [0, 1]."""
    keypoints: Float64[np.ndarray, "n 2"]
    """Right eye, left eye, nose tip, mouth centre, then others; right is the person's right. May be empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A turned square in the frame in which a landmarker looks for a face."""

    center: tuple[float, float]
    """Pixels."""
    side: float
    """Pixels."""
    angle: float = 0.0
    """Radians, from the frame's x axis to the face's, clockwise as seen (y points down)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Landmarks:
    """What a landmarker found in a region."""

    points: Float32[np.ndarray, "478 3"]
    """MediaPipe's Face Mesh topology: 468 points, then five of the right and five of the left iris; x, y in
    frame pixels, z in the same unit (smaller is nearer), zero at the head's centre."""
    presence: float
    """Probability that a face is there, [0, 1]; a face counts as *found* from 0.5."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """The one coordinate truth of a face: from frame pixels to the unit square of its crop.

    Every crop size and coverage is derived from it and its inverse pastes. Made by ``image.geometry.align``.
    """

    matrix: Float64[np.ndarray, "2 3"]
    """Frame pixels to the unit square; a similarity."""
    mode: CropMode
    """How much of the head the unit square shows."""

    def crop_matrix(self, size: int, coverage: float = 1.0) -> Float64[np.ndarray, "2 3"]:
        """Frame pixels to pixels of a crop.

        Args:
            size: side of the crop in pixels.
            coverage: side of the centred part of the unit square that the crop shows; above 1 shows more.
        """
        out = self.matrix * (size / coverage)
        out[:, 2] += size * (0.5 - 0.5 / coverage)
        return out

    @cached_property
    def corners(self) -> Float64[np.ndarray, "4 2"]:
        """The unit square's corners in frame pixels, from the top left clockwise."""
        linear, shift = self.matrix[:, :2], self.matrix[:, 2]
        square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        return np.linalg.solve(linear, (square - shift).T).T

    @property
    def side(self) -> float:
        """Side of the unit square in frame pixels."""
        return float(1.0 / np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One face in one frame, as extraction leaves it."""

    frame: int
    """Number of the frame, from 0."""
    time: float
    """Seconds."""
    index: int
    """Number of the face in its frame, from 0, left to right."""
    track: int
    """Stable number of the track, from 0 in a video."""
    box: Float64[np.ndarray, "4"]
    """x0, y0, x1, y1 in frame pixels, round the landmarks."""
    presence: float
    """Landmarker's presence, [0, 1]."""
    points: Float32[np.ndarray, "478 3"]
    """Landmarks, see ``Landmarks.points``; smoothed over time where that is on."""
    alignment: Alignment
    """From frame pixels to the face's unit square."""
    found: bool = True
    """False when the face was held or interpolated between frames where it was found."""
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Yaw, pitch, roll in degrees: positive looks to the picture's right, looks up, turns clockwise."""
    sharpness: float = 0.0
    """Variance of the Laplacian of the crop's luma (8-bit scale), in the face hull."""


# ---------------------------------------------------------------------------------------------------- plugins


@runtime_checkable
class WeightFiles(Protocol):
    """Where a plugin finds the weight files it declares."""

    def path(self, name: str) -> Path:
        """A verified local file. Raises ``WeightsError`` that says how to get it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """What ``build`` of a plugin is given."""

    device: torch.device
    """Where its tensors live."""
    weights: WeightFiles
    """Local weight files by declared name."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Other built plugins, by kind: ``{"embedder": …}``."""


@runtime_checkable
class Detector(Protocol):
    """Finds faces. Built by a settings class in ``detectors``."""

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of an RGB picture, in its pixels, best first."""
        ...


@runtime_checkable
class Landmarker(Protocol):
    """Finds landmarks in regions. Built by a settings class in ``landmarkers``."""

    def region_of_detection(self, detection: Detection) -> Region:
        """Where to look for the face that a detector saw."""
        ...

    def region_of_points(self, points: Float32[np.ndarray, "478 3"]) -> Region:
        """Where to look in the next frame for a face known in this one."""
        ...

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], regions: Sequence[Region]) -> list[Landmarks]:
        """Landmarks of each region, in pixels of the picture."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Describes who a face is.

    Built by a settings class in ``embedders``; differentiable where it is torch.
    """

    side: int
    """Side of the crop it wants, pixels."""
    dimension: int
    """Length of the identity vector."""
    same_person: float
    """Euclidean distance below which two vectors are taken for one person."""

    def crop_matrix(self, points: Float32[np.ndarray, "478 3"]) -> Float64[np.ndarray, "2 3"]:
        """Frame pixels to pixels of the crop it wants."""
        ...

    def __call__(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Identity vectors of RGB crops in [0, 1]."""
        ...


@runtime_checkable
class Segmenter(Protocol):
    """Masks in a crop. Built by a settings class in ``segmenters``."""

    def __call__(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1 s s"]:
        """Probability that a pixel belongs to what the segmenter looks for."""
        ...
