from __future__ import annotations

import numpy as np

from understudy.image.pyramid import halved, halvings


def test_halving_is_the_mean_of_squares():
    picture = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)
    twice = halved(picture, 2)
    assert twice.shape == (3, 4, 3)
    exact = picture[:12, :16].reshape(3, 4, 4, 4, 3).mean((1, 3))
    assert np.abs(twice - exact).max() <= 1.01  # rounded twice
    assert halved(picture, 0) is picture


def test_how_often():
    assert halvings((720, 1280, 3), 1.9) == 0
    assert halvings((720, 1280, 3), 2.0) == 1
    assert halvings((720, 1280, 3), 10.0) == 3
    assert halvings((3, 700, 3), 100.0) == 1
    assert halvings((1, 1), 100.0) == 0
