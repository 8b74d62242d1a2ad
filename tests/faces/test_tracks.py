from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from understudy.contracts import Detection, Landmarks, Region
from understudy.errors import ConfigError
from understudy.faces.tracks import CutDetector, Seen, Sighting, Tracker, TrackSettings, faces_of, fill_gaps
from understudy.image.landmarks import MESH_TO_68, SYMMETRIC_PAIRS

SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3))
SHAPE[:4, :2] = [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.5, -0.5]]


class World:
    """Faces at known places; stands in for the detector and the landmarker, and counts their work."""

    def __init__(self) -> None:
        self.faces: dict[str, tuple[float, float, float]] = {}  # x, y, side
        self.hidden: set[str] = set()
        self.undetectable: set[str] = set()
        self.detections = 0

    def picture(self, shade: int = 90) -> np.ndarray:
        ramp = np.linspace(0, 60, 640)[None, :, None] + shade
        return np.broadcast_to(ramp, (360, 640, 3)).astype(np.uint8)

    def _visible(self) -> list[tuple[float, float, float]]:
        return [face for name, face in self.faces.items() if name not in self.hidden]

    def __call__(self, image: np.ndarray) -> list[Detection]:
        self.detections += 1
        seen = [self.faces[name] for name in self.faces if name not in self.hidden | self.undetectable]
        return [
            Detection(
                box=np.array([x - s / 2, y - s / 2, x + s / 2, y + s / 2]) + 3.0,
                score=0.9,
                keypoints=np.zeros((0, 2)),
            )
            for x, y, s in seen
        ]


class Marker:
    def __init__(self, world: World) -> None:
        self.world = world

    def region_of_detection(self, detection: Detection) -> Region:
        x0, y0, x1, y1 = detection.box
        return Region(center=((x0 + x1) / 2, (y0 + y1) / 2), side=1.5 * (x1 - x0))

    def region_of_points(self, points: np.ndarray) -> Region:
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        center = (low + high) / 2
        return Region(center=(float(center[0]), float(center[1])), side=1.5 * float((high - low).max()))

    def __call__(self, image: np.ndarray, regions: Sequence[Region]) -> list[Landmarks]:
        return [self._one(region) for region in regions]

    def _one(self, region: Region) -> Landmarks:
        for x, y, side in self.world._visible():
            reach = math.hypot(x - region.center[0], y - region.center[1])
            if reach < 0.4 * side and 0.5 < region.side / 1.5 / side < 2:
                return Landmarks(points=(SHAPE * side + [x, y, 0]).astype(np.float32), presence=0.98)
        x, y = region.center
        return Landmarks(points=(SHAPE * region.side / 1.5 + [x, y, 0]).astype(np.float32), presence=0.03)


@pytest.fixture
def world() -> World:
    return World()


def tracks_of(seen: Seen) -> set[int]:
    return {face.track for face in seen.faces}


def test_moving_faces_keep_their_numbers_and_the_detector_rests(world: World) -> None:
    tracker = Tracker(world, Marker(world), TrackSettings(every=10))
    for frame in range(41):
        world.faces = {"a": (100 + 5 * frame, 150, 80), "b": (500 - 4 * frame, 200, 60 + frame / 2)}
        seen = tracker(world.picture(), frame)
        assert tracks_of(seen) == {0, 1}
        assert seen.item == frame
        face = next(face for face in seen.faces if face.track == 0)
        assert face.points[:, 0].mean() == pytest.approx(100 + 5 * frame + SHAPE[:, 0].mean() * 80, abs=0.1)
        assert face.found
    assert world.detections == tracker.detections == 5


def test_places_are_given_in_pixels_of_the_frame(world: World) -> None:
    world.faces = {"a": (100, 150, 80)}
    seen = Tracker(world, Marker(world))(world.picture(), None, scale=0.5)
    np.testing.assert_allclose(seen.faces[0].points, (SHAPE * 80 + [100, 150, 0]) * 2, atol=1e-3)


def test_a_new_face_is_found_within_the_interval(world: World) -> None:
    tracker = Tracker(world, Marker(world), TrackSettings(every=6))
    world.faces = {"a": (100, 150, 80)}
    tracker(world.picture(), 0)
    world.faces["b"] = (400, 150, 80)
    seen = [tracks_of(tracker(world.picture(), frame)) for frame in range(1, 8)]
    assert seen[0] == {0}
    assert seen[-1] == {0, 1}


