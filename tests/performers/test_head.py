"""The head: topology, shape, expression and pose."""

import numpy as np
import pytest

from understudy.image.geometry import pose_of_points
from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, RIGHT_EYE
from understudy.performers.expression import Expression, expression_fields
from understudy.performers.fields import membrane
from understudy.performers.geometry import TRIANGLES, Build, body, pose_body
from understudy.performers.identity import draw_shape, shape_fields, swap_shape
from understudy.performers.motion import Motion
from understudy.performers.state import State
from understudy.performers.topology import face_uv, mirror, rest_points, shape_weight, skin, triangles

LIDS = {"right": (RIGHT_EYE[4], RIGHT_EYE[12]), "left": (LEFT_EYE[4], LEFT_EYE[12])}


def posed(state=None, shape=None):
    return pose_body(rest_points() if shape is None else shape, Build(), state or State())


def test_published_topology():
    corners = triangles()
    assert corners.shape == TRIANGLES.shape == (852, 3)
    directed = {edge for a, b, c in corners.tolist() for edge in ((a, b), (b, c), (c, a))}
    assert len(directed) == 3 * 852  # the same turning sense everywhere
    border = {edge for edge in directed if edge[::-1] not in directed}
    assert len(border) == 36 + 16 + 16 + 20  # oval, eyes, mouth
    partner = mirror()
    assert (partner[partner] == np.arange(468)).all()
    assert partner[33] == 263
    assert partner[61] == 291


def test_rest_is_symmetric_and_looks_ahead():
    rest = rest_points()
    np.testing.assert_allclose(rest[mirror()] * [-1, 1, 1], rest, atol=2e-3)
    assert np.abs(pose_of_points(rest.astype(np.float32))).max() < 3


def test_texture_has_no_large_folds():
    uv, corners = face_uv(), triangles()
    a, b = uv[corners[:, 1]] - uv[corners[:, 0]], uv[corners[:, 2]] - uv[corners[:, 0]]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    sense = np.sign(np.median(area))
    assert np.abs(area[area * sense < 0]).sum() < 0.002 * np.abs(area).sum()


def test_subdivision_keeps_flat_things_flat():
    matrix = skin().subdivision
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1, atol=1e-5)
    assert matrix.shape[0] == skin().triangles.max() + 1


def test_membrane_agrees_with_what_is_given():
    field = membrane({10: 1.0, 152: -1.0, 1: (0.5,)}, stiff=False)
    assert field[10] == 1
    assert field[152] == -1
    assert field.min() >= -1
    assert field.max() <= 1  # without stiffness it never overshoots


@pytest.mark.parametrize(("name", "value"), [("yaw", 30.0), ("yaw", -40.0), ("pitch", 20.0), ("roll", -15.0)])
def test_pose_signs(name, value):
    found = dict(
        zip(("yaw", "pitch", "roll"), pose_of_points(posed(State(**{name: value})).points), strict=True)
    )
    assert found.pop(name) == pytest.approx(value, abs=3)
    assert max(abs(rest) for rest in found.values()) < 4


def test_jaw_opens_the_mouth_and_leaves_the_brows():
    shut, wide = posed().points, posed(State(expression=Expression(jaw=1.0))).points
    assert shut[14, 1] - shut[13, 1] < 0.2
    assert wide[14, 1] - wide[13, 1] > 2.0
    assert np.abs(wide[[105, 334, 10]] - shut[[105, 334, 10]]).max() < 0.05


@pytest.mark.parametrize("side", ["right", "left"])
def test_each_lid_shuts_alone(side):
    upper, lower = LIDS[side]
    other = LIDS["left" if side == "right" else "right"]
    rest, shut = posed().points, posed(State(expression=Expression(**{f"lid_{side}": 1.0}))).points
    gap = rest[lower, 1] - rest[upper, 1]
    assert abs(shut[lower, 1] - shut[upper, 1]) < 0.15 * gap
    assert abs((shut - rest)[list(other), 1]).max() < 1e-6


def test_expressions_go_where_they_should():
    fields = expression_fields()
    assert fields["smile"][61, 0] < -0.3  # corner outwards
    assert fields["smile"][61, 1] < -0.3  # and up
    assert fields["frown"][61, 1] > 0.3
    assert fields["pucker"][61, 0] > 0.3
    assert fields["brow_raise"][105, 1] < -0.3
    gaze = posed(State(expression=Expression(gaze_x=1.0))).points - posed().points
    assert (gaze[[468, 473], 0] > 0.3).all()


def test_people_differ_and_seeds_repeat():
    shapes = [draw_shape(np.random.default_rng(seed), 0.0, 40.0) for seed in range(6)]
    np.testing.assert_array_equal(shapes[2], draw_shape(np.random.default_rng(2), 0.0, 40.0))
    for a in range(6):
        for b in range(a):
            assert np.linalg.norm(shapes[a] - shapes[b], axis=1).mean() > 0.15
    assert len(shape_fields()) > 30


def test_worn_face_is_the_source_inside_and_the_target_on_the_oval():
    source, target = (draw_shape(np.random.default_rng(seed), m, 40.0) for seed, m in ((1, 1.0), (2, -1.0)))
    worn = swap_shape(source, target)
    oval = list(FACE_OVAL)
    np.testing.assert_allclose(worn[oval], target[oval], atol=1e-9)
    inside = shape_weight() == 1
    assert inside.sum() > 200
    # inside it is the source but for one scale and one shift
    centred, wanted = worn[inside] - worn[inside].mean(0), source[inside] - source[inside].mean(0)
    scale = (centred * wanted).sum() / (wanted**2).sum()
    assert np.abs(centred - scale * wanted).max() < 1e-6
    assert 0.8 < scale < 1.25


def test_swapping_a_face_with_itself_changes_nothing():
    shape = draw_shape(np.random.default_rng(4), 0.0, 50.0)
    np.testing.assert_allclose(swap_shape(shape, shape), shape, atol=1e-9)


def test_triangles_face_outwards():
    parts, vertices = body(), posed().vertices
    corners = vertices[parts.triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face = parts.parts == 0
    assert (across[face, 2] < 0).mean() > 0.85


def test_motion_is_smooth_and_repeats():
    motion = Motion.from_seed(3)
    assert motion.state(2.5) == Motion.from_seed(3).state(2.5)
    assert motion.state(2.5) != Motion.from_seed(4).state(2.5)
    states = [motion.state(t) for t in np.arange(0, 30, 0.04)]
    yaws = np.array([state.yaw for state in states])
    assert np.abs(np.diff(yaws)).max() < 8  # degrees a frame
    assert np.ptp(yaws) > 15
    jaws = np.array([state.expression.jaw for state in states])
    lids = np.array([state.expression.lid_left for state in states])
    assert jaws.min() == 0
    assert jaws.max() > 0.4
    assert lids.max() > 0.9
    for state in states:
        assert 0 <= state.expression.smile <= 1
        assert -1 <= state.expression.gaze_x <= 1
