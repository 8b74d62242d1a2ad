from __future__ import annotations

import numpy as np

from understudy.training.batches import SOURCE, TARGET
from understudy.training.sampling import faces_of_step


def test_every_face_comes_once_before_any_comes_twice():
    seen = np.concatenate([faces_of_step(0, SOURCE, step, 10, 3) for step in range(20)])
    for epoch in range(6):
        assert sorted(seen[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:20])
    assert not np.array_equal(seen, np.concatenate([faces_of_step(0, TARGET, s, 10, 3) for s in range(20)]))
    assert not np.array_equal(seen, np.concatenate([faces_of_step(1, SOURCE, s, 10, 3) for s in range(20)]))


def test_more_faces_a_step_than_there_are():
    assert np.bincount(faces_of_step(0, SOURCE, 0, 3, 8)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
