"""Detail of a swapped face: larger, sharper, softer, blurred by motion, grained as the plate is.

Two calls of the compositor, both on batches in crop space, RGB in [0, 1], on the faces' device:

* ``enlarge(faces, size, settings.enhancer)`` brings faces from the swapper's own size to the working size,
  after their colours were changed: an enhancer draws them, otherwise they are interpolated.
* ``apply_detail(faces, base, mask, moments, settings)`` does everything else, at the working size, before the
  blend. Grain comes last: it is born in the camera, behind everything that blurs.

``scaled_face`` makes the face of a job larger or smaller; it comes before all else. ``prepare`` builds what
has weights, so that a missing file is found before any work.

What is measured on the plate is measured on its own pixels, not on the crop: interpolation takes away noise.
What the paste will take away from grain that is added is found by pasting some and measuring it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional as F

from understudy.contracts import Alignment, ColorTags, Face, Frame, PixelFormat
from understudy.enhancers import Enhancer, Enlarge
from understudy.errors import ShapeError
from understudy.image.draw import hull_mask
from understudy.image.geometry import compose, transform_points
from understudy.image.grain import KINDS, grain, measure_noise, measure_regions, solve_amplitudes
from understudy.image.landmarks import FACE_OVAL
from understudy.image.motion_blur import motion_blur, streak_of_motion
from understudy.image.paste import paste_crop
from understudy.image.sharpness import edge_softness, lose_resolution, sharpen, soften
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.detail_settings import DetailSettings
from understudy.pipelines.setup import make_context

_LARGEST_PLATE = 400
"""Side of the part of the plate on which noise is measured, at most, pixels."""
_PATCH = 160
"""Side of the noise that is pasted to see what is left of it, pixels of the crop."""
_TRIAL = 0.04
"""Amplitude of that noise."""
_STRONGEST = 2.0
"""Gain of the unsharp mask at an amount of 100."""
_WIDEST = 0.02
"""Standard deviation of the blur at an amount of -100, as a fraction of the crop's side."""
_SOFTER = 0.4
"""Blur below which a face counts as being as soft as its plate, pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """Where and when a face is pasted."""

    frame: Frame
    """The plate."""
    face: Face
    """The face in it, as ``scaled_face`` left it; of the same alignment as ``matrix``."""
    matrix: Float64[np.ndarray, "2 3"]
    """Frame pixels to pixels of the crop at the working size."""
    before: Float32[np.ndarray, "478 3"] | None = None
    """Landmarks of the same track in the frame before, frame pixels; None where there is none."""
    after: Float32[np.ndarray, "478 3"] | None = None
    """Landmarks in the next frame."""


def prepare(settings: DetailSettings, device: torch.device) -> None:
    """Load what the enhancer needs.

    Raises:
        WeightsError: no file of weights was given, or it is not there.
        CheckpointError: it is damaged, or of something else.
    """
    _built(settings.enhancer, device)


@lru_cache(maxsize=4)
def _built(enhancer: Enhancer, device: torch.device) -> Enlarge | None:
    return enhancer.build(make_context(device))


def enlarge(
    faces: Float[Tensor, "b 3 r r"], size: int, enhancer: Enhancer
) -> Float[Tensor, "b 3 {size} {size}"]:
    """Faces at another size.

    Args:
        faces: RGB in [0, 1].
        size: side of the result. An enhancer is asked only where it is larger than the faces.
        enhancer: who draws them larger; what it makes too large is filtered and made smaller.
    """
    own = faces.shape[-1]
    faces = faces.detach().float()
    if own == size:
        return faces.clamp(0.0, 1.0)
    network = _built(enhancer, faces.device) if size > own else None
    if network is not None and len(faces):
        faces = network(faces)
    if faces.shape[-1] != size:
        faces = F.interpolate(faces, (size, size), mode="bicubic", antialias=True)
    return faces.clamp(0.0, 1.0)


def scaled_face(face: Face, percent: float) -> Face:
    """The face so much larger (or smaller, below 0) about the middle of its outline.

    Landmarks and alignment change together: hull, learned mask and the face's square grow as one.
    """
    if percent == 0.0:
        return face
    factor = 1.0 + percent / 100.0
    points = np.asarray(face.points, np.float64)
    middle = points[list(FACE_OVAL), :2].mean(0)
    grown = np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]])
    grown[:, 2] = middle * (1.0 - factor)
    shrunk = np.array([[1.0 / factor, 0.0, 0.0], [0.0, 1.0 / factor, 0.0]])
    shrunk[:, 2] = middle * (1.0 - 1.0 / factor)
    return dataclasses.replace(
        face,
        points=transform_points(grown, points).astype(np.float32),
        alignment=Alignment(matrix=compose(face.alignment.matrix, shrunk), mode=face.alignment.mode),
    )


def apply_detail(
    faces: Float[Tensor, "b 3 s s"],
    base: Float[Tensor, "b 3 s s"],
    mask: Float[Tensor, "b 1 s s"],
    moments: Sequence[Moment],
    settings: DetailSettings,
) -> Float[Tensor, "b 3 s s"]:
    """Faces with the detail that was asked for; the same object where nothing was.

    Args:
        faces: swapped faces in their final colours, RGB in [0, 1].
        base: the same crops of the plate.
        mask: where the faces go, in [0, 1].
        moments: where each of them is pasted.
        settings: what to do.

    Returns:
        RGB; grain may leave [0, 1]: the paste averages it once more, and what was cut off before would make
        dark skin lighter.
    """
    if len(moments) != len(faces):
        raise ShapeError("faces", f"{len(moments)}, one a moment", tuple(faces.shape))
    if not settings.does_anything or not len(faces):
        return faces
    side, out = faces.shape[-1], faces
    if settings.sharpen > 0.0:
        out = sharpen(out, settings.sharpen / 100.0 * _STRONGEST, settings.radius * side, settings.kernel)
    elif settings.sharpen < 0.0:
        out = soften(out, -settings.sharpen / 100.0 * _WIDEST * side, settings.kernel)
    if settings.degrade > 0.0:
        out = lose_resolution(out, settings.degrade / 100.0)
    out = out.clamp(0.0, 1.0)
    noise = _plate_noise(moments, side, faces.device) if settings.grain or settings.soften else None
    if settings.soften and noise is not None:
        out = _softened(out, base, mask, noise, settings.soften)
    if settings.shutter > 0.0:
        streaks = [
            streak_of_motion(at.before, at.face.points, at.after, at.matrix, settings.shutter)
            for at in moments
        ]
        out = motion_blur(out, np.stack(streaks))
    out = out.clamp(0.0, 1.0)
    if settings.grain and noise is not None:
        out = _grained(out, mask, moments, noise, settings.grain)
    return out


# ------------------------------------------------------------------------------------------- the plate


def _scale(moment: Moment) -> float:
    """Pixels of the crop to a pixel of the frame."""
    return math.sqrt(abs(float(np.linalg.det(moment.matrix[:, :2]))))


def _plate_noise(
    moments: Sequence[Moment], side: int, device: torch.device
) -> Float64[np.ndarray, "b 3 scales"]:
    """Deviations of the noise of each plate, see ``image.grain.measure_noise``.

    In the face and around it, the smaller of both: what only one of them has is skin, hair or cloth, which
    stays where it is, and must not be made to tremble.
    """
    rows: list[Float64[np.ndarray, "3 scales"]] = []
    for at in moments:
        picture, matrix = _plate(at, side)
        face = torch.from_numpy(hull_mask(at.face.points, matrix, picture.shape[-1]))
        where = torch.stack([face, 1.0 - face])[None].to(device)
        found = measure_regions(torch.from_numpy(picture)[None].to(device), where)[0]
        least = torch.where(found.isnan(), torch.inf, found).amin(0)
        rows.append(torch.where(least.isinf(), 0.0, least).double().cpu().numpy())
    return np.stack(rows)


def _plate(moment: Moment, side: int) -> tuple[Float32[np.ndarray, "3 n n"], Float64[np.ndarray, "2 3"]]:
    """The upright square of the frame that the crop shows about, in the frame's own pixels, and its matrix.

    Pixels are taken as they are; the square is moved inwards where it would leave the frame.
    """
    frame = moment.frame
    wanted = max(16, round(side / _scale(moment)))
    side_of = min(wanted, _LARGEST_PLATE, frame.width, frame.height)
    linear, shift = moment.matrix[:, :2], moment.matrix[:, 2]
    middle = np.linalg.solve(linear, np.full(2, side / 2.0) - shift)
    x, y = (
        int(np.clip(round(float(place) - side_of / 2.0), 0, limit - side_of))
        for place, limit in zip(middle, (frame.width, frame.height), strict=True)
    )
    matrix = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]])
    return crop_frame(frame, matrix, side_of), matrix


def _softened(
    faces: Tensor, base: Tensor, mask: Tensor, noise: Float64[np.ndarray, "b 3 scales"], share: float
) -> Tensor:
    """Faces that are crisper than their plates, made as soft."""
    deviation = torch.from_numpy(noise[:, 0, 0]).to(faces)
    wanted = edge_softness(base, mask, deviation)
    there = edge_softness(faces, mask)
    missing = (wanted.square() - there.square()).clamp(min=0.0).sqrt() * share
    rows = [
        soften(face, float(blur)) if blur > _SOFTER and soft > 0.0 else face
        for face, blur, soft in zip(faces.split(1), missing, there, strict=True)
    ]
    return torch.cat(rows)


# ------------------------------------------------------------------------------------------- grain


def _grained(
    faces: Tensor,
    mask: Tensor,
    moments: Sequence[Moment],
    noise: Float64[np.ndarray, "b 3 scales"],
    share: float,
) -> Tensor:
    """Faces with as much noise as their plates have, as it will be after the paste."""
    side, rows = faces.shape[-1], []
    for face, where, at, wanted in zip(faces.split(1), mask.split(1), moments, noise, strict=True):
        there = _noise_after_paste(face, where, at)
        amplitudes = solve_amplitudes(
            wanted * share, there, _response(*_rounded(at.matrix), _layout(at.frame.format))
        )
        if amplitudes.any():
            face = face + grain(amplitudes, side, _seed(at), faces.device)
        rows.append(face)
    return torch.cat(rows)


def _noise_after_paste(face: Tensor, mask: Tensor, moment: Moment) -> Float64[np.ndarray, "3 scales"]:
    """The face's own noise at about the size of its plate, and what rounding to code values will add."""
    side = round(face.shape[-1] / _scale(moment))
    if not 0.7 * face.shape[-1] < side < 1.4 * face.shape[-1]:
        small = (max(8, side),) * 2
        face, mask = (F.interpolate(p, small, mode="bilinear", antialias=True) for p in (face, mask))
    own = measure_noise(face, mask)[0].double().cpu().numpy()
    step = 1.0 / ((1 << moment.frame.format.depth) - 1)
    rounding = step / math.sqrt(12.0) * 0.5 ** np.arange(own.shape[1])
    return np.sqrt(np.square(own) + np.square(rounding))


