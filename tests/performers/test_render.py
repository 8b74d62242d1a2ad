"""Pictures of performers: the rasteriser, the frame and its truth, the exact swap."""

import dataclasses

import cv2
import numpy as np
import pytest

from understudy.performers.appearance import MONK
from understudy.performers.expression import Expression
from understudy.performers.performer import Performer
from understudy.performers.raster import rasterise, soften_edges
from understudy.performers.renderer import render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.state import State

SIZE = 256


@pytest.fixture(scope="module")
def pair():
    return Performer.from_seed(5), Performer.from_seed(7)


def test_rasteriser_agrees_with_point_in_triangle():
    rng = np.random.default_rng(0)
    xy = rng.uniform(-5, 37, (24, 2)).astype(np.float32)
    depth = rng.uniform(5, 9, 24).astype(np.float32)
    triangles = np.arange(24).reshape(8, 3)
    raster = rasterise(xy, depth, triangles, 32, 32)
    y, x = np.mgrid[0:32, 0:32] + 0.5
    best = np.full((32, 32), np.inf)
    wanted = np.full((32, 32), -1)
    for number, corners in enumerate(triangles):
        a, b, c = xy[corners].astype(float)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        u = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        v = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        z = (
            depth[corners[0]]
            + u * (depth[corners[1]] - depth[corners[0]])
            + v * (depth[corners[2]] - depth[corners[0]])
        )
        nearer = (u >= 0) & (v >= 0) & (u + v <= 1) & (z < best)
        best[nearer], wanted[nearer] = z[nearer], number
    assert (raster.ids == wanted).mean() > 0.99


@pytest.mark.parametrize("angle", [3.0, 17.0, 31.0])
def test_soft_edges_cover_what_the_shape_covers(angle):
    """A turned square covers its true area, which hard pixels miss; grey pixels lie on its border."""
    turn = np.deg2rad(angle) + np.arange(4) * np.pi / 2 + np.pi / 4
    side = 20.37
    xy = (24.2 + side / np.sqrt(2) * np.stack([np.cos(turn), np.sin(turn)], 1)).astype(np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    raster = rasterise(xy, np.full(4, 5, np.float32), triangles, 48, 48)
    picture = (raster.ids >= 0).astype(np.float32)[..., None]
    hard = float(picture.sum())
    soften_edges(picture, raster, xy, triangles, 0.5)
    assert abs(float(picture.sum()) - side**2) < max(0.6 * abs(hard - side**2), 0.012 * side**2)
    grey = (picture > 0.02) & (picture < 0.98)
    assert 40 < grey.sum() < 140


def test_a_frame_and_its_truth(pair):
    drawn = render(pair[0], State(yaw=10), Scene.from_seed(5), SIZE)
    assert drawn.picture.shape == (SIZE, SIZE, 3)
    assert drawn.picture.dtype == np.float32
    assert 0 <= drawn.picture.min() <= drawn.picture.max() <= 1
    assert drawn.points.shape == (478, 3)
    assert drawn.pose == (10, 0, 0)
    # every landmark of the inner face lies where the mask says face
    inside = drawn.points[[1, 4, 50, 280, 13, 199, 151, 468, 473], :2].astype(int)
    assert (drawn.face_mask[inside[:, 1], inside[:, 0]] > 0.9).all()
    assert drawn.face_mask[:10].max() == 0
    assert (drawn.inner_mask <= drawn.face_mask + 1e-6).all()
    # z: the nose is nearer than the ears
    assert drawn.points[1, 2] < drawn.points[234, 2]
    assert abs(np.linalg.det(drawn.alignment("full").matrix[:, :2])) > 0


def test_the_same_seed_gives_the_same_picture():
    first = render(Performer.from_seed(11), State(), Scene.from_seed(1), 128).picture
    fresh = dataclasses.replace(Performer.from_seed(11))  # paints again
    np.testing.assert_array_equal(render(fresh, State(), Scene.from_seed(1), 128).picture, first)


def test_landmarks_scale_with_the_picture(pair):
    small = render(pair[0], State(pitch=5), Scene.from_seed(5), 128).points
    large = render(pair[0], State(pitch=5), Scene.from_seed(5), 256).points
    np.testing.assert_allclose(2 * small, large, atol=0.02)


def test_iris_is_dark_where_the_landmark_is(pair):
    drawn = render(
        pair[0], State(expression=Expression(gaze_x=0.4, lid_left=-0.2, lid_right=-0.2)), Scene(), 512
    )
    for centre in (468, 473):
        x, y = drawn.points[centre, :2].astype(int)
        pupil = drawn.picture[y - 1 : y + 2, x - 1 : x + 2].mean()
        assert pupil < 0.45


@pytest.mark.parametrize("occluder", ["none", "glasses", "hand"])
def test_swap_changes_the_inner_face_only(pair, occluder):
    source, target = pair
    state = State(yaw=-12, expression=Expression(smile=0.5, jaw=0.3))
    scene = Scene.from_seed(7, occluder)
    plain = render(target, state, scene, SIZE, reach=0.9)
    swapped = render_swap(source, target, state, scene, SIZE, reach=0.9)
    difference = np.abs(plain.picture - swapped.picture).max(2)
    either = np.maximum(plain.inner_mask, swapped.inner_mask)
    outside = cv2.dilate((either > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert outside.sum() > SIZE * SIZE / 2
    assert difference[outside].max() < 1e-5
    inside = either > 0.95
    assert (difference[inside] > 0.02).mean() > 0.4
    assert swapped.state == state


def test_occluders_are_cut_out_of_the_mask(pair):
    free = render(pair[1], State(), Scene.from_seed(7), SIZE).face_mask
    glasses = render(pair[1], State(), Scene.from_seed(7, "glasses"), SIZE).face_mask
    hand = render(pair[1], State(), Scene.from_seed(7, "hand"), SIZE, reach=1.0).face_mask
    away = render(pair[1], State(), Scene.from_seed(7, "hand"), SIZE, reach=0.0).face_mask
    assert 0.75 * free.sum() < glasses.sum() < 0.99 * free.sum()
    assert hand.sum() < 0.9 * free.sum()
    np.testing.assert_allclose(away, free, atol=1e-5)


def test_tone_of_a_worn_face(pair):
    pale, dark = None, None
    for seed in range(40):
        performer = Performer.from_seed(seed)
        pale = performer if performer.look.tone < 2 and pale is None else pale
        dark = performer if performer.look.tone > 7 and dark is None else dark
    assert pale is not None
    assert dark is not None
    scene, middle = Scene(), (slice(115, 150), slice(100, 156))
    cheek = [
        render(dark, State(), scene, SIZE).picture[middle].mean(),
        render_swap(pale, dark, State(), scene, SIZE).picture[middle].mean(),
        render_swap(pale, dark, State(), scene, SIZE, tone="source").picture[middle].mean(),
    ]
    assert abs(cheek[1] - cheek[0]) < 0.08
    assert cheek[2] > cheek[1] + 0.1


def test_people_cover_tones_and_ages():
    people = [Performer.from_seed(seed) for seed in range(200)]
    tones = np.array([performer.look.tone for performer in people])
    ages = np.array([performer.look.age for performer in people])
    assert (np.histogram(tones, bins=np.arange(-0.5, 10.5))[0] > 5).all()
    assert len(MONK) == 10
    assert ages.min() < 24
    assert ages.max() > 76
    assert len({performer.look.hair_style for performer in people}) >= 8
