"""One swapped face, from the swapper's square to what is laid over the frame.

In two steps, because what is measured of a face may be averaged with its neighbours in time in between:
``prepare`` crops, masks and measures, ``finish`` recolours and blends. A face is worked on at about the size
that it has in its frame, so that going there and back loses nothing; faces that have the same working size
and settings are one batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional as F

from understudy.color_transfers import ColorTransfer, StableTransfer
from understudy.color_transfers.none import NoTransfer
from understudy.contracts import Face, Frame, Segmenter
from understudy.errors import ShapeError
from understudy.image.draw import hull_mask
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.beyond import Beyond, outside_of
from understudy.pipelines.compositing.detail import Moment, apply_detail, enlarge, scaled_face
from understudy.pipelines.compositing.masks import (
    MaskSettings,
    StoredMask,
    front_of,
    join_masks,
    soften,
    soften_front,
    weigh_regions,
)
from understudy.pipelines.compositing.measured import IN_TIME, Averaged, measure_faces, resize
from understudy.pipelines.compositing.settings import CompositeSettings

_SIZES = (64, 96, 128, 192, 256, 320, 384, 512, 768, 1024)
"""Working sizes; few, so that faces of several frames share one."""
_AT_ONCE = 1
"""Faces in one batch on a CPU: its caches hold one, and the arithmetic waits for memory, not for calls."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceJob:
    """One face to be put into one of the frames of a call."""

    frame: int
    """Place of its frame in the list of frames."""
    face: Face
    """Alignment and landmarks of the target's face."""
    mask: StoredMask | None = None
    """What its face set says of where it is; None for nothing."""
    settings: CompositeSettings | None = None
    """How this face is put in; None for the settings of the call."""
    beyond: Beyond | None = None
    """What stands for the part of it that the frame's edge cuts off; None for the last pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceLayer:
    """A finished face, as it is laid over its frame."""

    face: Face
    """Whose place it takes."""
    colors: Float32[np.ndarray, "3 s s"]
    """RGB times alpha ("premultiplied"), to which the frame times (1 - alpha) is added."""
    alpha: Float32[np.ndarray, "s s"]
    """Share of the layer, [0, 1]."""
    matrix: Float64[np.ndarray, "2 3"]
    """Frame pixels to pixels of the layer."""
    blocks: float = 0.0
    """How coarse the plate's blocks are to be in it, see ``DetailSettings.blocks``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedFace:
    """A face of which everything is known but what its neighbours in time say."""

    job: FaceJob
    """Its face is of the size at which it is pasted."""
    plate: Frame
    settings: CompositeSettings
    matrix: Float64[np.ndarray, "2 3"]
    base: Float[Tensor, "3 s s"]
    """The frame's own face at the working size, and beyond the frame what stands for it."""
    swapped: Float[Tensor, "3 o o"]
    """The new face; at the swapper's size where that is smaller."""
    contour: Float[Tensor, "1 s s"]
    """Where the face is."""
    front: Float[Tensor, "1 s s"]
    """1 where nothing stands before it."""
    inside: Float[Tensor, "1 s s"]
    """1 within the picture, 0 beyond the frame's edge, where nothing is measured."""
    learned: Float[Tensor, "1 s s"] | None
    """The swapper's mask of the new face."""
    averaged: Averaged
    """What this frame alone says."""


def working_size(side: float, largest: int) -> int:
    """Smallest working size that is no smaller than the face in its frame, and at most ``largest``."""
    allowed = [size for size in _SIZES if size <= largest] or [largest]
    return next((size for size in allowed if size >= side), allowed[-1])


def prepare_faces(
    frames: Sequence[Frame],
    jobs: Sequence[FaceJob],
    swapped: Float[Tensor, "b 3 s s"],
    masks: Float[Tensor, "b c m m"] | None,
    settings: CompositeSettings,
    coverage: float,
    segmenter: Segmenter | None = None,
) -> list[PreparedFace]:
    """Crop, mask and measure faces; see ``composite`` for the arguments.

    Args:
        frames: as decoded.
        jobs: one a face, in the order of ``swapped``.
        swapped: faces of the swapper, RGB in [0, 1].
        masks: the swapper's, see ``masks.join_masks``.
        settings: of jobs that have none.
        coverage: side of the part of the unit square that ``swapped`` shows.
        segmenter: that of persons, for settings that ask for it.

    Raises:
        ShapeError: not one face and mask a job.
    """
    if len(swapped) != len(jobs) or (masks is not None and len(masks) != len(jobs)):
        raise ShapeError("swapped faces and masks", f"{len(jobs)}, one a job", tuple(swapped.shape))
    chosen = [job.settings or settings for job in jobs]
    jobs = [
        dataclasses.replace(job, face=scaled_face(job.face, how.detail.scale))
        for job, how in zip(jobs, chosen, strict=True)
    ]
    sizes = [
        working_size(job.face.alignment.side * coverage, how.max_size)
        for job, how in zip(jobs, chosen, strict=True)
    ]
    out: dict[int, PreparedFace] = {}
    for numbers in _groups(list(zip(sizes, chosen, strict=True)), swapped.is_cuda):
        size, how = sizes[numbers[0]], chosen[numbers[0]]
        part = torch.tensor(numbers, device=swapped.device)
        learned = None if masks is None else resize(masks[part], size, "bilinear")
        mine = [jobs[number] for number in numbers]
        made = _prepare(frames, mine, swapped[part], learned, size, how, coverage, segmenter)
        out.update(zip(numbers, made, strict=True))
    return [out[number] for number in range(len(jobs))]