def _seed(moment: Moment) -> int:
    """Another one for every frame and every face in it, always the same."""
    return (moment.frame.index * 64 + moment.face.index) & 0x7FFFFFFF


def _rounded(matrix: Float64[np.ndarray, "2 3"]) -> tuple[float, float]:
    """Scale and angle of a crop, so coarse that few of them differ."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) % 90.0
    return 2.0 ** (round(16.0 * math.log2(scale)) / 16.0), 5.0 * round(angle / 5.0)


def _layout(format: PixelFormat) -> PixelFormat:
    """The format with so many bits that rounding cannot be seen; gray and RGB are as they are."""
    return dataclasses.replace(format, name="", depth=16, alpha=False)


@lru_cache(maxsize=256)
def _response(scale: float, angle: float, layout: PixelFormat) -> Float64[np.ndarray, "3 scales kinds"]:
    """Variance of every colour and scale, in the frame, of noise that was pasted with amplitude 1.

    Args:
        scale: pixels of the crop to a pixel of the frame.
        angle: degrees between both.
        layout: of the frame.
    """
    turn = math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    side = max(32, int(_PATCH / scale / math.sqrt(2.0))) // 8 * 8
    middle = np.full(2, _PATCH / 2.0) - linear @ np.full(2, side / 2.0)
    kinds: list[np.ndarray] = []
    for kind in range(KINDS):
        amplitudes = np.zeros((3, KINDS))
        amplitudes[:, kind] = _TRIAL
        noise = grain(amplitudes, _PATCH, kind, torch.device("cpu")).numpy() + np.float32(0.5)
        pasted = paste_crop(
            _gray_frame(layout, side),
            noise,
            np.ones(noise.shape[1:], np.float32),
            np.column_stack([linear, middle]),
        )
        seen = torch.from_numpy(crop_frame(pasted, np.eye(2, 3), side))[None]
        kinds.append(np.square(measure_noise(seen)[0].double().numpy() / _TRIAL))
    return np.stack(kinds, -1)


def _gray_frame(layout: PixelFormat, side: int) -> Frame:
    """A square of middle grey."""
    color = ColorTags(matrix="rgb" if layout.kind == "rgb" else "bt709", full_range=True)
    small = (-(-side >> layout.shift_y), -(-side >> layout.shift_x))
    shapes = {
        "rgb": [(side, side, 3)],
        "gray": [(side, side)],
        "yuv": [(side, side), small, small],
    }[layout.kind]
    planes = tuple(np.full(shape, 1 << (layout.depth - 1), np.uint16) for shape in shapes)
    return Frame(index=0, pts=0, time_base=Fraction(1, 25), planes=planes, format=layout, color=color)
