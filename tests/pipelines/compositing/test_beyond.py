"""What a network is shown beyond the frame's edge: whose picture, in which light, and never within it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from drawn_frames import face_at
from drawn_sets import points_of
from understudy.blends.feather import Feather
from understudy.color_transfers.mean import Mean
from understudy.contracts import ColorTags, Face, Frame, PixelFormat
from understudy.errors import FaceSetError
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align, transform_points
from understudy.image.warp import crop_frame
from understudy.models import MODELS
from understudy.pipelines.compositing.beyond import Beyond, EdgeFill, mirror_of, outside_of
from understudy.pipelines.compositing.composite import (
    CompositeSettings,
    FaceJob,
    TemporalSettings,
    composite,
)
from understudy.pipelines.merging.faces import SameForAll, SwapStage
from understudy.pipelines.swapper import Swapper

RGB = PixelFormat(name="rgb24", kind="rgb", depth=8)
WIDTH, HEIGHT, SIDE = 160, 160, 48
NAME = "scene.mp4"


def framing(points: np.ndarray, side: int) -> np.ndarray:
    return align(points, "full").crop_matrix(side)


def frame_of(picture: np.ndarray, index: int = 0) -> Frame:
    return Frame(
        index=index,
        pts=index,
        time_base=Fraction(1, 25),
        planes=(np.rint(picture.clip(0, 1) * 255).astype(np.uint8),),
        format=RGB,
        color=ColorTags(matrix="rgb", full_range=True),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Faces that stand at these places; each wears a soft pattern that moves with it."""

    xs: Sequence[float]
    opened: Sequence[float]
    lights: Sequence[float]
    symmetric: bool = False

    def points(self, number: int) -> np.ndarray:
        points = points_of(0.0, 0.0, self.opened[number]) - np.float32([160, 120, 0])
        return (points * np.float32(0.4) + np.float32([self.xs[number], 80, 0])).astype(np.float32)

    def picture(self, number: int, width: int = WIDTH) -> np.ndarray:
        """The frame; wider, also what lies beyond its right edge."""
        generator = np.random.default_rng(round(10 * self.opened[number]))
        pattern = cv2.GaussianBlur(generator.random((HEIGHT, 400, 3)).astype(np.float32), (0, 0), 5.0)
        pattern = 0.45 + 3.0 * (pattern - pattern.mean())
        if self.symmetric:
            pattern = 0.5 * (pattern + pattern[:, ::-1])
        moved = cv2.warpAffine(
            pattern, np.array([[1.0, 0.0, self.xs[number] - 200.0], [0.0, 1.0, 0.0]]), (width, HEIGHT),
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        return (moved * self.lights[number]).clip(0, 1)

    def write(self, folder: Path, tracks: Sequence[int] | None = None) -> FaceSet:
        with FaceSetWriter(folder, {"mode": "whole", "size": 64, "picture": "png"}) as writer:
            writer.begin(NAME, "hash")
            for number in range(len(self.xs)):
                points = self.points(number)
                alignment = align(points, "whole")
                face = Face(
                    frame=number, time=number / 25, index=0, track=tracks[number] if tracks else 0,
                    box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64), presence=0.9,
                    points=points, alignment=alignment,
                )  # fmt: skip
                stored = crop_frame(frame_of(self.picture(number)), alignment.crop_matrix(64), 64)
                writer.add(face, np.rint(np.moveaxis(stored, 0, -1) * 255).astype(np.uint8))
            writer.read_to(len(self.xs), complete=True)
            writer.write_persons(dict.fromkeys(tracks or [0], 0))
        return FaceSet.open(folder)

    def shown(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a network is shown of a face, what it would be shown in a wider frame, and the matrix."""
        matrix = framing(self.points(number), SIDE)
        cut = crop_frame(frame_of(self.picture(number)), matrix, SIDE)
        return cut, crop_frame(frame_of(self.picture(number, 300)), matrix, SIDE), matrix


def edges(faces: FaceSet) -> EdgeFill:
    return EdgeFill(faces, NAME, framing, (WIDTH, HEIGHT))


def record_of(faces: FaceSet, number: int) -> FaceRecord:
    return faces.for_merging(NAME)[number][0]


def errors(scene: Scene, faces: FaceSet, number: int) -> tuple[float, float]:
    """Root mean square error beyond the edge, of repeated pixels and of what was filled in."""
    cut, whole, matrix = scene.shown(number)
    found = edges(faces).find(record_of(faces, number), cut, matrix)
    assert found is not None
    filled = found.fill(cut, matrix)
    beyond = outside_of(matrix, SIDE, WIDTH, HEIGHT) == 1.0
    within = outside_of(matrix, SIDE, WIDTH, HEIGHT) == 0.0
    assert np.array_equal(filled[:, within], cut[:, within]), "the picture itself is never touched"
    assert beyond.mean() > 0.15
    return tuple(float(np.sqrt(np.square(made - whole)[:, beyond].mean())) for made in (cut, filled))


# ------------------------------------------------------------------------------------------- what is outside


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2])
def test_share_beyond_the_frame_by_counting(angle):
    """Against sixteen by sixteen points in every pixel."""
    matrix = face_at(150.0, 20.0, 90.0, angle).alignment.crop_matrix(24)
    fine = (np.arange(24 * 16) + 0.5) / 16
    places = np.stack(np.meshgrid(fine, fine), -1).reshape(-1, 2)
    linear, shift = matrix[:, :2], matrix[:, 2]
    x, y = np.linalg.solve(linear, (places - shift).T)
    beyond = (x < 0) | (x > WIDTH) | (y < 0) | (y > HEIGHT)
    wanted = beyond.reshape(24, 16, 24, 16).mean((1, 3))
    found = outside_of(matrix, 24, WIDTH, HEIGHT)
    assert np.abs(found - wanted).max() < (0.2 if angle == 0.3 else 0.51)
    assert abs(found.mean() - wanted.mean()) < 0.005
    assert np.array_equal(found[wanted == 1.0] > 0.8, np.ones((wanted == 1.0).sum(), bool))


def test_a_face_within_the_frame_is_left_alone(tmp_path, monkeypatch):
    scene = Scene([70.0, 80.0], [0.0, 0.0], [1.0, 1.0])
    faces = scene.write(tmp_path)
    monkeypatch.setattr(FaceSet, "for_training", lambda self: pytest.fail("nobody has to look for crops"))
    cut, _, matrix = scene.shown(1)
    assert edges(faces).find(record_of(faces, 1), cut, matrix) is None


# ------------------------------------------------------------------------------------------- other pictures


def test_the_same_face_seen_whole_stands_in(tmp_path):
    scene = Scene([80.0, 150.0], [0.0, 0.0], [1.0, 1.0])
    repeated, filled = errors(scene, scene.write(tmp_path), 1)
    assert filled < 0.25 * repeated


def test_the_one_whose_mouth_is_as_open_is_chosen(tmp_path):
    """Every opening has a pattern of its own, so that another one's would be far off."""
    scene = Scene([80.0, 75.0, 85.0, 150.0], [0.0, 0.5, 1.0, 0.5], [1.0] * 4)
    repeated, filled = errors(scene, scene.write(tmp_path), 3)
    assert filled < 0.25 * repeated


def test_the_light_of_the_frame_counts(tmp_path):
    scene = Scene([80.0, 150.0], [0.0, 0.0], [1.0, 0.6])
    repeated, filled = errors(scene, scene.write(tmp_path), 1)
    assert filled < 0.35 * repeated
    assert filled < 0.02


def test_a_neighbour_that_is_cut_alike_is_not_taken(tmp_path):
    """It agrees best, but shows nothing of what is missing."""
    scene = Scene([80.0, 150.0, 150.5], [0.3, 0.0, 0.0], [1.0] * 3)
    faces = scene.write(tmp_path)
    cut, _, matrix = scene.shown(2)
    found = edges(faces).find(record_of(faces, 2), cut, matrix)
    assert found is not None
    beyond = outside_of(matrix, SIDE, WIDTH, HEIGHT) == 1.0
    moved = np.abs(found.fill(cut, matrix) - cut)[:, beyond].mean()
    assert moved > 0.03, "streaks were replaced"


def test_another_track_of_the_person_where_the_track_has_none(tmp_path):
    scene = Scene([80.0, 150.0, 150.5], [0.0, 0.0, 0.0], [1.0] * 3)
    repeated, filled = errors(scene, scene.write(tmp_path, [0, 1, 1]), 2)
    assert filled < 0.25 * repeated


def test_rejected_and_deleted_crops_are_not_shown(tmp_path):
    scene = Scene([80.0, 80.0, 130.0], [0.0, 0.0, 0.0], [1.0] * 3)
    faces = scene.write(tmp_path)
    cut, _, matrix = scene.shown(2)
    assert edges(faces).find(record_of(faces, 2), cut, matrix) is not None
    faces.reject([record_of(faces, 0).crop])
    (tmp_path / "crops" / record_of(faces, 1).crop).unlink()
    again = FaceSet.open(tmp_path)
    assert edges(again).find(record_of(again, 2), cut, matrix) is None, "more than half of the face is seen"


def test_the_same_again(tmp_path):
    scene = Scene([80.0, 70.0, 150.0], [0.0, 0.2, 0.1], [1.0] * 3)
    faces = scene.write(tmp_path)
    cut, _, matrix = scene.shown(2)
    first, second = (edges(faces).find(record_of(faces, 2), cut, matrix) for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.fill(cut, matrix), second.fill(cut, matrix))


def test_a_damaged_crop_is_named(tmp_path):
    scene = Scene([80.0, 150.0], [0.0, 0.0], [1.0, 1.0])
    faces = scene.write(tmp_path)
    name = record_of(faces, 0).crop
    (tmp_path / "crops" / name).write_bytes(b"no picture")
    cut, _, matrix = scene.shown(1)
    with pytest.raises(FaceSetError, match=name):
        edges(faces).find(record_of(faces, 1), cut, matrix)


# ------------------------------------------------------------------------------------------- the mirror image


def test_half_a_face_alone_is_completed_by_its_mirror_image(tmp_path):
    scene = Scene([166.0], [0.0], [1.0], symmetric=True)
    repeated, filled = errors(scene, scene.write(tmp_path), 0)
    assert filled < 0.3 * repeated


def test_the_mirror_of_a_straight_face_is_about_its_middle():
    points = Scene([150.0], [0.0], [1.0]).points(0)
    mirror = mirror_of(points, WIDTH, HEIGHT)
    assert mirror is not None
    np.testing.assert_allclose(
        transform_points(mirror, np.array([[170.0, 60.0], [160.0, 90.0]])), [[130, 60], [140, 90]], atol=0.5
    )
    assert mirror_of(Scene([80.0], [0.0], [1.0]).points(0), WIDTH, HEIGHT) is None, "nothing is cut off"


def test_beyond_in_a_crop_of_another_size_and_turn():
    """It lies where it lies in the frame, whoever looks."""
    yy, xx = np.mgrid[:HEIGHT, :300].astype(np.float32)
    wide = np.stack([xx / 300, yy / HEIGHT, 0.5 + 0.3 * np.sin(xx / 20)], -1)
    beyond = Beyond(
        picture=wide, shown=np.ones(wide.shape[:2], np.float32), matrix=np.eye(2, 3), frame=(WIDTH, HEIGHT)
    )
    for matrix in (face_at(150, 80, 90, 0.4).alignment.crop_matrix(40),
                   np.array([[0.7, 0.0, -91.0], [0.0, 0.7, 0.0]])):  # fmt: skip
        cut = crop_frame(frame_of(wide[:, :WIDTH]), matrix, 40)
        whole = crop_frame(frame_of(wide), matrix, 40)
        far = outside_of(matrix, 40, WIDTH, HEIGHT) == 1.0
        seen = outside_of(matrix, 40, 300, HEIGHT) == 0.0
        assert np.abs(beyond.fill(cut, matrix) - whole)[:, far & seen].max() < 0.02


# ------------------------------------------------------------------------------------------- in a render


class Watcher(nn.Module):
    """Keeps what it is shown; draws grey."""

    resolution = output_resolution = SIDE

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def reconstruct(self, source, target):
        raise AssertionError("it does not learn")

    def swap(self, target):
        self.seen.append(target.clone())
        return torch.full_like(target, 0.5), torch.ones_like(target[:, :1])


@pytest.mark.parametrize("edge", ["known", "repeat"])
def test_the_network_is_shown_it(tmp_path, edge):
    scene = Scene([80.0, 150.0], [0.0, 0.0], [1.0, 1.0])
    faces = scene.write(tmp_path)
    watcher = Watcher()
    swapper = Swapper(watcher, MODELS["df"](resolution=SIDE, options="", crop="full"))
    stage = SwapStage(swapper, faces, faces.for_merging(NAME), 1, SameForAll(CompositeSettings(edge=edge)))
    plates = [frame_of(scene.picture(number), number) for number in range(2)]
    made = list(stage.frames(iter(plates), 0))
    for number, shown in enumerate(watcher.seen):
        matrix = swapper.crop_matrix(record_of(faces, number).points)
        cut, whole = (crop_frame(frame_of(scene.picture(number, w)), matrix, SIDE) for w in (WIDTH, 300))
        if edge == "repeat" or number == 0:
            assert np.array_equal(shown[0].numpy(), cut), "to the bit"
        else:
            beyond = outside_of(matrix, SIDE, WIDTH, HEIGHT) == 1.0
            missed = [np.abs(each - whole)[:, beyond].mean() for each in (cut, shown[0].numpy())]
            assert missed[1] < 0.3 * missed[0]
    assert [frame.planes[0].shape for frame in made] == [(HEIGHT, WIDTH, 3)] * 2
    far = np.abs(made[1].planes[0].astype(int) - plates[1].planes[0])[:, :60]
    assert far.max() == 0


def cut_frame(stripe: Callable[[np.ndarray], None]) -> Frame:
    picture = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    picture[..., 0] += 0.1
    stripe(picture)
    return frame_of(picture)


def test_streaks_have_no_say_in_the_colours():
    """A bright line along the edge is a tenth of the face when it is repeated, and nothing of it is seen."""

    def line(picture: np.ndarray) -> None:
        picture[:, -2:] = (0.0, 1.0, 0.0)

    face = face_at(WIDTH - 10.0, 80.0, 100.0, 0.0)
    settings = CompositeSettings(color_transfer=Mean(), blend=Feather())
    drawn = torch.tensor([0.3, 0.3, 0.8]).view(1, 3, 1, 1).expand(1, 3, 64, 64).contiguous()
    clean, striped = (
        composite([cut_frame(stripe)], [FaceJob(frame=0, face=face)], drawn, None, settings)[0]
        for stripe in (lambda picture: None, line)
    )
    middle = [frame.planes[0][70:90, 120:140].astype(int) for frame in (clean, striped)]
    assert np.abs(middle[0] - middle[1]).max() <= 12, "a line of two pixels out of forty"
    assert np.abs(middle[0].mean((0, 1)) - np.array([0.6, 0.5, 0.5]) * 255).max() < 3


def test_a_part_of_a_render_is_what_it_is_in_one_go(tmp_path):
    """Whatever was rendered before, the same crop stands in."""
    scene = Scene([80.0, 90.0, 150.0, 154.0], [0.0, 0.2, 0.1, 0.0], [1.0] * 4)
    faces = scene.write(tmp_path)
    settings = SameForAll(CompositeSettings(temporal=TemporalSettings(reach=0)))
    plates = [frame_of(scene.picture(number), number) for number in range(4)]
    shown: list[torch.Tensor] = []
    for begin in (0, 3):
        watcher = Watcher()
        swapper = Swapper(watcher, MODELS["df"](resolution=SIDE, options="", crop="full"))
        stage = SwapStage(swapper, faces, faces.for_merging(NAME), 1, settings)
        assert [frame.index for frame in stage.frames(iter(plates), begin)] == list(range(begin, 4))
        shown.append(watcher.seen[-1])
    assert torch.equal(*shown)
    cut = crop_frame(plates[3], swapper.crop_matrix(record_of(faces, 3).points), SIDE)
    assert not np.array_equal(shown[0][0].numpy(), cut), "or this shows nothing"