def finish_faces(faces: Sequence[PreparedFace], averaged: Sequence[Averaged]) -> list[FaceLayer]:
    """Recolour and blend prepared faces.

    Args:
        faces: from ``prepare_faces``.
        averaged: what is to be used instead of each one's own ``averaged``; masks None: its own.
    """
    out: dict[int, FaceLayer] = {}
    keys = [(face.base.shape[-1], face.settings) for face in faces]
    for numbers in _groups(keys, any(face.base.is_cuda for face in faces)):
        layers = _finish([faces[n] for n in numbers], [averaged[n] for n in numbers]).cpu().numpy()
        for number, layer in zip(numbers, layers, strict=True):
            face = faces[number]
            out[number] = FaceLayer(
                face=face.job.face,
                colors=layer[:3],
                alpha=layer[3],
                matrix=face.matrix,
                blocks=face.settings.detail.blocks,
            )
    return [out[number] for number in range(len(faces))]


def _groups(keys: Sequence[tuple[int, CompositeSettings]], together: bool) -> Iterator[list[int]]:
    """Numbers of faces that have the same working size and settings, one at a time on a CPU."""
    left = sorted(range(len(keys)), key=lambda number: keys[number][0])
    while left:
        chosen = [number for number in left if keys[number] == keys[left[0]]]
        left = [number for number in left if number not in chosen]
        largest = len(chosen) if together else _AT_ONCE
        yield from (chosen[start : start + largest] for start in range(0, len(chosen), largest))


# --------------------------------------------------------------------------------------------------- prepare


def _prepare(
    frames: Sequence[Frame],
    jobs: Sequence[FaceJob],
    swapped: Tensor,
    learned: Tensor | None,
    size: int,
    settings: CompositeSettings,
    coverage: float,
    segmenter: Segmenter | None,
) -> list[PreparedFace]:
    """``prepare_faces`` of one group."""
    matrices = [job.face.alignment.crop_matrix(size, coverage) for job in jobs]
    pairs = list(zip(jobs, matrices, strict=True))
    crops = [_plate(frames[job.frame], job, matrix, size) for job, matrix in pairs]
    hulls = [hull_mask(job.face.points, matrix, size)[None] for job, matrix in pairs]
    within = [_inside(frames[job.frame], matrix, size) for job, matrix in pairs]
    base, hull, inside = (
        torch.from_numpy(np.stack(rows)).to(swapped.device) for rows in (crops, hulls, within)
    )
    stored = _stored(pairs, hull, settings.mask)
    contour = join_masks(settings.mask, hull, learned, stored)
    front = front_of(settings.mask, torch.ones_like(hull) if stored is None else stored)
    if settings.mask.person and segmenter is not None:
        front = front * segmenter(base)
    own = min(size, swapped.shape[-1])
    faces = resize(swapped, own, "bicubic")
    averaged = measure_faces(
        settings, base, faces, contour, front, front * inside, [job.face.points for job in jobs]
    )
    return [
        PreparedFace(
            job=job,
            plate=frames[job.frame],
            settings=settings,
            matrix=matrix,
            base=base[n],
            swapped=faces[n],
            contour=contour[n],
            front=front[n],
            inside=inside[n],
            learned=None if learned is None else learned[n, :1],
            averaged=averaged[n],
        )
        for n, (job, matrix) in enumerate(pairs)
    ]


def _plate(frame: Frame, job: FaceJob, matrix: np.ndarray, size: int) -> Float32[np.ndarray, "3 s s"]:
    """The frame's own face, and what stands for it beyond the frame's edge."""
    crop = crop_frame(frame, matrix, size)
    return crop if job.beyond is None else job.beyond.fill(crop, matrix)


def _inside(frame: Frame, matrix: np.ndarray, size: int) -> Float32[np.ndarray, "1 s s"]:
    """1 within the picture: what stands beyond its edge, or is repeated there, has no say in colours."""
    return 1.0 - outside_of(matrix, size, frame.width, frame.height)[None]


def _stored(
    pairs: Sequence[tuple[FaceJob, np.ndarray]], hull: Tensor, settings: MaskSettings
) -> Tensor | None:
    """The face set's masks of these faces; one that has none is all its hull's. None where none has one."""
    if settings.stored == "ignore" or not any(job.mask for job, _ in pairs):
        return None
    size = hull.shape[-1]
    rest = hull if settings.stored == "alone" else torch.ones_like(hull)
    rows = [
        rest[number]
        if job.mask is None
        else torch.from_numpy(job.mask.framed(settings, matrix, size))[None].to(hull)
        for number, (job, matrix) in enumerate(pairs)
    ]
    return torch.stack(rows)


