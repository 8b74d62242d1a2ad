from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.metrics.identity import distances, share_closer, top_1


def test_distances_are_euclidean():
    vectors = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert distances(vectors, np.array([0.0, 0.0])) == pytest.approx([0.0, 5.0])
    assert distances(vectors, np.array([[0.0, 0.0], [6.0, 8.0]])) == pytest.approx([5.0, 0.0])


def test_share_closer_to_the_source():
    vectors = np.array([[0.1], [0.2], [0.9], [0.5]])
    assert share_closer(vectors, np.array([0.0]), np.array([1.0])) == 0.5
    assert math.isnan(share_closer(np.zeros((0, 1)), np.array([0.0]), np.array([1.0])))


def test_retrieval_in_a_gallery():
    gallery = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    vectors = np.array([[0.9, 0.1], [0.6, 0.1], [0.4, 0.1], [0.1, 0.8]])
    assert top_1(vectors, gallery, 1) == 0.5
    assert top_1(vectors, gallery, 2) == 0.25
    assert math.isnan(top_1(np.zeros((0, 2)), gallery, 0))
