"""Averages of measurements along tracks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from understudy.errors import ConfigError
from understudy.image.temporal import TrackWindow, weighted_masks, weighted_window


def line(value: float, area: float = 0.5, light: float = 0.4) -> torch.Tensor:
    return torch.tensor([area, light, light, light, value])


def run(frames, reach: int = 8, sameness: float = 0.03) -> list[dict[int, torch.Tensor]]:
    """All that comes out; a None among the frames is a cut."""
    window: TrackWindow[int, torch.Tensor] = TrackWindow(reach)
    moments = []
    for frame in frames:
        moments += window.reset() if frame is None else window.push(frame)
    return [
        {track: weighted_window(part.items, part.middle, reach, sameness) for track, part in moment.items()}
        for moment in moments + window.reset()
    ]


def test_as_many_frames_come_out_and_they_wait_for_their_window():
    smoother = TrackWindow(3)
    counts = [len(smoother.push({0: line(float(i))})) for i in range(10)]
    assert counts == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert len(smoother.reset()) == 3
    assert smoother.reset() == []


def test_the_average_is_the_formula():
    values = np.random.default_rng(0).random(30)
    reach = 4
    out = run([{7: line(float(v))} for v in values], reach=reach)
    for i in range(30):
        places = np.arange(max(0, i - reach), min(30, i + reach + 1))
        weights = np.cos((places - i) * math.pi / 2 / (reach + 1)) ** 2
        assert float(out[i][7][4]) == pytest.approx(
            (weights * values[places]).sum() / weights.sum(), abs=1e-5
        )


def test_noise_shrinks_and_a_steady_change_stays():
    generator = np.random.default_rng(1)
    ramp = np.linspace(0, 1, 60)
    out = run([{0: line(float(v))} for v in ramp + 0.05 * generator.standard_normal(60)])
    found = np.array([float(frame[0][4]) for frame in out])[10:50]
    assert np.abs(found - ramp[10:50]).std() < 0.02
    clean = run([{0: line(float(v))} for v in ramp])
    assert abs(float(clean[30][0][4]) - ramp[30]) < 1e-5  # symmetric: it does not lag


def test_nothing_crosses_a_cut():
    frames = [{0: line(0.0)}] * 6 + [None] + [{0: line(1.0)}] * 6
    assert [float(frame[0][4]) for frame in run(frames)] == pytest.approx([0.0] * 6 + [1.0] * 6)


def test_a_lamp_that_is_switched_on_is_not_smeared():
    frames = [{0: line(0.2, light=0.3)}] * 10 + [{0: line(0.8, light=0.6)}] * 10
    found = [float(frame[0][4]) for frame in run(frames)]
    assert max(abs(v - 0.2) for v in found[:10]) < 1e-4
    assert max(abs(v - 0.8) for v in found[10:]) < 1e-4


def test_tracks_do_not_mix_and_gaps_end_a_window():
    frames = [{0: line(0.0), 1: line(5.0)}] * 4 + [{1: line(5.0)}] + [{0: line(1.0), 1: line(5.0)}] * 4
    out = run(frames)
    assert [float(frame[0][4]) for frame in out if 0 in frame] == [0.0] * 4 + [1.0] * 4
    assert all(float(frame[1][4]) == pytest.approx(5.0) for frame in out)
    assert [sorted(frame) for frame in out] == [sorted(frame) for frame in frames]


def test_a_frame_that_could_not_be_measured_takes_its_neighbours():
    frames = [{0: line(0.3)}] * 5 + [{0: torch.tensor([0.0, 0.9, 0.9, 0.9, math.nan])}] + [{0: line(0.3)}] * 5
    out = run(frames)
    assert all(float(frame[0][4]) == pytest.approx(0.3) for frame in out)
    assert float(out[5][0][0]) > 0


def test_nothing_measured_anywhere_stays_nothing():
    out = run([{0: line(0.3, area=0.0)}] * 5)
    assert all(float(frame[0][0]) == 0.0 for frame in out)


def test_larger_faces_count_more():
    lines = [line(0.0, area=0.3), line(0.5, area=0.1), line(1.0, area=0.1)]
    found = float(weighted_window(lines, 1, 1, 0.03)[4])
    side = math.cos(math.pi / 4) ** 2
    assert found == pytest.approx((0.5 * 0.1 + side * 0.1) / (0.1 + side * 0.4), abs=1e-5)


def test_reach_zero_gives_everything_back():
    frames = [{0: line(float(i))} for i in range(4)]
    out = run(frames, reach=0)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(out, frames, strict=True))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="reach"):
        TrackWindow(9)


def test_a_part_of_a_run_keeps_its_middle():
    window: TrackWindow[int, int] = TrackWindow(4)
    moments = [moment for i in range(12) for moment in window.push({0: i})] + window.reset()
    for i, moment in enumerate(moments):
        near = moment[0].within(2)
        assert near.items == list(range(max(0, i - 2), min(12, i + 3)))
        assert near.items[near.middle] == i


def stripes(position: int) -> torch.Tensor:
    """A dark bar on light ground: what passes before a face."""
    picture = torch.full((3, 8, 80), 0.7)
    picture[..., position : position + 6] = 0.2
    return picture


def test_masks_are_averaged_where_nothing_moves_and_followed_where_something_does():
    generator = np.random.default_rng(2)
    places = [4 + 7 * i for i in range(9)]
    guides = [stripes(place) for place in places]
    exact = [(guide[:1] > 0.5).float() for guide in guides]
    noisy = [mask + 0.1 * torch.from_numpy(generator.standard_normal((1, 8, 80))).float() for mask in exact]
    out = weighted_masks(noisy, guides, 4, 4, 0.05)
    before, after = ((mask - exact[4]).abs() for mask in (noisy[4], out))
    assert after[exact[4] == 1].mean() < 0.55 * before[exact[4] == 1].mean()
    assert (out - noisy[4])[exact[4] == 0].abs().max() < 1e-3, "the bar is nowhere else when it is here"


def test_the_average_of_masks_is_the_formula():
    generator = np.random.default_rng(3)
    masks = generator.random((5, 2, 3, 3))
    guides = generator.random((5, 3, 3, 3)) * 0.1
    got = weighted_masks(
        [torch.from_numpy(m) for m in masks], [torch.from_numpy(g) for g in guides], 1, 3, 0.05
    )
    weights = np.stack(
        [
            math.cos((i - 1) * math.pi / 8) ** 2
            * np.exp(-((guides[i] - guides[1]) ** 2).mean(0) / (2 * 0.05**2))
            for i in range(5)
        ]
    )
    expected = (weights[:, None] * masks).sum(0) / weights.sum(0)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_masks_without_reach_come_back():
    masks = [torch.rand(1, 4, 4) for _ in range(3)]
    assert weighted_masks(masks, [torch.rand(3, 4, 4)] * 3, 1, 0, 0.03) is masks[1]
