from __future__ import annotations

import numpy as np
import pytest

from understudy.pipelines.evaluation.scores import BY_NAME, MEASURES, PERCENT, interval, score, scores


def test_the_interval_of_independent_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(5).normal(3.0, 2.0, 4000)
    low, high = interval(values, 1)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_neighbours_that_are_alike_are_one_witness():
    """Each value stands 25 times: frame by frame the interval would be five times too narrow."""
    seconds = np.random.default_rng(6).normal(0.0, 1.0, 60)
    low, high = interval(np.repeat(seconds, 25), 25)
    assert high - low == pytest.approx(2 * 1.96 * seconds.std() / np.sqrt(60), rel=0.15)


def test_what_is_missing_is_left_out_of_the_interval():
    values = np.random.default_rng(7).normal(1.0, 1.0, 300)
    thin = np.full(600, np.nan)
    thin[::2] = values
    assert interval(thin, 2) == pytest.approx(interval(values, 1), abs=1e-12)


def test_too_little_gives_no_interval():
    assert np.isnan(interval(np.arange(30.0), 10)).all()
    assert np.isnan(interval(np.full(100, np.nan), 10)).all()


def test_a_score_says_mean_tail_and_count():
    values = np.concatenate([np.arange(100.0), [np.nan] * 7])
    found = score(BY_NAME["pose"], values, 5)
    assert (found.value, found.median, found.n) == (49.5, 49.5, 100)
    assert found.worst == pytest.approx(np.percentile(np.arange(100.0), 95))
    assert score(BY_NAME["psnr_truth"], values, 5).worst == pytest.approx(np.percentile(np.arange(100.0), 5))
    assert score(BY_NAME["landmarks"], values / 100, 5).value == pytest.approx(49.5), "shown as per cent"
    assert score(BY_NAME["pose"], np.full(3, np.nan), 5).n == 0


def test_an_infinite_value_does_not_spoil_a_mean():
    assert score(BY_NAME["psnr_truth"], np.array([30.0, np.inf, 40.0]), 1).value == 35.0


def test_every_figure_says_what_it_is():
    assert len(BY_NAME) == len(MEASURES)
    assert set(BY_NAME) >= PERCENT
    assert all(measure.meaning.endswith(".") and measure.label for measure in MEASURES)
    assert list(scores({"pose": np.ones(9), "nothing": np.ones(9)}, 3.0)) == ["pose"]
