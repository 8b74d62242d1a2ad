"""A face as blocky as its plate, and nothing beside it touched."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import fft, ndimage

from drawn_frames import face_at, frame_of
from understudy.blends.feather import Feather
from understudy.color_transfers.none import NoTransfer
from understudy.contracts import ColorTags, Frame
from understudy.image.blocking import blockiness
from understudy.pipelines.compositing.blocks import match_blocks
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.compositing.detail_settings import DetailSettings

STEPS = np.add.outer(np.arange(8), np.arange(8)) * 4.0 + 10.0


def coded(plane: np.ndarray) -> np.ndarray:
    """As Motion JPEG leaves it; sides of whole blocks."""
    blocks = (plane - 128.0).reshape(plane.shape[0] // 8, 8, plane.shape[1] // 8, 8).transpose(0, 2, 1, 3)
    found = np.rint(fft.dctn(blocks, axes=(2, 3), norm="ortho") / STEPS) * STEPS
    back = fft.idctn(found, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(plane.shape)
    return np.rint(back + 128.0).clip(0, 255).astype(np.uint8)


def blocky_frame() -> Frame:
    random = np.random.default_rng(0)
    planes = []
    for size in ((240, 320), (120, 160), (120, 160)):
        fields = [ndimage.gaussian_filter(random.standard_normal(size), blur) for blur in (9.0, 2.0, 0.8)]
        plane = sum(c * f / f.std() for c, f in zip((20.0, 12.0, 9.0), fields, strict=True))
        planes.append(coded(np.asarray(plane) + 128.0))
    plain = frame_of("yuv420p")
    return dataclasses.replace(plain, planes=tuple(planes), color=ColorTags(matrix="bt601", full_range=True))


@pytest.fixture(scope="module")
def plate() -> Frame:
    return blocky_frame()


def with_face(plate: Frame, blocks: float) -> Frame:
    """A soft face with some detail, as a network draws it."""
    random = np.random.default_rng(1)
    drawn = ndimage.gaussian_filter(random.standard_normal((3, 128, 128)), (0, 3, 3))
    face = torch.from_numpy((0.5 + 0.12 * drawn / drawn.std()).clip(0, 1).astype(np.float32))[None]
    settings = CompositeSettings(
        color_transfer=NoTransfer(), blend=Feather(), detail=DetailSettings(blocks=blocks)
    )
    return composite([plate], [FaceJob(frame=0, face=face_at(160, 120, 150))], face, None, settings)[0]


def weight(scale: int = 1) -> np.ndarray:
    yy, xx = np.mgrid[: 240 // scale, : 320 // scale] + 0.5
    return (np.hypot(yy - 120 / scale, xx - 160 / scale) < 45 / scale).astype(float)


def test_the_face_is_as_blocky_as_if_it_had_been_filmed(plate):
    clean, made = with_face(plate, 0.0), with_face(plate, 1.0)
    for plane, scale in ((0, 1), (1, 2)):
        truth = coded(clean.planes[plane].astype(float))
        wanted = blockiness(truth, (0, 0), weight(scale))
        before, after = (blockiness(f.planes[plane], (0, 0), weight(scale)) for f in (clean, made))
        assert before < 1.2
        assert wanted > 1.4
        assert after == pytest.approx(wanted, rel=0.1)
    inner = weight() > 0
    assert np.abs(made.planes[0].astype(int) - coded(clean.planes[0].astype(float)))[inner].mean() < 0.5


def test_beside_the_face_nothing_changes(plate):
    clean, made = with_face(plate, 0.0), with_face(plate, 1.0)
    for plane in range(3):
        untouched = clean.planes[plane] == plate.planes[plane]
        far = ndimage.minimum_filter(untouched, 9)
        assert far.mean() > 0.4
        assert np.array_equal(made.planes[plane][far], plate.planes[plane][far])
    assert not np.array_equal(made.planes[0], clean.planes[0])


def test_coarser_and_finer(plate):
    found = [
        blockiness(with_face(plate, share).planes[0], (0, 0), weight()) for share in (0.0, 0.5, 1.0, 2.0)
    ]
    assert found == sorted(found)


@pytest.mark.parametrize("kind", ["yuv420p", "yuv420p10le", "rgb24", "gray"])
def test_a_plate_without_blocks_stays_the_very_same(kind):
    frame = frame_of(kind)
    face = face_at(160, 120, 120)
    alpha, matrix = np.ones((64, 64), np.float32), face.alignment.crop_matrix(64)
    assert match_blocks(frame, frame, alpha, matrix, 1.0) is frame
    assert match_blocks(frame, frame, 0.0 * alpha, matrix, 1.0) is frame


def test_a_face_at_the_edge(plate):
    face = face_at(318, 3, 90)
    alpha, matrix = np.ones((64, 64), np.float32), face.alignment.crop_matrix(64)
    made = match_blocks(plate, plate, alpha, matrix, 1.0)
    assert np.abs(made.planes[0].astype(int) - plate.planes[0]).max() <= 1, "it is coded already"
