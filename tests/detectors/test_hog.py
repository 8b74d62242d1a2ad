from __future__ import annotations

import sys

import pytest
import torch

from drawn_face import draw_face, pasted
from understudy.contracts import Context
from understudy.detectors.hog import Hog
from understudy.errors import PluginError
from understudy.weights import WeightStore

CONTEXT = Context(device=torch.device("cpu"), weights=WeightStore())


def test_enlarging_finds_smaller_faces():
    frame = pasted(draw_face(), 100, (100, 60), (240, 320))
    assert Hog().build(CONTEXT)(frame) == []
    (found,) = Hog(enlarge=1).build(CONTEXT)(frame)
    assert found.keypoints.shape == (0, 2)
    assert 30 < found.box[2] - found.box[0] < 90


def test_a_high_threshold_drops_unsure_faces():
    face = draw_face()
    score = Hog().build(CONTEXT)(face)[0].score
    assert Hog(threshold=score + 0.02).build(CONTEXT)(face) == []
    assert len(Hog(threshold=score - 0.02).build(CONTEXT)(face)) == 1


def test_without_dlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(PluginError, match=r"pip install 'understudy\[hog\]'"):
        Hog().build(CONTEXT)
