from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from understudy.image.spread_spectrum import BAND, BLOCKS, SIDE, Spread, features, window


@pytest.fixture(scope="module")
def square():
    random = np.random.default_rng(3)
    smooth = np.cumsum(np.cumsum(random.normal(size=(SIDE, SIDE)), 0), 1)
    return torch.from_numpy((110 + 30 * smooth / smooth.std()).astype(np.float32))


def test_a_key_gives_the_same_places_and_another_key_others():
    first, again, other = Spread(b"a", 192), Spread(b"a", 192), Spread(b"b", 192)
    assert torch.equal(first.places, again.places)
    assert torch.equal(first.signs, again.signs)
    assert (first.places == other.places).float().mean() < 0.05
    assert abs(float((first.signs * other.signs).mean())) < 0.1
    assert torch.bincount(first.places).min() == torch.bincount(first.places).max() == BLOCKS**2 * BAND // 192


def test_under_foreign_keys_the_agreement_is_normal(square):
    heard = features(square)
    symbols = torch.ones(192)
    scores = [Spread(seed.to_bytes(4, "big"), 192).correlation(heard, symbols) for seed in range(300)]
    # so the p-values are uniform; independent of us: Kolmogorov and Smirnov's test against the normal
    assert scipy.stats.kstest(scores, "norm").pvalue > 0.01


def test_symbols_that_are_put_in_are_heard_equally_well_for_the_energy_given(square):
    spread = Spread(b"key", 192)
    symbols = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], 192).astype(np.float32))
    tolerance = window() * torch.linspace(0.5, 1.5, SIDE)
    energy = 2.0 * SIDE**2
    amplitudes, heard = spread.amplitudes(square, symbols, tolerance, energy)
    pattern = spread.pattern(amplitudes * symbols, tolerance)
    assert 0.75 * energy < float((pattern**2).sum()) < 1.02 * energy
    before = spread.scores(features(square)) * symbols
    after = spread.scores(features(square + pattern)) * symbols
    assert (before > 0).float().mean() < 0.65
    assert after.min() > 0.0
    assert heard == pytest.approx(float(after.median()), rel=0.25)
    assert after.std() < 0.6 * before.std()
    assert abs(float(pattern.mean())) < 0.01


def test_boosted_symbols_are_heard_better(square):
    spread, symbols = Spread(b"key", 192), torch.ones(192)
    boosts = torch.ones(192)
    boosts[:48] = 1.5
    tolerance = torch.ones(SIDE, SIDE)
    amplitudes, _ = spread.amplitudes(square, symbols, tolerance, 2.0 * SIDE**2, boosts)
    after = spread.scores(features(square + spread.pattern(amplitudes, tolerance)))
    assert after[:48].mean() > 1.3 * after[48:].mean()


def test_features_do_not_know_brightness_and_hardly_contrast_and_are_differentiable(square):
    heard = features(square)
    torch.testing.assert_close(features(square + 20.0), heard, atol=2e-3, rtol=0)
    assert float(torch.corrcoef(torch.stack([features(0.7 * square), heard]))[0, 1]) > 0.99
    picture = square.clone().requires_grad_()
    spread = Spread(b"key", 192)
    spread.scores(features(picture[None]))[0, 0].backward()
    assert picture.grad is not None
    assert picture.grad.abs().max() > 0


def test_what_was_not_seen_does_not_count(square):
    spread = Spread(b"key", 192)
    heard = features(square) * (torch.arange(BLOCKS**2 * BAND) < BLOCKS**2 * BAND // 2)
    assert spread.scores(heard).std() == pytest.approx(1.0, abs=0.2)
    assert spread.scores(torch.zeros_like(heard)).abs().max() == 0.0
    assert spread.correlation(torch.zeros_like(heard), torch.ones(192)) == 0.0
