from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from drawn_sets import points_of
from fake_finders import fake_finders
from understudy.contracts import Face, Frame
from understudy.errors import DataError
from understudy.image.geometry import align, face_hull, pose_of_points
from understudy.performers.truth import gray_frame, rgb_frame
from understudy.pipelines.evaluation.frame_meter import FrameMeter
from understudy.pipelines.evaluation.looker import FramePair, Looked, Looker, mask_box
from understudy.pipelines.person import Person

HEIGHT, WIDTH = 240, 320
RATE = Fraction(25)


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2.0) * 3 - 1, 0, 1)


def face_of(points: np.ndarray, frame: int = 0) -> Face:
    return Face(
        frame=frame, time=frame / 25, index=0, track=0, presence=0.9, points=points,
        alignment=align(points, "full"),
        box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64), pose=pose_of_points(points),
    )  # fmt: skip


def frame(shown: np.ndarray, index: int = 0) -> Frame:
    return rgb_frame(index, shown, RATE)


def measured(pairs: list[tuple[np.ndarray, np.ndarray]], **more: Frame) -> dict[str, np.ndarray]:
    points = points_of(5.0)
    meter = FrameMeter(fake_finders(points), torch.device("cpu"))
    looked = [
        Looked(
            pair=FramePair(target=frame(target, n), result=frame(result, n), **more),
            face=face_of(points, n),
            after=points,
        )
        for n, (target, result) in enumerate(pairs)
    ]
    for compared in meter.compare(looked):
        meter.take(compared)
    source = Person(name="s", vector=np.array([1, 0, 0], np.float32), faces=3)
    other = Person(name="o", vector=np.array([0, 0, 1], np.float32), faces=3)
    return meter.columns(source, (other,))


def test_an_untouched_video_is_no_swap():
    columns = measured([(picture(n), picture(n)) for n in range(4)])
    assert columns["ssim_target"] == pytest.approx(1.0)
    assert np.isinf(columns["psnr_target"]).all()
    for name in ("landmarks", "pose", "expression", "gaze", "swapped", "outside", "color_target"):
        assert columns[name] == pytest.approx(0.0, abs=1e-6), name
    assert columns["sharpness"][0] == columns["border"][0] == pytest.approx(1.0)
    assert columns["flicker"][1:] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(columns["flicker"][0]), "nothing to compare the first frame with"
    assert np.isnan(columns["sharpness"][1]), "slow figures are taken every second frame"


def test_a_soft_face_in_a_sharp_frame():
    target = picture()
    mask = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    cv2.fillPoly(mask, [np.rint(face_hull(points_of(5.0))).astype(np.int32)], 1.0)
    columns = measured([(target, target + mask * (cv2.GaussianBlur(target, (0, 0), 4) - target))])
    assert columns["swapped"][0] == 1
    assert columns["outside"][0] == pytest.approx(0.0, abs=1e-6)
    assert columns["ssim_target"][0] < 0.8
    assert columns["sharpness"][0] < 0.5


def test_who_it_is():
    red, blue = np.zeros((HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH, 3), np.float32)
    red[..., 0], blue[..., 2] = 1.0, 1.0
    columns = measured([(blue, red), (blue, red), (blue, blue)])
    assert columns["identity_source"][[0, 2]] == pytest.approx([0.0, np.sqrt(2)], abs=1e-3)
    assert columns["identity_target"][[0, 2]] == pytest.approx([np.sqrt(2), 0.0], abs=1e-3)
    assert columns["closer"].tolist()[::2] == [1.0, 0.0]
    assert columns["retrieved"].tolist()[::2] == [1.0, 0.0]
    assert np.isnan(columns["closer"][1]), "every second frame is described"


def test_the_truth_is_judged_inside_its_mask_only():
    result = np.clip(picture(1), 0.0, 0.85)
    exact = result.copy()
    inside = np.zeros((HEIGHT, WIDTH), np.float32)
    inside[60:180, 80:240] = 1
    result[60:180, 80:240] += 0.1
    result[:50] = 0.0  # outside the mask nobody looks
    columns = measured([(picture(), result)], exact=frame(exact), mask=gray_frame(0, inside, RATE))
    assert columns["psnr_truth"][0] == pytest.approx(-20 * np.log10(0.1), abs=0.02)


def test_a_truth_without_a_mask_is_judged_in_the_outline():
    columns = measured([(picture(), picture(1))], exact=frame(picture(1)))
    assert np.isinf(columns["psnr_truth"][0])


def test_a_result_of_another_size_is_laid_over():
    target = picture()
    small = cv2.resize(target, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    columns = measured([(target, small)])
    assert columns["psnr_target"][0] > 25
    with pytest.raises(DataError, match="160 × 120 pixels, the truth 320 × 240"):
        measured(
            [(target, small)],
            exact=frame(target),
            mask=gray_frame(0, np.ones((HEIGHT, WIDTH), np.float32), RATE),
        )


def test_an_empty_mask_gives_no_figure_and_no_box():
    nothing = gray_frame(0, np.zeros((HEIGHT, WIDTH), np.float32), RATE)
    assert mask_box(nothing) is None
    assert "psnr_truth" not in measured([(picture(), picture())], exact=frame(picture()), mask=nothing)


def test_the_looker_finds_the_face_once_and_looks_for_it_in_the_result():
    points = points_of(5.0)
    black = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    shown = [(picture(), picture()), (picture(), black), (black, picture())]
    pairs = [FramePair(target=frame(a, n), result=frame(b, n)) for n, (a, b) in enumerate(shown)]
    first, lost, nobody = Looker(fake_finders(points))(pairs)
    assert first.face is not None
    assert first.after == pytest.approx(points, abs=1e-3)
    assert lost.face is not None
    assert lost.after is None
    assert nobody.face is None
