"""Footage through the compositor: order, windows, interruption, settings a face, layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from drawn_frames import face_at, frame_of
from understudy import config
from understudy.blends.feather import Feather
from understudy.color_transfers.histogram import Histogram
from understudy.color_transfers.mean import Mean
from understudy.color_transfers.none import NoTransfer
from understudy.color_transfers.reinhard import Reinhard
from understudy.contracts import Face, Frame
from understudy.errors import ConfigError
from understudy.image.draw import hull_mask
from understudy.image.paste import paste_crop
from understudy.image.temporal import weighted_window
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.composite import (
    MODES,
    CompositeSettings,
    FaceJob,
    TemporalSettings,
    composite,
)
from understudy.pipelines.compositing.compositor import Compositor, reach_of
from understudy.pipelines.compositing.detail_settings import DetailSettings
from understudy.pipelines.compositing.masks import MaskSettings, StoredMask

COUNT = 14
SIDE = 60


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [frame_of("yuv420p", seed=3, detail=0.01 * (i % 3), index=i) for i in range(COUNT)]


def face(index: int, track: int = 0, x: float = 150.0) -> Face:
    return dataclasses.replace(
        face_at(x + index, 110, SIDE, 0.02 * index), frame=index, track=track, index=track
    )


def pictures(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    faces = 0.3 + 0.4 * torch.rand(count, 3, 32, 32, generator=generator)
    return faces, (0.6 + 0.5 * torch.rand(count, 1, 32, 32, generator=generator)).clamp(max=1.0)


def render(
    compositor: Compositor, frames: list[Frame], faces: dict[int, Face], sizes: list[int], first: int = 0
) -> list[Frame]:
    """All frames from ``first`` on, pushed in groups of these sizes."""
    swapped, masks = pictures(COUNT)
    out: list[Frame] = []
    start = first
    for size in sizes:
        group = frames[start : start + size]
        chosen = [frame.index for frame in group if frame.index in faces]
        jobs = [FaceJob(frame=number - start, face=faces[number]) for number in chosen]
        part = torch.tensor(chosen, dtype=torch.long)
        out += compositor.push(group, jobs, swapped[part], masks[part])
        start += size
    return out + compositor.flush()


def same(first: Frame, second: Frame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


SETTINGS = CompositeSettings(temporal=TemporalSettings(reach=3, mask=2))


@pytest.fixture(scope="module")
def whole(frames) -> list[Frame]:
    return render(Compositor(SETTINGS), frames, {i: face(i) for i in range(COUNT)}, [COUNT])


def test_every_frame_comes_out_once_and_in_order(frames):
    compositor = Compositor(SETTINGS)
    swapped, masks = pictures(COUNT)
    seen: list[int] = []
    for i, frame in enumerate(frames):
        job = FaceJob(frame=0, face=face(i))
        got = compositor.push([frame], [job], swapped[i : i + 1], masks[i : i + 1])
        assert [done.index for done in got] == ([i - 3] if i >= 3 else [])
        seen += [done.index for done in got]
    assert [done.index for done in compositor.flush()] == [COUNT - 3, COUNT - 2, COUNT - 1]
    assert compositor.flush() == []


@pytest.mark.parametrize("sizes", [[1] * COUNT, [5, 2, 7]])
def test_groups_do_not_matter(frames, whole, sizes):
    again = render(Compositor(SETTINGS), frames, {i: face(i) for i in range(COUNT)}, sizes)
    assert all(same(a, b) for a, b in zip(whole, again, strict=True))


def test_a_render_that_begins_a_reach_early_is_bit_equal(frames, whole):
    for start in (4, 9):
        compositor = Compositor(SETTINGS)
        first = start - compositor.reach
        late = render(compositor, frames, {i: face(i) for i in range(COUNT)}, [3] * 5, first)
        assert all(same(a, b) for a, b in zip(whole[start:], late[compositor.reach :], strict=True))
    cold = render(Compositor(SETTINGS), frames, {i: face(i) for i in range(COUNT)}, [COUNT], 4)
    assert not same(whole[4], cold[0]), "the window reaches back, or this test shows nothing"


def test_without_reach_it_is_the_composite_of_every_frame(frames):
    off = CompositeSettings(temporal=TemporalSettings(reach=0))
    swapped, masks = pictures(COUNT)
    jobs = [FaceJob(frame=i, face=face(i)) for i in range(COUNT)]
    alone = composite(frames, jobs, swapped, masks, off)
    got = Compositor(off).push(frames, jobs, swapped, masks)
    assert all(same(a, b) for a, b in zip(alone, got, strict=True))


def test_the_colours_are_those_of_the_averaged_measurements(frames):
    """One frame in the middle, recoloured by hand with the average of what its window measured."""
    settings = CompositeSettings(
        color_transfer=Mean(),
        mask=MaskSettings(source="hull", erode=0.0, blur=0.0),
        blend=Feather(softness=0.0),
        temporal=TemporalSettings(reach=2),
    )
    swapped, _ = pictures(COUNT)
    jobs = [FaceJob(frame=i, face=face(i)) for i in range(COUNT)]
    compositor = Compositor(settings)
    layered = compositor.push_layered(frames, jobs, swapped, None) + compositor.flush_layered()
    lines = []
    for i in range(5, 10):
        matrix = jobs[i].face.alignment.crop_matrix(64)
        base = torch.from_numpy(crop_frame(frames[i], matrix, 64))[None]
        hull = torch.from_numpy(hull_mask(jobs[i].face.points, matrix, 64))[None, None]
        small = [
            torch.nn.functional.interpolate(p, (32, 32), mode="bilinear", antialias=True)
            for p in (base, hull)
        ]
        lines.append(Mean().measure(swapped[i : i + 1], *small)[0])
    shift = weighted_window(lines, 2, 2, settings.temporal.sameness)
    expected = swapped[7].mean((1, 2)) + (shift[7:10] - shift[4:7])
    inside = layered[7].layers[0].alpha > 0.999
    found = layered[7].layers[0].colors[:, inside].mean(-1)
    np.testing.assert_allclose(found, expected.numpy(), atol=0.01)
    own = lines[2][7:10] - lines[2][4:7]
    assert (own - (shift[7:10] - shift[4:7])).abs().max() > 0.002, "averaging changes something here"


def test_another_track_is_a_cut(frames):
    """Tracks end at cuts; what was before one has no part in what comes after."""
    faces = {i: face(i, track=i // 7) for i in range(COUNT)}
    together = render(Compositor(SETTINGS), frames, faces, [COUNT])
    second = render(Compositor(SETTINGS), frames, faces, [7], 7)
    assert all(same(a, b) for a, b in zip(together[7:], second, strict=True))


def test_a_number_left_out_is_a_cut(frames):
    faces = {i: face(i) for i in range(COUNT)}
    swapped, masks = pictures(COUNT)
    chosen = [*range(5), *range(8, COUNT)]
    jobs = [FaceJob(frame=place, face=faces[i]) for place, i in enumerate(chosen)]
    compositor = Compositor(SETTINGS)
    got = compositor.push([frames[i] for i in chosen], jobs, swapped[chosen], masks[chosen])
    got += compositor.flush()
    after = render(Compositor(SETTINGS), frames, faces, [COUNT], 8)
    assert [frame.index for frame in got] == chosen
    assert all(same(a, b) for a, b in zip(got[5:], after, strict=True))


def test_a_frame_without_a_face_is_the_same_object_and_ends_the_window(frames):
    faces = {i: face(i) for i in range(COUNT) if i != 6}
    got = render(Compositor(SETTINGS), frames, faces, [4] * 4)
    assert got[6] is frames[6]
    after = render(Compositor(SETTINGS), frames, faces, [COUNT], 7)
    assert all(same(a, b) for a, b in zip(got[7:], after, strict=True))


def test_reset_drops_what_is_held(frames):
    compositor = Compositor(SETTINGS)
    swapped, masks = pictures(COUNT)
    compositor.push(frames[:2], [FaceJob(frame=0, face=face(0))], swapped[:1], masks[:1])
    compositor.reset()
    again = render(compositor, frames, {i: face(i) for i in range(COUNT)}, [COUNT])
    assert [frame.index for frame in again] == list(range(COUNT))


def test_two_faces_of_one_track_number_are_both_laid(frames):
    job = FaceJob(frame=0, face=face(0, x=90))
    other = FaceJob(frame=0, face=face(0, x=220))
    swapped, masks = pictures(2)
    compositor = Compositor(SETTINGS)
    compositor.push_layered(frames[:1], [job, other], swapped, masks)
    (done,) = compositor.flush_layered()
    assert len(done.layers) == 2


def test_a_job_has_settings_of_its_own(frames):
    red = torch.zeros(2, 3, 32, 32)
    red[:, 0] = 0.9
    plain = CompositeSettings(color_transfer=NoTransfer(), blend=Feather())
    jobs = [
        FaceJob(frame=0, face=face(0, 0, 90)),
        FaceJob(frame=0, face=face(0, 1, 220), settings=plain),
    ]
    for got in (
        composite(frames[:1], jobs, red, None, CompositeSettings(color_transfer=Mean(), blend=Feather()))[0],
        (lambda c: (c.push(frames[:1], jobs, red, None) + c.flush())[0])(
            Compositor(CompositeSettings(color_transfer=Mean(), blend=Feather()))
        ),
    ):
        colors = [crop_frame(got, job.face.alignment.crop_matrix(16), 16)[:, 8, 8] for job in jobs]
        assert colors[0][0] < 0.75
        np.testing.assert_allclose(colors[1], [0.9, 0.0, 0.0], atol=0.05)


def test_layers_over_the_plate_are_the_frame(frames):
    compositor = Compositor(CompositeSettings())
    swapped, masks = pictures(1)
    compositor.push_layered(frames[:1], [FaceJob(frame=0, face=face(0))], swapped, masks)
    (done,) = compositor.flush_layered()
    (layer,) = done.layers
    again = paste_crop(frames[0], layer.colors, layer.alpha, layer.matrix)
    assert same(done.frame, again)
    assert 0.8 < layer.alpha.max() <= 1.0
    assert layer.face.track == 0


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_settings(mode, frames):
    settings = config.merge(CompositeSettings(), MODES[mode])
    assert config.merge(CompositeSettings(), config.dump(settings)) == settings
    swapped, masks = pictures(1)
    (got,) = composite(frames[:1], [FaceJob(frame=0, face=face(0))], swapped, masks, settings)
    assert not same(got, frames[0])


def test_a_raw_face_is_the_swappers_square(frames):
    settings = config.merge(CompositeSettings(), MODES["raw-rgb"])
    smooth = torch.nn.functional.interpolate(pictures(1)[0], (4, 4), mode="area")
    swapped = torch.nn.functional.interpolate(smooth, (64, 64), mode="bicubic").clamp(0, 1)
    job = FaceJob(frame=0, face=face(0))
    (got,) = composite(frames[:1], [job], swapped, None, settings)
    shown = crop_frame(got, job.face.alignment.crop_matrix(64), 64)
    inner = (slice(None), slice(6, -6), slice(6, -6))
    assert np.abs(shown[inner] - swapped[0].numpy()[inner]).mean() < 0.02


def test_a_colour_transfer_after_the_blend_brings_the_targets_colours(frames):
    """A gradient-domain blend of a face of another contrast; the transfer behind it mends the mean."""
    swapped = (pictures(1)[0] * 0.3).clamp(0, 1)
    job = [FaceJob(frame=0, face=face(0))]
    shared = {"color_transfer": NoTransfer(), "mask": MaskSettings(source="hull", blur=0.0)}
    for after in (Reinhard(), Histogram()):
        plain, mended = (
            composite(frames[:1], job, swapped, None, CompositeSettings(color_transfer_after=how, **shared))[
                0
            ]
            for how in (NoTransfer(), after)
        )
        matrix = job[0].face.alignment.crop_matrix(64)
        inner = (slice(None), slice(22, 42), slice(22, 42))
        means = [crop_frame(f, matrix, 64)[inner].mean() for f in (frames[0], plain, mended)]
        assert abs(means[2] - means[0]) < 0.3 * abs(means[1] - means[0])


def test_what_stands_before_the_face_stays_to_the_pixel(frames):
    """A stored mask cuts a bar out; contour and blend are soft, and yet the bar is the plate's."""
    bar = np.full((256, 256), 255, np.uint8)
    bar[:, 120:136] = 0
    target = face_at(160, 110, 200, 0.0)
    swapped = torch.full((1, 3, 64, 64), 0.95)
    job = FaceJob(frame=0, face=target, mask=StoredMask(bar, target.alignment))
    settings = CompositeSettings(color_transfer=NoTransfer())
    frame = frame_of("rgb24", detail=0.0)
    (got,) = composite([frame], [job], swapped, None, settings)
    matrix = target.alignment.crop_matrix(256)
    change = np.abs(got.planes[0].astype(int) - frame.planes[0]).max(-1)
    x = 160 + np.array([-6, -4, -1, 1, 4]) * 200 / 256
    assert change[110, np.floor(x).astype(int)].max() <= 1
    assert change[110, [130, 190]].min() > 30
    assert matrix.shape == (2, 3)


