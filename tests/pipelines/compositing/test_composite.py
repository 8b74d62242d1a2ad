from __future__ import annotations

import numpy as np
import pytest
import torch

from drawn_frames import FORMATS, HEIGHT, WIDTH, face_at, frame_of
from understudy.blends.feather import Feather
from understudy.blends.multiband import Multiband
from understudy.blends.poisson import Poisson
from understudy.color_transfers.none import NoTransfer
from understudy.color_transfers.reinhard import Reinhard
from understudy.contracts import Face, Frame
from understudy.errors import ShapeError
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, composite, working_size
from understudy.pipelines.compositing.masks import MaskSettings, StoredMask


def own_crop(frame: Frame, face: Face, size: int) -> torch.Tensor:
    return torch.from_numpy(crop_frame(frame, face.alignment.crop_matrix(size), size))[None]


PLAIN = CompositeSettings(color_transfer=NoTransfer(), blend=Feather())
green = torch.tensor([0.1, 0.8, 0.2]).view(1, 3, 1, 1).expand(1, 3, 96, 96).contiguous()


def changed(before: Frame, after: Frame, plane: int = 0) -> np.ndarray:
    difference = before.planes[plane].astype(int) - after.planes[plane].astype(int)
    return np.abs(difference.reshape(*difference.shape[:2], -1)).max(-1)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_unchanged_face_returns_the_frame(kind):
    """Up to what one resampling loses: two code values of 255, for a picture without grain."""
    frame, face = frame_of(kind, detail=0.0), face_at(160, 120, 150)
    swapped = own_crop(frame, face, 192)
    (out,) = composite([frame], [FaceJob(frame=0, face=face)], swapped, None, PLAIN)
    limit = 2 << (frame.format.depth - 8)
    for plane in range(len(frame.planes)):
        assert changed(frame, out, plane).max() <= limit
    assert changed(frame, out).mean() < 0.25 * limit


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("blend", [Feather(), Poisson()])
def test_outside_the_face_the_frame_is_bit_equal(kind, blend):
    frame, face = frame_of(kind), face_at(160, 120, 120)
    settings = CompositeSettings(color_transfer=NoTransfer(), blend=blend)
    (out,) = composite([frame], [FaceJob(frame=0, face=face)], green, None, settings)
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    far = np.hypot(yy - 120, xx - 160) > 0.43 * 120 + 12
    where = changed(frame, out)
    assert where[far].max() == 0
    assert where[~far].max() > 10 if isinstance(blend, Feather) else where[~far].max() > 0
    for plane in range(1, len(frame.planes)):
        step_y, step_x = 1 << frame.format.shift_y, 1 << frame.format.shift_x
        assert changed(frame, out, plane)[far[::step_y, ::step_x]].max() == 0
    if frame.format.alpha:
        assert np.array_equal(frame.planes[0][..., 3], out.planes[0][..., 3])


def test_the_face_arrives_in_its_colour():
    frame, face = frame_of("rgb24"), face_at(160, 120, 140)
    (out,) = composite([frame], [FaceJob(frame=0, face=face)], green, None, PLAIN)
    middle = out.planes[0][100:140, 140:180].reshape(-1, 3) / 255
    assert np.abs(middle - [0.1, 0.8, 0.2]).max() < 0.01


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p10le"])
def test_a_flat_colour_has_no_fringe(kind):
    """Luma and chroma masks agree: a grey face on a grey frame leaves all chroma in the middle."""
    frame = frame_of(kind, detail=0.0)
    depth = frame.format.depth
    chroma = np.full_like(frame.planes[1], 128 << (depth - 8))
    frame = Frame(
        index=0,
        pts=0,
        time_base=frame.time_base,
        planes=(frame.planes[0], chroma, chroma),
        format=frame.format,
        color=frame.color,
    )
    gray = torch.full((1, 3, 64, 64), 0.9)
    (out,) = composite([frame], [FaceJob(frame=0, face=face_at(150, 120, 140))], gray, None, PLAIN)
    assert changed(frame, out).max() > 20
    assert changed(frame, out, 1).max() == 0


def test_a_frame_without_a_face_is_the_same_object():
    frames = [frame_of(), frame_of(seed=1), frame_of(seed=2)]
    out = composite(frames, [FaceJob(frame=1, face=face_at(160, 120, 100))], green, None, PLAIN)
    assert out[0] is frames[0]
    assert out[2] is frames[2]
    assert changed(frames[1], out[1]).max() > 10


def test_an_empty_mask_changes_nothing():
    frame = frame_of()
    nothing = torch.zeros(1, 1, 48, 48)
    job = FaceJob(frame=0, face=face_at(160, 120, 100))
    for blend in (Feather(), Poisson()):
        (out,) = composite([frame], [job], green, nothing, CompositeSettings(blend=blend))
        assert out is frame


def test_frames_are_not_altered():
    frame = frame_of()
    before = [plane.copy() for plane in frame.planes]
    composite([frame], [FaceJob(frame=0, face=face_at(160, 120, 100))], green, None, PLAIN)
    assert all(np.array_equal(now, then) for now, then in zip(frame.planes, before, strict=True))


