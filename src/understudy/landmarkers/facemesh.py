"""MediaPipe's Face Mesh with refined eyes: 468 points of the skin with depth, and both irises.

Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", and
Ablavatski et al. 2020, "Real-time Pupil Tracking from Monocular Video for Digital Puppetry". The mesh
network looks at a turned square of 192 pixels; the eye network at 64 pixels round each eye, knows right eyes
only, and so is shown the left one mirrored. Its lid lines and surroundings replace x and y of the mesh;
depth stays the mesh's, an iris lies at the mean depth of its lids.

Beyond the picture its border goes on, which gives half a face at the edge its best points, but little
presence. The mirror image beyond the edge gives worse points and a clear presence, so a face that was
followed there is asked for it; a face that comes in waits until it is seen without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from understudy.contracts import Context, Detection, Landmarks, Region
from understudy.image.geometry import compose, invert, to_opencv, transform_points
from understudy.image.landmarks import ALL_POINTS, LEFT_EYE, LEFT_IRIS, MESH_POINTS, RIGHT_EYE, RIGHT_IRIS
from understudy.image.pyramid import halved, halvings
from understudy.landmarkers import LANDMARKERS, LandmarkerSettings
from understudy.nn.litert import LiteNetwork

MARGIN = 1.5
"""Side of the square that is looked at, in units of the face's box."""
EYE_MARGIN = 2.3
"""Side of an eye's square, in units of the distance of its corners."""
EYE_POINTS = 71
"""Points round an eye that the eye network gives."""

RIGHT_EYE_REFINED: tuple[int, ...] = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),  # lid line
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),  # first ring round it
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),  # second
    *(35, 124, 46, 53, 52, 65),  # lower edge of the brow
    *(143, 111, 117, 118, 119, 120, 121, 128, 245),  # cheek
    *(156, 70, 63, 105, 66, 107, 55, 193),  # upper edge of the brow
)
"""Mesh points that the eye network refines, in its order, for the person's right eye."""
LEFT_EYE_REFINED: tuple[int, ...] = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295),
    *(372, 340, 346, 347, 348, 349, 350, 357, 465),
    *(383, 300, 293, 334, 296, 336, 285, 417),
)
"""The same for the left eye: the mirror images, in the same order."""

_SHRINK = 1.5
"""Reduction above which a picture is halved before it is sampled: plain sampling would alias."""


@LANDMARKERS.register("facemesh")
@dataclass(frozen=True, kw_only=True)
class FaceMesh(LandmarkerSettings):
    """MediaPipe's Face Mesh, 478 points with irises."""

    weights: ClassVar[tuple[str, ...]] = ("face_landmark", "iris_landmark")

    refine_eyes: bool = True
    """Look at each eye more closely: exact lids and irises, for about twice the time."""
    look_again: bool = True
    """Look a second time where the face was not in the middle, as after a detection."""

    def build(self, context: Context) -> FaceMeshLandmarker:
        """Load the networks; they run on the processor."""
        mesh, eye = (context.weights.path(name) for name in self.weights)
        return FaceMeshLandmarker(
            self,
            mesh=LiteNetwork(mesh.read_bytes(), (MESH_POINTS * 3, 1)),
            eye=LiteNetwork(eye.read_bytes(), (EYE_POINTS * 3, 5 * 3)) if self.refine_eyes else None,
        )


class _Followed(Region):
    """Where a face is expected that was found before."""


