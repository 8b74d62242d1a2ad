from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from understudy.errors import ShapeError
from understudy.nn.litert import LiteNetwork
from understudy.weights import WeightStore


@pytest.fixture(scope="module")
def model():
    store = WeightStore()
    list(store.fetch(["iris_landmark"]))
    return store.path("iris_landmark").read_bytes()


def test_outputs_come_in_the_order_that_is_asked(model):
    picture = np.full((64, 64, 3), 0.5, np.float32)
    eye, iris = LiteNetwork(model, (213, 15))(picture)
    iris_first, eye_second = LiteNetwork(model, (15, 213))(picture)
    assert eye.shape == (213,)
    np.testing.assert_array_equal(iris, iris_first)
    np.testing.assert_array_equal(eye, eye_second)


def test_results_are_copies(model):
    network = LiteNetwork(model, (213, 15))
    first = network(np.zeros((64, 64, 3), np.float32))[0]
    kept = first.copy()
    network(np.ones((64, 64, 3), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_wrong_size_is_named(model):
    with pytest.raises(ShapeError, match=r"\(64, 64, 3\).*\(32, 64, 3\)"):
        LiteNetwork(model, (213, 15))(np.zeros((32, 64, 3), np.float32))


def test_the_backend_is_not_announced_and_other_lines_are_kept():
    store = WeightStore()
    code = f"""
        import sys
        from pathlib import Path
        from understudy.nn.litert import LiteNetwork
        model = Path({str(store.path("iris_landmark"))!r}).read_bytes()
        LiteNetwork(model, (213, 15))
        LiteNetwork(model, (213, 15))
        print("mine", file=sys.stderr)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stderr == "mine\n"
