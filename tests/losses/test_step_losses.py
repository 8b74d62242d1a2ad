"""Losses of a step that look at pictures and masks, against the formula in double precision."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from understudy.learning import Drawing, Outcome
from understudy.losses import LOSSES


def doubled(*tensors):
    return [x.detach().numpy().astype(np.float64) for x in tensors]


def blurred(x, sigma):
    """Gaussian over two sigma each way, zeros outside."""
    size = max(3, int(4 * sigma)) // 2 * 2 + 1
    taps = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (-2, -1):
        x = correlate1d(x, taps, axis=axis, mode="constant")
    return x


def persons(outcome):
    return (
        (outcome.made.source, outcome.batch.source),
        (outcome.made.target, outcome.batch.target),
    )


def perfect(outcome):
    """The same step, had the model given back what it should."""
    batch = outcome.batch
    made = dataclasses.replace(
        outcome.made,
        source=Drawing(batch.source.truth, batch.source.mask),
        target=Drawing(batch.target.truth, batch.target.mask),
    )
    return Outcome(batch=batch, made=made)


# -------------------------------------------------------------------------------------------- eyes and mouth


def test_eyes_mouth_against_the_formula(drawn):
    expected = 0.0
    for made, wanted in persons(drawn):
        face, truth, features = doubled(made.face, wanted.truth, wanted.features)
        expected += np.abs(face * features - truth * features).mean()
    term = LOSSES["eyes_mouth"]()
    assert term(drawn).item() == pytest.approx(expected, rel=1e-5)
    assert term.weight == 300.0


def test_eyes_mouth_sees_nothing_else(drawn):
    LOSSES["eyes_mouth"]()(drawn).backward()
    for made, wanted in persons(drawn):
        inside = wanted.features.bool().expand_as(made.face)
        assert made.face.grad[inside].all()
        assert not made.face.grad[~inside].any()
    assert LOSSES["eyes_mouth"]()(perfect(drawn)).item() == 0.0


# ------------------------------------------------------------------------------------------------ background


def background_by_formula(made, wanted, variation):
    face, truth, mask = doubled(made.face, wanted.truth, wanted.mask)
    outside = 1 - 2 * np.clip(blurred(mask, 2), 0, 0.5)
    face, truth = face * outside, truth * outside
    total = (np.diff(face, axis=-1) ** 2).sum() + (np.diff(face, axis=-2) ** 2).sum()
    return ((face - truth) ** 2).mean() + variation * total / len(face)


@pytest.mark.parametrize("whose", ["source", "target", "both"])
@pytest.mark.parametrize("variation", [0.0, 1e-5, 1e-2])
def test_background_against_the_formula(whose, variation, drawn):
    both = [background_by_formula(*person, variation) for person in persons(drawn)]
    expected = {"source": both[0], "target": both[1], "both": sum(both)}[whose]
    got = LOSSES["background"](persons=whose, variation=variation)(drawn).item()
    assert got == pytest.approx(expected, rel=1e-5)


def test_background_does_not_see_the_face(drawn):
    LOSSES["background"](persons="both")(drawn).backward()
    for made, wanted in persons(drawn):
        deep = torch.from_numpy(blurred(wanted.mask.numpy().astype(np.float64), 2) > 0.999).expand_as(
            made.face
        )
        assert deep.any()
        assert not made.face.grad[deep].any()
        assert made.face.grad[..., 0, 0].all()
    assert LOSSES["background"](persons="both", variation=0.0)(perfect(drawn)).item() == 0.0


# -------------------------------------------------------------------------------------------------- styles


def test_face_style_against_the_formula(drawn):
    """Squared differences of mean and standard deviation, 64 / 8 = 8 pixels of blur."""
    swap, target = drawn.swap, drawn.made.target
    a, b = (blurred(face * mask, 8) for face, mask in (doubled(d.face, d.mask) for d in (swap, target)))
    spread = [np.sqrt(z.var((2, 3)) + 1e-5) for z in (a, b)]
    expected = ((a.mean((2, 3)) - b.mean((2, 3))) ** 2 + (spread[0] - spread[1]) ** 2).mean()
    assert LOSSES["face_style"]()(drawn).item() == pytest.approx(expected, rel=1e-3)


def test_background_style_against_the_formula(drawn):
    """The mask is that of these two pictures: a source's mask would change nothing."""
    swap, target, truth = drawn.swap, drawn.made.target, doubled(drawn.batch.target.truth)[0]
    face, mask, other = doubled(swap.face, swap.mask, target.mask)
    outside = 1 - np.clip(blurred(mask * other, 2), 0, 1)
    a, b = face * outside, truth * outside
    taps = np.exp(-((np.arange(5) - 2.0) ** 2) / (2 * 1.5**2))  # 64 / 11.6 = 5
    taps /= taps.sum()

    def mean(z):
        for axis in (-2, -1):
            z = correlate1d(z, taps, axis=axis)
        return z[..., 2:-2, 2:-2]

    ma, mb = mean(a), mean(b)
    va, vb, cab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * ma * mb + c1) * (2 * cab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    expected = (1 - ssim.mean()) / 2 + ((a - b) ** 2).mean()
    assert LOSSES["background_style"]()(drawn).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["face_style", "background_style"])
def test_style_reaches_the_swaps_picture_only(name, drawn):
    LOSSES[name]()(drawn).backward()
    assert drawn.swap.face.grad.any()
    untouched = [drawn.swap.mask, *drawn.made.codes]
    for made in (drawn.made.source, drawn.made.target):
        untouched += [made.face, made.mask]
    assert all(x.grad is None for x in untouched)


@pytest.mark.parametrize("name", ["face_style", "background_style"])
def test_style_teaches_the_decoder_and_not_the_encoder(name, model, batch):
    outcome = Outcome(batch=batch, made=model.reconstruct(batch.source.input, batch.target.input))
    LOSSES[name]()(outcome).backward()
    learned = {key.partition(".")[0] for key, weight in model.named_parameters() if weight.grad is not None}
    assert learned == {"decoder_source"}


def test_styles_are_nothing_where_the_swap_is_the_target(drawn):
    batch = drawn.batch
    same = Drawing(batch.target.truth, batch.target.mask)
    made = dataclasses.replace(drawn.made, target=same, draw_swap=lambda codes: same)
    outcome = Outcome(batch=batch, made=made)
    assert LOSSES["face_style"]()(outcome).item() == 0.0
    assert LOSSES["background_style"]()(outcome).item() == pytest.approx(0.0, abs=1e-7)