def test_a_face_lost_for_a_moment_keeps_its_number(world: World) -> None:
    tracker = Tracker(world, Marker(world))
    world.faces = {"a": (100, 150, 80), "b": (400, 150, 80)}
    tracker(world.picture(), 0)
    world.hidden = {"a"}
    assert tracks_of(tracker(world.picture(), 1)) == {1}
    assert tracks_of(tracker(world.picture(), 2)) == {1}
    world.hidden, world.faces["a"] = set(), (120, 150, 80)
    assert tracks_of(tracker(world.picture(), 3)) == {0, 1}


def test_a_face_that_jumps_is_found_again_in_the_same_frame(world: World) -> None:
    tracker = Tracker(world, Marker(world))
    world.faces = {"a": (100, 150, 80)}
    tracker(world.picture(), 0)
    world.faces = {"a": (145, 150, 80)}  # further than the landmarker sees, near enough to be the same
    assert tracks_of(tracker(world.picture(), 1)) == {0}


def test_another_place_or_size_is_another_track(world: World) -> None:
    tracker = Tracker(world, Marker(world))
    world.faces = {"a": (100, 150, 80)}
    tracker(world.picture(), 0)
    world.faces = {"a": (400, 150, 80)}
    assert tracks_of(tracker(world.picture(), 1)) == {1}
    world.faces = {"a": (400, 150, 200)}
    assert tracks_of(tracker(world.picture(), 2)) == {2}


def test_a_long_absence_ends_the_track(world: World) -> None:
    tracker = Tracker(world, Marker(world), TrackSettings(memory=4))
    world.faces = {"a": (100, 150, 80)}
    tracker(world.picture(), 0)
    world.hidden = {"a"}
    for frame in range(1, 7):
        tracker(world.picture(), frame)
    world.hidden = set()
    assert tracks_of(tracker(world.picture(), 7)) == {1}


