from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.losses import LOSSES


def test_against_the_formula_in_float64():
    generator = torch.Generator().manual_seed(0)
    prediction, truth = torch.rand(2, 2, 3, 20, 20, generator=generator)
    p, t = prediction.double().numpy(), truth.double().numpy()
    expected = sum(np.abs(np.diff(p, axis=axis) - np.diff(t, axis=axis)).mean() for axis in (2, 3))
    assert LOSSES["edge"]()(prediction, truth).item() == pytest.approx(expected, rel=1e-5)


def test_brightness_is_no_edge_and_the_sign_of_an_edge_counts():
    loss = LOSSES["edge"]()
    step = (torch.arange(16) >= 8).float().expand(1, 3, 16, 16)
    assert loss(step * 0.5 + 0.25, step * 0.5).item() == pytest.approx(0, abs=1e-7)
    assert loss(1 - step, step).item() == pytest.approx(2 * 16 / (15 * 16), rel=1e-6)
    assert loss(step, step.mT).item() == pytest.approx(2 / 15, rel=1e-6)
