"""Detail of a swapped face, as it arrives in its frame."""

from __future__ import annotations

import dataclasses
import io
import math
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.contracts import Alignment, ColorTags, Face, Frame, PixelFormat
from understudy.enhancers.none import NoEnhancer
from understudy.errors import ConfigError, ShapeError
from understudy.image.color import rgb_to_rect
from understudy.image.draw import hull_mask
from understudy.image.grain import measure_noise
from understudy.image.paste import paste_crop
from understudy.image.view import float_format
from understudy.image.warp import crop_frame
from understudy.performers.expression import Expression
from understudy.performers.performer import Performer
from understudy.performers.renderer import render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.compositing.detail import Moment, apply_detail, enlarge, prepare, scaled_face
from understudy.pipelines.compositing.detail_settings import DetailSettings

SIZE, SIDE = 288, 256
YUV = PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1)
DEEP = PixelFormat(name="yuv422p10le", kind="yuv", depth=10, shift_x=1, shift_y=0)
RGB = PixelFormat(name="rgb24", kind="rgb", depth=8)
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)[:, None, None]
STATE = State(yaw=8.0, roll=11.0)


def frame_of(picture: np.ndarray, format: PixelFormat = YUV, index: int = 0) -> Frame:
    color = ColorTags(matrix="rgb" if format.kind == "rgb" else "bt709")
    planes = rgb_to_rect(format, color, picture.clip(0, 1).astype(np.float32))
    return Frame(index=index, pts=index, time_base=Fraction(1, 25), planes=planes, format=format, color=color)


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """A performer's picture, the exact swap as smooth as a network draws it, and where the face is."""

    plate: np.ndarray
    swap: np.ndarray
    face: Face
    matrix: np.ndarray

    def moment(self, plate: np.ndarray, format: PixelFormat = YUV, index: int = 0) -> Moment:
        return Moment(frame=frame_of(plate, format, index), face=self.face, matrix=self.matrix)

    def crop(self, picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(crop_frame(frame_of(picture, RGB), self.matrix, SIDE))[None]

    @property
    def mask(self) -> torch.Tensor:
        return torch.from_numpy(hull_mask(self.face.points, self.matrix, SIDE))[None, None]


def shoot(state: State) -> Shot:
    source, target, scene = Performer.from_seed(12), Performer.from_seed(11), Scene.from_seed(11)
    drawn = render(target, state, scene, SIZE)
    alignment = drawn.alignment("whole")
    face = Face(
        frame=0, time=0.0, index=0, track=0, box=np.zeros(4), presence=1.0, points=drawn.points,
        alignment=alignment,
    )  # fmt: skip
    swap = ndimage.gaussian_filter(render_swap(source, target, state, scene, SIZE).picture, (1, 1, 0))
    return Shot(drawn.picture, swap, face, alignment.crop_matrix(SIDE))


@pytest.fixture(scope="module")
def shot() -> Shot:
    return shoot(STATE)


def grained(picture: np.ndarray, deviation: float, softness: float, seed: int = 0) -> np.ndarray:
    field = np.random.default_rng(seed).standard_normal(picture.shape)
    field = ndimage.gaussian_filter(field, (softness, softness, 0))
    return picture + deviation * field / field.std()


def pasted(shot: Shot, at: Moment, face: torch.Tensor) -> torch.Tensor:
    """The frame with the face in it, RGB."""
    alpha = shot.mask[0, 0].numpy()
    out = paste_crop(at.frame, (face[0].numpy() * alpha).astype(np.float32), alpha, at.matrix)
    return torch.from_numpy(crop_frame(out, np.eye(2, 3), SIZE))[None]


def inside_and_out(shot: Shot, frame: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of the luma's noise in the face and in the rest of the frame, at every scale."""
    face = hull_mask(shot.face.points, np.eye(2, 3), SIZE)
    inner = ndimage.minimum_filter(face, 13)[None, None]
    outer = 1.0 - ndimage.maximum_filter(face, 13)[None, None]
    return tuple(measure_noise(frame, torch.from_numpy(w).float())[0, 0].numpy() for w in (inner, outer))


# ------------------------------------------------------------------------------------------- grain


@pytest.mark.parametrize(
    ("deviation", "softness", "format"),
    [(0.03, 0.0, YUV), (0.015, 0.0, DEEP), (0.03, 0.7, YUV), (0.04, 1.0, DEEP), (0.02, 0.4, RGB)],
)
def test_noise_of_the_face_is_that_of_its_surroundings(shot, deviation, softness, format):
    at = shot.moment(grained(shot.plate, deviation, softness), format)
    face, base = shot.crop(shot.swap), shot.crop(shot.plate)
    bare = inside_and_out(shot, pasted(shot, at, face))
    made = apply_detail(face, base, shot.mask, [at], DetailSettings(grain=1.0))
    inside, outside = inside_and_out(shot, pasted(shot, at, made))
    assert bare[0][0] < 0.6 * bare[1][0], "a face without grain is smooth"
    np.testing.assert_allclose(inside[:2] / outside[:2], 1.0, atol=0.15)


def encoded(pictures: list[np.ndarray], quality: int) -> list[Frame]:
    """Through H.264 and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(quality), "threads": "1"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            rgb = np.ascontiguousarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        return [
            frame_of(decoded.to_ndarray(format="rgb24") / 255.0, YUV, number)
            for number, decoded in enumerate(back.decode(video=0))
        ]


def test_noise_is_matched_after_compression(shot):
    """H.264 leaves less of the noise, and that coarser; the face follows in every frame."""
    noisy = [grained(shot.plate, 0.05, 0.5, seed) for seed in range(3)]
    raw = inside_and_out(shot, torch.from_numpy(noisy[0]).permute(2, 0, 1)[None].float())[1]
    ratios = []
    for frame in encoded(noisy, 23):
        at = Moment(frame=frame, face=shot.face, matrix=shot.matrix)
        made = apply_detail(
            shot.crop(shot.swap), shot.crop(shot.plate), shot.mask, [at], DetailSettings(grain=1.0)
        )
        inside, outside = inside_and_out(shot, pasted(shot, at, made))
        assert outside[0] < 0.9 * raw[0]
        ratios.append(inside[:2] / outside[:2])
    np.testing.assert_allclose(np.mean(ratios, 0), 1.0, atol=0.15)


def test_grain_is_another_in_every_frame_and_the_same_again(shot):
    plate = grained(shot.plate, 0.03, 0.0)
    face, base = shot.crop(shot.swap), shot.crop(shot.plate)
    settings = DetailSettings(grain=1.0)
    added = [
        (apply_detail(face, base, shot.mask, [shot.moment(plate, YUV, n)], settings) - face).numpy().ravel()
        for n in (4, 5, 4)
    ]
    assert np.array_equal(added[0], added[2])
    assert abs(np.corrcoef(added[0], added[1])[0, 1]) < 0.05
    assert added[0].std() > 0.01


def test_a_clean_plate_leaves_the_face_as_it_is(shot):
    face = shot.crop(shot.swap)
    made = apply_detail(
        face, shot.crop(shot.plate), shot.mask, [shot.moment(shot.plate)], DetailSettings(grain=1.0)
    )
    assert (made - face).abs().mean() < 0.5 / 255


def test_skin_of_the_plate_is_not_taken_for_noise(shot):
    """What only the face has, or only what is around it, stays where it is from frame to frame."""
    face = hull_mask(shot.face.points, np.eye(2, 3), SIZE)[..., None] > 0.5
    rough = grained(shot.plate, 0.03, 0.0)
    swapped, base = shot.crop(shot.swap), shot.crop(shot.plate)
    for plate in (np.where(face, rough, shot.plate), np.where(face, shot.plate, rough)):
        at = shot.moment(plate)
        made = apply_detail(swapped, base, shot.mask, [at], DetailSettings(grain=1.0))
        arrived = (pasted(shot, at, made) - pasted(shot, at, swapped)) * torch.from_numpy(LUMA)
        inside = hull_mask(shot.face.points, np.eye(2, 3), SIZE) > 0.99
        assert arrived.sum(1)[0][torch.from_numpy(inside)].std() < 0.5 * 0.75 * 0.03  # all of it would be 1


def test_dark_skin_keeps_its_colour(shot):
    """Noise that was cut off at black before the paste would leave a cast."""
    plate, swap = grained(shot.plate * 0.35, 0.04, 0.0), shot.swap * 0.35
    at, face = shot.moment(plate), shot.crop(swap)
    made = apply_detail(face, shot.crop(plate), shot.mask, [at], DetailSettings(grain=1.0))
    inside = shot.mask > 0.9
    shift = ((made - face) * inside).sum((0, 2, 3)) / inside.sum()
    assert shift.abs().max() < 0.6 / 255
    planes = [pasted(shot, at, picture) for picture in (face, made)]
    assert (planes[1] - planes[0]).mean((0, 2, 3)).abs().max() < 0.6 / 255


def test_a_plate_of_floats_in_linear_light(shot):
    """Noise is measured and added as its view shows it, and may be of any height in the file."""
    format = float_format(3, half=True)
    linear = (4.0 * grained(shot.plate, 0.03, 0.0).clip(0, 1) ** 2.2).astype(np.float16)
    frame = Frame(
        index=0, pts=0, time_base=Fraction(1, 25), planes=(linear,), format=format,
        color=ColorTags(matrix="rgb"),
    )  # fmt: skip
    at = Moment(frame=frame, face=shot.face, matrix=shot.matrix)
    clean = (4.0 * shot.swap.clip(0, 1) ** 2.2).astype(np.float16)
    face, base = (
        torch.from_numpy(crop_frame(dataclasses.replace(frame, planes=(p,)), shot.matrix, SIDE))[None]
        for p in (clean, linear)
    )
    made = apply_detail(face, base, shot.mask, [at], DetailSettings(grain=1.0))
    inside, outside = inside_and_out(shot, pasted(shot, at, made))
    np.testing.assert_allclose(inside[:2] / outside[:2], 1.0, atol=0.35)  # the darker, the more of it


def test_half_the_grain(shot):
    plate, face = grained(shot.plate, 0.04, 0.0), shot.crop(shot.swap)
    spread = [
        (apply_detail(face, face, shot.mask, [shot.moment(plate)], DetailSettings(grain=g)) - face).std()
        for g in (0.5, 1.0)
    ]
    assert float(spread[0] / spread[1]) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("state", [State(yaw=40.0), State(pitch=12.0, expression=Expression(jaw=0.9))])
def test_other_poses(state):
    other = shoot(state)
    at = other.moment(grained(other.plate, 0.03, 0.5))
    made = apply_detail(
        other.crop(other.swap), other.crop(other.plate), other.mask, [at], DetailSettings(grain=1.0)
    )
    inside, outside = inside_and_out(other, pasted(other, at, made))
    np.testing.assert_allclose(inside[:2] / outside[:2], 1.0, atol=0.2)


# ------------------------------------------------------------------------------------------- the others


def test_a_crisp_face_becomes_as_soft_as_its_plate(shot):
    """The plate is out of focus by two pixels; the face loses its advantage and no more."""
    blurred = ndimage.gaussian_filter(shot.plate, (2, 2, 0))
    truth = ndimage.gaussian_filter(shot.swap, (2, 2, 0))
    face, base, wanted = shot.crop(shot.swap), shot.crop(blurred), shot.crop(truth)
    made = apply_detail(face, base, shot.mask, [shot.moment(blurred)], DetailSettings(soften=1.0))
    inside = shot.mask > 0.9
    errors = [((p - wanted).square() * inside).sum().item() for p in (face, made)]
    assert errors[1] < 0.2 * errors[0]
    sharp = apply_detail(
        wanted, shot.crop(shot.plate), shot.mask, [shot.moment(shot.plate)], DetailSettings(soften=1.0)
    )
    assert torch.equal(sharp, wanted.clamp(0, 1)), "a face is never made crisper by it"


def test_motion_blur_is_that_of_an_exposure(shot):
    """The mean of many pictures taken while the face crosses the frame is what the blur makes of one."""
    way, steps = 10.0, 41
    at = shot.moment(shot.plate)
    step = np.array([way, 0.0, 0.0], np.float32)
    at = dataclasses.replace(at, before=shot.face.points - step, after=shot.face.points + step)
    face = shot.crop(shot.swap)
    made = apply_detail(face, face, shot.mask, [at], DetailSettings(shutter=180.0))
    shifts = np.linspace(-0.25, 0.25, steps) * way
    exposed = np.mean([ndimage.shift(shot.swap, (0, s, 0), order=1, mode="nearest") for s in shifts], axis=0)
    wanted = shot.crop(exposed)
    inside = shot.mask > 0.9
    errors = [((p - wanted).square() * inside).sum().item() for p in (face, made)]
    assert errors[1] < 0.05 * errors[0]


@pytest.mark.parametrize(
    ("settings", "sharper"),
    [(DetailSettings(sharpen=40.0), True), (DetailSettings(sharpen=-40.0), False),
     (DetailSettings(sharpen=40.0, kernel="box"), True), (DetailSettings(degrade=85.0), False)],
)  # fmt: skip
def test_sharper_and_softer(shot, settings, sharper):
    face = shot.crop(shot.swap)
    made = apply_detail(face, face, shot.mask, [shot.moment(shot.plate)], settings)
    slopes = [(p[..., 1:] - p[..., :-1]).abs().mean().item() for p in (face, made)]
    assert slopes[1] > 1.1 * slopes[0] if sharper else slopes[1] < 0.95 * slopes[0]
    assert 0 <= made.min() <= made.max() <= 1


def test_nothing_asked_for_is_the_same_object(shot):
    face = shot.crop(shot.swap)
    assert apply_detail(face, face, shot.mask, [shot.moment(shot.plate)], DetailSettings()) is face


def test_a_batch_is_its_faces_one_by_one(shot):
    settings = DetailSettings(grain=1.0, sharpen=20.0, soften=1.0, shutter=180.0, degrade=10.0)
    plates = [grained(shot.plate, 0.02 * n, 0.5, n) for n in (1, 2)]
    points = shot.face.points
    moments = [
        dataclasses.replace(shot.moment(plate, YUV, n), before=points - np.float32(3 * n))
        for n, plate in enumerate(plates)
    ]
    faces = torch.cat([shot.crop(shot.swap), shot.crop(shot.plate)])
    base, mask = torch.cat([shot.crop(plate) for plate in plates]), shot.mask.expand(2, -1, -1, -1)
    together = apply_detail(faces, base, mask, moments, settings)
    alone = [
        apply_detail(faces[n : n + 1], base[n : n + 1], mask[n : n + 1], moments[n : n + 1], settings)
        for n in range(2)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_as_many_moments_as_faces(shot):
    face = shot.crop(shot.swap)
    with pytest.raises(ShapeError, match="one a moment"):
        apply_detail(face, face, shot.mask, [], DetailSettings(grain=1.0))


def test_a_small_face_at_the_edge_of_a_small_frame(shot):
    tiny = frame_of(grained(shot.plate, 0.03, 0.0)[:20, :14])
    at = dataclasses.replace(shot.moment(shot.plate), frame=tiny)
    face = shot.crop(shot.swap)
    made = apply_detail(face, face, shot.mask, [at], DetailSettings(grain=1.0, soften=1.0))
    assert torch.isfinite(made).all()


# ------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("percent", [-50.0, 12.5, 50.0])
def test_scale_is_about_the_middle_of_the_face(percent):
    random = np.random.default_rng(0)
    points = random.uniform(50, 150, (478, 3)).astype(np.float32)
    matrix = np.array([[0.008, 0.002, -0.5], [-0.002, 0.008, -0.3]])
    face = Face(
        frame=0, time=0.0, index=0, track=0, box=np.zeros(4), presence=1.0, points=points,
        alignment=Alignment(matrix=matrix, mode="full"),
    )  # fmt: skip
    made = scaled_face(face, percent)
    factor = 1 + percent / 100
    assert made.alignment.side == pytest.approx(face.alignment.side * factor)
    np.testing.assert_allclose(np.ptp(made.points, 0), np.ptp(points, 0) * factor, rtol=1e-4)
    # landmarks and square grow as one: in the crop nothing moves
    for mine, theirs in ((face, points), (made, made.points)):
        crop = mine.alignment.crop_matrix(64)
        theirs = np.asarray(theirs, np.float64)[:, :2] @ crop[:, :2].T + crop[:, 2]
        wanted = points[:, :2].astype(np.float64) @ face.alignment.crop_matrix(64)[:, :2].T
        np.testing.assert_allclose(theirs, wanted + face.alignment.crop_matrix(64)[:, 2], atol=1e-3)
    assert scaled_face(face, 0.0) is face


def test_enlarge_without_an_enhancer_is_cubic(shot):
    faces = shot.crop(shot.swap)[..., ::4, ::4]
    made = enlarge(faces, 160, NoEnhancer())
    wanted = torch.nn.functional.interpolate(faces, (160, 160), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(made, wanted)
    assert torch.equal(enlarge(faces, 64, NoEnhancer()), faces)
    prepare(DetailSettings(), torch.device("cpu"))


@pytest.mark.parametrize(
    "changes",
    [{"sharpen": 101.0}, {"scale": -51.0}, {"grain": -0.1}, {"shutter": math.inf}, {"degrade": 200.0}],
)
def test_settings_out_of_reach(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        DetailSettings(**changes)