def test_a_cut_ends_every_track(world: World) -> None:
    tracker = Tracker(world, Marker(world))
    world.faces = {"a": (100, 150, 80)}
    assert not tracker(world.picture(), 0).cut
    seen = tracker(world.picture()[:, ::-1] // 2, 1)
    assert seen.cut
    assert tracks_of(seen) == {1}


def test_two_tracks_on_one_face_become_one(world: World) -> None:
    tracker = Tracker(world, Marker(world))
    world.faces = {"a": (200, 150, 80), "b": (300, 150, 80)}
    tracker(world.picture(), 0)
    for frame in range(1, 40):
        world.faces = {"a": (200 + 2 * frame, 150, 80), "b": (300, 150, 80)}
        if frame >= 36:
            world.hidden = {"b"}
        seen = tracker(world.picture(), frame)
    assert len(seen.faces) == 1


def test_small_faces_and_faces_beyond_the_number_are_left_out(world: World) -> None:
    world.faces = {"a": (100, 150, 80), "b": (300, 150, 120), "c": (500, 150, 12)}
    assert len(Tracker(world, Marker(world))(world.picture(), 0).faces) == 2
    only = Tracker(world, Marker(world), TrackSettings(most=1))(world.picture(), 0).faces
    assert [float(np.ptp(face.points[:, 0])) for face in only] == [pytest.approx(120, abs=0.01)]


def test_a_tracked_face_need_not_be_detected_again(world: World) -> None:
    tracker = Tracker(world, Marker(world), TrackSettings(every=2))
    world.faces = {"a": (100, 150, 80)}
    tracker(world.picture(), 0)
    world.undetectable = {"a"}  # a profile
    assert all(tracks_of(tracker(world.picture(), frame)) == {0} for frame in range(1, 10))


# ------------------------------------------------------------------------------------------------ cuts


def scene(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 160, (9, 16, 3)).astype(np.float64)
    return np.kron(coarse, np.ones((20, 20, 1))).astype(np.uint8)


def test_cuts_are_seen_and_motion_and_flashes_are_not() -> None:
    cuts = CutDetector()
    first, second = scene(1), scene(2)
    assert not cuts(first)
    assert not cuts(np.roll(first, 4, axis=1))
    assert not cuts(first)
    assert not cuts(np.clip(first * 1.4 + 30, 0, 255).astype(np.uint8))  # a flash
    for _ in range(5):
        assert not cuts(first)
    assert cuts(second)
    assert not cuts(second)


def test_photographs_that_have_nothing_in_common_are_all_cuts():
    cuts = CutDetector()
    assert [cuts(scene(seed)) for seed in range(8)] == [False] + [True] * 7


def test_a_camera_in_motion_makes_no_cut():
    cuts = CutDetector()
    wide = np.concatenate([scene(1), scene(2)], axis=1)
    width = scene(1).shape[1]
    assert not any(cuts(wide[:, x : x + width]) for x in range(0, width, width // 24))


# ------------------------------------------------------------------------------------------------ gaps


def seen_at(frame: int, places: dict[int, float], cut: bool = False) -> Seen[int]:
    faces = tuple(
        Sighting(track=track, points=np.full((478, 3), place, np.float32), presence=0.9)
        for track, place in places.items()
    )
    return Seen(item=frame, faces=faces, cut=cut)


def test_short_gaps_are_interpolated_and_marked() -> None:
    stream = [
        seen_at(0, {7: 10.0}),
        seen_at(1, {}),
        seen_at(2, {}),
        seen_at(3, {7: 16.0}),
        seen_at(4, {7: 16.0}),
    ]
    out = list(fill_gaps(stream, longest=3))
    assert [seen.item for seen in out] == [0, 1, 2, 3, 4]
    assert [[float(face.points[0, 0]) for face in seen.faces] for seen in out] == [
        [10],
        [12],
        [14],
        [16],
        [16],
    ]
    assert [[face.found for face in seen.faces] for seen in out] == [[True], [False], [False], [True], [True]]


def test_long_gaps_ends_and_cuts_are_left_open() -> None:
    empty = [seen_at(frame, {}) for frame in range(20)]
    long = [seen_at(0, {1: 0.0}), *empty[1:5], seen_at(5, {1: 1.0}), *empty[6:9]]
    assert [len(seen.faces) for seen in fill_gaps(long, longest=3)] == [1, 0, 0, 0, 0, 1, 0, 0, 0]
    over = [seen_at(0, {1: 0.0}), empty[1], seen_at(2, {}, cut=True), seen_at(3, {1: 1.0})]
    assert [len(seen.faces) for seen in fill_gaps(over, longest=3)] == [1, 0, 0, 1]


def test_filling_runs_no_further_ahead_than_the_longest_gap() -> None:
    taken: list[int] = []

    def stream():
        for frame in range(20):
            taken.append(frame)
            yield seen_at(frame, {0: 0.0})

    out = fill_gaps(stream(), longest=3)
    assert next(out).item == 0
    assert taken[-1] == 3


# ------------------------------------------------------------------------------------------------ faces


def test_faces_of_a_frame_go_from_left_to_right() -> None:
    generator = np.random.default_rng(4)
    mesh = generator.normal(size=(478, 3)).astype(np.float32)
    mesh[SYMMETRIC_PAIRS[:, 1]] = mesh[SYMMETRIC_PAIRS[:, 0]] * [-1, 1, 1]
    mesh[MESH_TO_68[36:42], 0] -= 3
    faces = tuple(
        Sighting(
            track=track, points=mesh * 30 + np.float32(place), presence=0.7 + track / 10, found=track != 2
        )
        for track, place in ((2, 500), (1, 200))
    )
    out = faces_of(Seen(item=None, faces=faces), frame=12, time=0.5, mode="whole")
    assert [(face.track, face.index, face.frame, face.found) for face in out] == [
        (1, 0, 12, True),
        (2, 1, 12, False),
    ]
    assert out[0].alignment.mode == "whole"
    np.testing.assert_allclose(out[1].box[:2], mesh[:, :2].min(0) * 30 + 500, rtol=1e-5)
    np.testing.assert_allclose(out[0].alignment.side, out[1].alignment.side, rtol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [{"smallest": float("nan")}, {"cut": float("inf")}, {"every": 0}, {"gap": -1}, {"presence": -0.1}],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name}: wanted a number"):
        TrackSettings(**wrong)