class FaceMeshLandmarker:
    """Finds landmarks; see ``contracts.Landmarker``. Any thread may call it."""

    def __init__(self, settings: FaceMesh, mesh: LiteNetwork, eye: LiteNetwork | None) -> None:
        self.settings = settings
        self.mesh = mesh
        self.eye = eye

    def region_of_detection(self, detection: Detection) -> Region:
        """Half as much again as the box, turned by the line of the eyes where they are known."""
        x0, y0, x1, y1 = detection.box
        angle = 0.0
        if len(detection.keypoints) >= 2:
            angle = _angle(detection.keypoints[0], detection.keypoints[1])
        side = MARGIN * float(max(x1 - x0, y1 - y0))
        return Region(center=(float(x0 + x1) / 2, float(y0 + y1) / 2), side=side, angle=angle)

    def region_of_points(self, points: Float32[np.ndarray, "478 3"]) -> Region:
        """Half as much again as the box round the mesh, turned by the line through the outer eye corners."""
        flat = points[:MESH_POINTS, :2].astype(np.float64)
        angle = _angle(flat[33], flat[263])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        upright = flat @ turn  # coordinates along the face's axes
        low, high = upright.min(0), upright.max(0)
        center = turn @ ((low + high) / 2)
        side = MARGIN * float((high - low).max())
        return _Followed(center=(float(center[0]), float(center[1])), side=side, angle=angle)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], regions: Sequence[Region]) -> list[Landmarks]:
        """Landmarks of each region, in pixels of the picture."""
        return [self._one(image, region) for region in regions]

    def _one(self, image: UInt8[np.ndarray, "h w 3"], region: Region) -> Landmarks:
        points, presence = self._look(image, region)
        if self.settings.look_again and presence >= 0.5:
            better = self.region_of_points(points)
            if _far_apart(region, better):
                again, presence_again = self._look(image, better)
                if presence_again >= presence * 0.9:
                    points, presence = again, presence_again
        if self.eye is not None and presence >= 0.5:
            self._refine(image, points)
        return Landmarks(points=points, presence=presence)

    def _look(
        self, image: UInt8[np.ndarray, "h w 3"], region: Region
    ) -> tuple[Float32[np.ndarray, "478 3"], float]:
        """Mesh of one region, with irises guessed from the lids, and presence."""
        matrix = region_matrix(region, self.mesh.width)
        values, presence = self._mesh(_cut(image, matrix, self.mesh.width))
        if presence < 0.5 and isinstance(region, _Followed) and _cut_off(image, region):
            presence = max(presence, self._mesh(_cut(image, matrix, self.mesh.width, mirrored=True))[1])
        points = np.empty((ALL_POINTS, 3), np.float32)
        points[:MESH_POINTS] = transform_points(invert(matrix), values.reshape(MESH_POINTS, 3))
        for iris, lids in ((RIGHT_IRIS, RIGHT_EYE), (LEFT_IRIS, LEFT_EYE)):
            points[list(iris)] = points[list(lids)].mean(0)
        return points, presence

    def _mesh(self, picture: Float32[np.ndarray, "s s 3"]) -> tuple[np.ndarray, float]:
        values, flag = self.mesh(picture)
        return values, 1.0 / (1.0 + math.exp(-float(flag.ravel()[0])))

    def _refine(self, image: UInt8[np.ndarray, "h w 3"], points: Float32[np.ndarray, "478 3"]) -> None:
        """Replace the surroundings of both eyes by what the eye network sees, in place."""
        assert self.eye is not None
        size = self.eye.width
        for refined, iris, lids, corners, mirrored in (
            (RIGHT_EYE_REFINED, RIGHT_IRIS, RIGHT_EYE, (33, 133), False),
            (LEFT_EYE_REFINED, LEFT_IRIS, LEFT_EYE, (362, 263), True),
        ):
            matrix = region_matrix(_eye_region(points[corners[0]], points[corners[1]]), size)
            if mirrored:
                matrix[0] *= -1
                matrix[0, 2] += size
            contour, center = self.eye(_cut(image, matrix, size))
            back = invert(matrix)
            points[list(refined), :2] = transform_points(back, contour.reshape(EYE_POINTS, 3)[:, :2])
            points[list(iris), :2] = transform_points(back, center.reshape(5, 3)[:, :2])
            points[list(iris), 2] = points[list(lids), 2].mean()


def region_matrix(region: Region, size: int) -> Float64[np.ndarray, "2 3"]:
    """Frame pixels to pixels of a picture of a region.

    Args:
        region: the turned square.
        size: side of its picture, pixels.
    """
    scale = size / region.side
    cosine, sine = scale * math.cos(region.angle), scale * math.sin(region.angle)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    shift = size / 2 - linear @ np.array(region.center)
    return np.column_stack([linear, shift])


def _eye_region(first: Float32[np.ndarray, "3"], second: Float32[np.ndarray, "3"]) -> Region:
    """The square round an eye, from its corners on the picture's left and right."""
    center = (first + second) / 2
    side = EYE_MARGIN * max(float(np.hypot(*(second - first)[:2])), 1.0)
    return Region(center=(float(center[0]), float(center[1])), side=side, angle=_angle(first, second))


def _cut(
    image: UInt8[np.ndarray, "h w 3"], matrix: Float64[np.ndarray, "2 3"], size: int, mirrored: bool = False
) -> Float32[np.ndarray, "s s 3"]:
    """Picture of a region in [0, 1]; beyond the frame its border goes on, or its mirror image."""
    back = invert(matrix)
    reduction = float(np.hypot(*back[:, 0]))
    corners = transform_points(back, np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64))
    limit = np.array([image.shape[1], image.shape[0]])
    reach = reduction * (size if mirrored else 1)  # what is mirrored lies as far within as beyond
    low = np.clip(np.floor(corners.min(0) - reach), 0, limit - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(corners.max(0) + reach), 0, limit).astype(int), low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    times = halvings(part.shape, reduction / _SHRINK * 2)
    reduced = compose(matrix, np.array([[2**times, 0, low[0]], [0, 2**times, low[1]]], np.float64))
    cut = cv2.warpAffine(
        halved(part, times),
        to_opencv(reduced),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT if mirrored else cv2.BORDER_REPLICATE,
    )
    return cut * np.float32(1 / 255)


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Angle of the line between two points, clockwise as seen."""
    return math.atan2(float(second[1] - first[1]), float(second[0] - first[0]))


def _cut_off(image: UInt8[np.ndarray, "h w 3"], region: Region) -> bool:
    """Whether the picture's edge cuts the face itself, not only the margin round it."""
    height, width = image.shape[:2]
    half = region.side / MARGIN / 2
    x, y = region.center
    return min(x, y, width - x, height - y) < half


def _far_apart(one: Region, other: Region) -> bool:
    """Whether a face was so far from the middle, so large or so turned that a second look is worth it."""
    shift = math.dist(one.center, other.center) / other.side
    turn = abs(math.remainder(one.angle - other.angle, 2 * math.pi))
    return shift > 0.08 or turn > math.radians(10) or not 0.8 < one.side / other.side < 1.25