@pytest.mark.parametrize("transfer", [NoTransfer(), Reinhard()])
@pytest.mark.parametrize("blend", [Feather(), Poisson()])
def test_a_batch_is_its_faces_one_by_one(transfer, blend):
    """Four faces of different size in three frames, two in one of them."""
    frames = [frame_of(seed=seed) for seed in range(3)]
    faces = [
        face_at(90, 110, 80),
        face_at(230, 120, 130, -0.3),
        face_at(160, 120, 180),
        face_at(150, 100, 82),
    ]
    jobs = [FaceJob(frame=number, face=face) for number, face in zip((0, 0, 1, 2), faces, strict=True)]
    generator = torch.Generator().manual_seed(0)
    swapped = torch.rand(4, 3, 96, 96, generator=generator)
    masks = torch.rand(4, 1, 48, 48, generator=generator)
    settings = CompositeSettings(color_transfer=transfer, blend=blend, mask=MaskSettings(source="union"))
    together = composite(frames, jobs, swapped, masks, settings)
    alone = list(frames)
    for number, job in enumerate(jobs):
        one = slice(number, number + 1)
        only = FaceJob(frame=0, face=job.face)
        (made,) = composite([frames[job.frame]], [only], swapped[one], masks[one], settings)
        if job.frame == 0 and number == 1:  # far from its neighbour: both changes add up
            difference = [m.astype(int) - f for m, f in zip(made.planes, frames[0].planes, strict=True)]
            planes = [a + d for a, d in zip(alone[0].planes, difference, strict=True)]
            assert all(np.array_equal(p, t) for p, t in zip(planes, together[0].planes, strict=True))
        else:
            alone[job.frame] = made
    assert changed(alone[1], together[1]).max() == 0
    assert changed(alone[2], together[2]).max() == 0


@pytest.mark.parametrize(("x", "y"), [(0, 120), (321, 0), (160, 239), (-400, 50), (160, 5000)])
def test_a_face_at_or_beyond_the_edge_of_its_frame(x, y):
    frame = frame_of()
    job = FaceJob(frame=0, face=face_at(x, y, 120))
    (out,) = composite([frame], [job], green, None, PLAIN)
    assert out.planes[0].shape == frame.planes[0].shape
    assert (changed(frame, out).max() > 10) == (-100 < x < 400 and y < 400)


def test_coverage_places_a_tighter_crop():
    frame, face = frame_of(detail=0.0), face_at(160, 120, 160)
    matrix = face.alignment.crop_matrix(128, 0.7)
    swapped = torch.from_numpy(crop_frame(frame, matrix, 128))[None]
    (out,) = composite([frame], [FaceJob(frame=0, face=face)], swapped, None, PLAIN, coverage=0.7)
    assert changed(frame, out).max() <= 2
    (wrong,) = composite([frame], [FaceJob(frame=0, face=face)], swapped, None, PLAIN, coverage=1.0)
    assert changed(frame, wrong).max() > 10


def test_reinhard_brings_the_colours_of_the_plate():
    frame, face = frame_of("rgb24", detail=0.0), face_at(160, 120, 140)
    shifted = (own_crop(frame, face, 160) * 0.7 + 0.05).clamp(0, 1)
    job = [FaceJob(frame=0, face=face)]
    (out,) = composite([frame], job, shifted, None, CompositeSettings(color_transfer=Reinhard()))
    (raw,) = composite([frame], job, shifted, None, PLAIN)
    assert changed(frame, out).mean() < 0.35 * changed(frame, raw).mean()


def test_working_sizes():
    assert working_size(10, 512) == 64
    assert working_size(128, 512) == 128
    assert working_size(129, 512) == 192
    assert working_size(2000, 512) == 512
    assert working_size(300, 48) == 48


def test_one_face_too_few_is_refused():
    with pytest.raises(ShapeError, match="one a job"):
        composite([frame_of()], [], green, None, PLAIN)


def test_tensors_of_inference_mode_are_taken():
    with torch.inference_mode():
        swapped, masks = green * 1.0, torch.ones(1, 1, 96, 96)
    job = FaceJob(frame=0, face=face_at(160, 120, 100))
    for size in (96, 128):  # with and without resizing
        settings = CompositeSettings(blend=Poisson(), max_size=size)
        (out,) = composite([frame_of()], [job], swapped, masks, settings)
        assert changed(frame_of(), out).max() > 0


def test_what_the_face_sets_mask_leaves_out_stays_the_targets():
    frame, face = frame_of(), face_at(160, 120, 140)
    pixels = np.full((64, 64), 255, np.uint8)
    pixels[:, 32:] = 0
    green = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None].expand(1, 3, 64, 64)
    half = FaceJob(frame=0, face=face, mask=StoredMask(pixels, face.alignment))
    (out,) = composite([frame], [half], green, None, PLAIN)
    matrix = face.alignment.crop_matrix(64)
    changed = np.abs(crop_frame(out, matrix, 64) - crop_frame(frame, matrix, 64)).max(0)
    assert changed[32, 20] > 0.2
    assert changed[32, 44] < 0.01
    (whole,) = composite([frame], [FaceJob(frame=0, face=face)], green, None, PLAIN)
    assert np.abs(crop_frame(whole, matrix, 64) - crop_frame(frame, matrix, 64)).max(0)[32, 44] > 0.2


@pytest.mark.parametrize("blend", [Feather(), Multiband(), Poisson()])
def test_close_to_what_stands_before_the_face_is_as_if_nothing_did(blend):
    """Beyond its own widened edge; the blend's soft edge is the contour's, not the hand's."""
    frame, face = frame_of(), face_at(160, 120, 140)
    pixels = np.full((96, 96), 255, np.uint8)
    pixels[:, 48:] = 0
    settings = CompositeSettings(color_transfer=NoTransfer(), blend=blend)
    jobs = [FaceJob(frame=0, face=face, mask=m) for m in (None, StoredMask(pixels, face.alignment))]
    matrix = face.alignment.crop_matrix(96)
    free, held = (
        crop_frame(composite([frame], [job], green, None, settings)[0], matrix, 96)[:, 40:56] for job in jobs
    )
    edge = 48 - round(96 * (settings.mask.front_grow + settings.mask.front_blur)) - 3
    assert np.abs(free - held)[..., :edge].max() <= 2 / 255
    assert np.abs(free - held)[..., 56:].max() > 0.1