def test_a_person_segmenter_keeps_the_background_out(frames):
    settings = CompositeSettings(color_transfer=NoTransfer(), mask=MaskSettings(person=True))

    def left_half(crops: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(crops[:, :1])
        out[..., : crops.shape[-1] // 2] = 1.0
        return out

    target = face_at(160, 110, 160, 0.0)
    white = torch.full((1, 3, 64, 64), 0.95)
    (got,) = composite(frames[:1], [FaceJob(frame=0, face=target)], white, None, settings, 1.0, left_half)
    change = np.abs(got.planes[0].astype(int) - frames[0].planes[0])
    assert change[110, 130] > 20
    assert change[60:160, 164:].max() <= 1


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="reach"):
        TemporalSettings(reach=9)
    with pytest.raises(ConfigError, match="mask"):
        TemporalSettings(mask=-1)
    with pytest.raises(ConfigError, match="sameness"):
        TemporalSettings(sameness=0.0)
    with pytest.raises(ConfigError, match="reach"):
        Compositor(CompositeSettings(), reach=9)


def test_motion_blur_looks_at_the_neighbours(frames):
    """The face goes eight pixels to the right a frame: a spot on it is smeared along that way only."""
    swapped = torch.zeros(3, 3, 64, 64)
    swapped[..., 28:36, 28:36] = 0.9
    sharp = CompositeSettings(
        color_transfer=NoTransfer(), blend=Feather(), temporal=TemporalSettings(reach=0)
    )
    blurred = dataclasses.replace(sharp, detail=DetailSettings(shutter=720.0))
    assert reach_of(sharp) == 0
    assert reach_of(blurred) == 1
    targets = [dataclasses.replace(face_at(110 + 8 * i, 110, 120, 0.0), frame=i) for i in range(3)]
    jobs = [FaceJob(frame=i, face=target) for i, target in enumerate(targets)]
    spread = []
    for settings in (sharp, blurred):
        compositor = Compositor(settings)
        got = compositor.push_layered(frames[:3], jobs, swapped, None) + compositor.flush_layered()
        light = got[1].layers[0].colors.mean(0)[40:88, 40:88]
        spread.append([float((light.max(axis) > 0.1).sum()) for axis in (0, 1)])
    assert spread[1][0] > 1.5 * spread[0][0]
    assert spread[1][1] < 1.3 * spread[0][1]


def test_a_face_can_be_made_larger(frames):
    white = torch.full((1, 3, 32, 32), 0.95)
    areas = []
    for scale in (-30.0, 0.0, 30.0):
        settings = CompositeSettings(color_transfer=NoTransfer(), detail=DetailSettings(scale=scale))
        (got,) = composite(frames[:1], [FaceJob(frame=0, face=face_at(150, 110, 80))], white, None, settings)
        areas.append(float((got.planes[0].astype(int) - frames[0].planes[0] > 20).sum()))
    assert areas[2] / areas[1] == pytest.approx(1.3**2, rel=0.1)
    assert areas[0] / areas[1] == pytest.approx(0.7**2, rel=0.1)
