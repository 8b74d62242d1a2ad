from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from understudy.errors import ShapeError
from understudy.metrics.groups import AGES, TONES, age_group, by_group, tone_group
from understudy.metrics.interval import estimate, paired_difference


@pytest.fixture(scope="module")
def videos() -> np.ndarray:
    return np.random.default_rng(2).gamma(2.0, 0.2, 14)


def test_the_interval_is_that_of_scipy(videos):
    got = estimate(videos)
    expected = stats.bootstrap(
        (videos,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(9)
    ).confidence_interval
    width = expected.high - expected.low
    assert got.mean == pytest.approx(videos.mean(), abs=1e-12)
    assert got.n == 14
    assert got.low == pytest.approx(expected.low, abs=0.03 * width)
    assert got.high == pytest.approx(expected.high, abs=0.03 * width)


def test_the_same_figures_give_the_same_interval(videos):
    assert estimate(videos) == estimate(list(videos))
    assert estimate(videos, seed=1) != estimate(videos)
    narrow = estimate(videos, confidence=0.5)
    assert estimate(videos).low < narrow.low < narrow.high < estimate(videos).high


def test_it_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(4)
    spans = [estimate(random.normal(0.0, 1.0, 25)) for _ in range(200)]
    covered = np.mean([span.low < 0.0 < span.high for span in spans])
    assert 0.88 < covered < 0.98


def test_few_videos_have_no_interval():
    two = estimate([0.2, 0.4, math.nan])
    assert (two.mean, two.n) == (pytest.approx(0.3), 2)
    assert math.isnan(two.low)
    assert estimate([]).n == 0
    assert two.text(2) == "0.30 n = 2"
    assert estimate([]).text() == "– n = 0"


def test_pairs_are_compared_as_pairs(videos):
    better = videos + 0.01 + np.random.default_rng(5).normal(0, 0.002, 14)
    difference = paired_difference(better, videos)
    assert difference.low > 0.0, "videos differ more than methods, and it is seen all the same"
    assert estimate(better).low < estimate(videos).high
    with pytest.raises(ShapeError, match="second method"):
        paired_difference([1.0], [1.0, 2.0])


def test_groups():
    assert [tone_group(tone) for tone in (0, 2.4, 2.5, 6.4, 6.5, 9)] == [
        "light", "light", "medium", "medium", "dark", "dark",
    ]  # fmt: skip
    assert [age_group(age) for age in (20, 39.9, 40, 60, 80)] == [
        "20 to 39", "20 to 39", "40 to 59", "60 and more", "60 and more",
    ]  # fmt: skip
    found = by_group([1.0, 2.0, 3.0], ["light", "dark", "light"], TONES)
    assert list(found) == list(TONES)
    assert (found["light"].mean, found["light"].n) == (2.0, 2)
    assert (found["medium"].n, len(AGES)) == (0, 3)