# ---------------------------------------------------------------------------------------------------- finish


def _finish(faces: Sequence[PreparedFace], averaged: Sequence[Averaged]) -> Tensor:
    """Colours times alpha, and alpha, of faces of one group: ``(b, 4, s, s)``."""
    settings = faces[0].settings
    base = torch.stack([face.base for face in faces])
    contour, front = _in_time(faces, averaged)
    if settings.raw != "no":
        return _raw(faces, contour, front)
    inside = torch.stack([face.inside for face in faces])
    moved = _recolored(faces, averaged, base, contour * front * inside)
    points, matrices = [face.job.face.points for face in faces], [face.matrix for face in faces]
    whole = weigh_regions(settings.mask, soften(settings.mask, contour), points, matrices)
    seen = soften_front(settings.mask, front) if bool((front < 1.0).any()) else None
    mask = whole if seen is None else whole * seen
    moved = apply_detail(moved, base, mask * inside, _moments(faces, averaged), settings.detail)
    blended = settings.blend(base, moved, whole)
    if seen is not None:  # the blend's own edge is wide: it would leave much of the old face round a hand
        blended = base.lerp(blended, seen)
    if not isinstance(settings.color_transfer_after, NoTransfer):
        lines = [line.after for line in averaged]
        again = _transferred(settings.color_transfer_after, blended, lines, base, contour * front * inside)
        blended = base + (again - base) * mask
    # What is laid over the frame is the blend less the part of the plate that shines through: the plate's own
    # samples then stand for it, instead of samples that went to the crop and back.
    return torch.cat([blended - (1.0 - mask) * base, mask], dim=1)


def _in_time(faces: Sequence[PreparedFace], averaged: Sequence[Averaged]) -> tuple[Tensor, Tensor]:
    """Contour and front, changed by as much as the averages over time differ from the frame's own masks."""
    masks = torch.stack([torch.cat([face.contour, face.front]) for face in faces])
    if all(line.masks is None for line in averaged):
        return masks[:, :1], masks[:, 1:]
    changes = [
        torch.zeros_like(masks[n, :, :1, :1]).expand(2, IN_TIME, IN_TIME)
        if line.masks is None or face.averaged.masks is None
        else line.masks - face.averaged.masks
        for n, (face, line) in enumerate(zip(faces, averaged, strict=True))
    ]
    size = (masks.shape[-1], masks.shape[-1])
    change = F.interpolate(torch.stack(changes), size, mode="bilinear", align_corners=False)
    masks = (masks + change).clamp(0.0, 1.0)
    return masks[:, :1], masks[:, 1:]


def _recolored(
    faces: Sequence[PreparedFace], averaged: Sequence[Averaged], base: Tensor, mask: Tensor
) -> Tensor:
    """The new faces in the target's colours, at the working size."""
    swapped = torch.stack([face.swapped for face in faces])
    lines = [line.before for line in averaged]
    moved = _transferred(faces[0].settings.color_transfer, swapped, lines, base, mask)
    return enlarge(moved, base.shape[-1], faces[0].settings.detail.enhancer)


def _moments(faces: Sequence[PreparedFace], averaged: Sequence[Averaged]) -> list[Moment]:
    """Where and when each face is pasted, and how it moves."""
    return [
        Moment(
            frame=face.plate,
            face=face.job.face,
            matrix=face.matrix,
            before=line.points_before,
            after=line.points_after,
        )
        for face, line in zip(faces, averaged, strict=True)
    ]


def _transferred(
    transfer: ColorTransfer, faces: Tensor, lines: Sequence[Tensor | None], base: Tensor, mask: Tensor
) -> Tensor:
    if isinstance(transfer, StableTransfer):
        return transfer.apply(faces, torch.stack([line for line in lines if line is not None]))
    if isinstance(transfer, NoTransfer):
        return faces
    own = faces.shape[-1]
    return transfer(faces, resize(base, own, "bilinear"), resize(mask, own, "bilinear"))


def _raw(faces: Sequence[PreparedFace], contour: Tensor, front: Tensor) -> Tensor:
    """A whole square, see ``CompositeSettings.raw``."""
    settings, size = faces[0].settings, contour.shape[-1]
    if settings.raw == "face":
        shown = resize(torch.stack([face.swapped for face in faces]), size, "bicubic")
    elif settings.raw == "mask":
        shown = soften(settings.mask, contour) * soften_front(settings.mask, front)
    else:
        shown = torch.stack([torch.zeros_like(f.contour) if f.learned is None else f.learned for f in faces])
    return torch.cat([shown.expand(-1, 3, -1, -1), torch.ones_like(contour)], dim=1)
