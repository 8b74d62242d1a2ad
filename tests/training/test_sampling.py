from __future__ import annotations

import numpy as np

from understudy.image.expression import EXPRESSION
from understudy.training.batches import SOURCE, TARGET
from understudy.training.sampling import BIN, FEWEST, faces_by_pose, faces_of_step, pose_bins


def test_every_face_comes_once_before_any_comes_twice():
    seen = np.concatenate([faces_of_step(0, SOURCE, step, 10, 3) for step in range(20)])
    for epoch in range(6):
        assert sorted(seen[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:20])
    assert not np.array_equal(seen, np.concatenate([faces_of_step(0, TARGET, s, 10, 3) for s in range(20)]))
    assert not np.array_equal(seen, np.concatenate([faces_of_step(1, SOURCE, s, 10, 3) for s in range(20)]))


def test_more_faces_a_step_than_there_are():
    assert np.bincount(faces_of_step(0, SOURCE, 0, 3, 8)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def poses(yaws: list[float], pitch: float = 0.0) -> np.ndarray:
    """Numbers of faces in which nothing but yaw and pitch, in degrees, is not 0."""
    out = np.zeros((len(yaws), 11))
    out[:, EXPRESSION.index("yaw")] = np.array(yaws) / 20
    out[:, EXPRESSION.index("pitch")] = pitch / 20
    return out


def test_bins_of_pose_hold_every_face_once_and_none_is_sparse():
    random = np.random.default_rng(0)
    faces = np.concatenate([poses([*random.normal(0, 20, 400), 88.0], 0.0), poses([3.0] * 20, -31.0)])
    bins = pose_bins(faces)
    assert sorted(np.concatenate(bins)) == list(range(421))
    assert min(map(len, bins)) >= FEWEST
    yaw = faces[:, EXPRESSION.index("yaw")] * 20
    for held in bins:
        inner = yaw[held][np.abs(yaw[held]) < 25]
        assert np.ptp(inner) <= BIN if len(inner) else True
    (looking_down,) = [held for held in bins if 410 in held]
    assert set(looking_down) == set(range(401, 421))
    assert 400 in bins[int(np.argmax([yaw[held].max() for held in bins]))]  # the odd one joins the farthest


def test_few_faces_are_one_bin():
    assert [len(held) for held in pose_bins(poses([0.0, 40.0, 80.0]))] == [3]


def test_rare_poses_come_as_often_as_common_ones_and_every_face_comes():
    faces = poses([0.0] * 90 + [30.0] * 10)
    bins = pose_bins(faces)
    assert [len(held) for held in bins] == [90, 10]
    seen = np.concatenate([faces_by_pose(0, SOURCE, step, bins, 4) for step in range(45)])
    assert (seen >= 90).sum() == 90  # half of 180, though a tenth of the faces
    assert sorted(seen[seen < 90]) == list(range(90))
    assert np.bincount(seen[seen >= 90], minlength=100)[90:].tolist() == [9] * 10


def test_balanced_faces_follow_from_seed_person_and_step():
    bins = pose_bins(poses([0.0] * 30 + [30.0] * 10))

    def drawn(seed, person, step):
        return faces_by_pose(seed, person, step, bins, 4).tolist()

    assert drawn(0, SOURCE, 7) == drawn(0, SOURCE, 7)
    assert (
        len({str(drawn(*key)) for key in ((0, SOURCE, 7), (1, SOURCE, 7), (0, TARGET, 7), (0, SOURCE, 8))})
        == 4
    )
    # a larger batch is the same sequence
    assert drawn(0, SOURCE, 0) + drawn(0, SOURCE, 1) == faces_by_pose(0, SOURCE, 0, bins, 8).tolist()
