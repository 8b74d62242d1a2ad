"""Every loss of pictures against the formula in double precision."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate1d

from understudy.contracts import Context
from understudy.errors import ConfigError, ShapeError, WeightsError
from understudy.losses import LOSSES
from understudy.nn.vgg import Vgg19


def doubled(*tensors):
    return [x.detach().numpy().astype(np.float64) for x in tensors]


def similarity_by_formula(a, b, window):
    """Wang et al. 2004, equations 6 and 13: luminance, and contrast times structure, with SciPy's filters."""
    place = np.arange(window) - (window - 1) / 2
    taps = np.exp(-(place**2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(z):
        for axis in (-2, -1):
            z = correlate1d(z, taps, axis=axis, mode="constant", origin=0)
        low = window // 2
        high = z.shape[-1] - (window - 1 - low)
        return z[..., low:high, low:high]

    ma, mb = mean(a), mean(b)
    va, vb, cab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return (2 * ma * mb + c1) / (ma**2 + mb**2 + c1), (2 * cab + c2) / (va + vb + c2)


def dssim_by_formula(x, y, window):
    luminance, structure = similarity_by_formula(*doubled(x, y), window)
    return float((1 - (luminance * structure).mean()) / 2)


# -------------------------------------------------------------------------------------------------- pixels


def test_l1_against_the_formula(pictures):
    prediction, truth = pictures()
    expected = np.abs(np.subtract(*doubled(prediction, truth))).mean()
    assert LOSSES["l1"]()(prediction, truth).item() == pytest.approx(expected, rel=1e-5)


def test_mse_against_the_formula(pictures):
    prediction, truth = pictures()
    expected = (np.subtract(*doubled(prediction, truth)) ** 2).mean()
    assert LOSSES["mse"]()(prediction, truth).item() == pytest.approx(expected, rel=1e-5)


# ----------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize("window", [1, 7, 8, 11])
def test_dssim_against_the_formula(window, pictures):
    prediction, truth = pictures()
    got = LOSSES["dssim"](window=window)(prediction, truth).item()
    assert got == pytest.approx(dssim_by_formula(prediction, truth, window), abs=2e-6)


def test_dssim_windows_follow_the_size(pictures):
    for side, windows in ((48, [4]), (96, [8]), (128, [11]), (256, [22, 11])):
        prediction, truth = pictures(side)
        expected = np.mean([dssim_by_formula(prediction, truth, window) for window in windows])
        assert LOSSES["dssim"]()(prediction, truth).item() == pytest.approx(expected, abs=2e-6)


def test_dssim_window_larger_than_the_picture_is_refused(pictures):
    with pytest.raises(ShapeError, match="window of 64"):
        LOSSES["dssim"](window=64)(*pictures())


def halved(z):
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    half = z.shape[-1] // 2
    return z[..., : 2 * half, : 2 * half].reshape(*z.shape[:2], half, 2, half, 2).mean((3, 5))


def ms_ssim_by_formula(x, y, scales):
    """Wang et al. 2003, equation 7, weights of section 3.2."""
    a, b = doubled(x, y)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    weights /= weights.sum()
    out = 1.0
    for scale, weight in enumerate(weights):
        luminance, structure = similarity_by_formula(a, b, 11)
        mean = (luminance * structure if scale == scales - 1 else structure).mean((-2, -1))
        assert mean.min() > 1e-3, "the floor is not part of the formula"
        out = out * mean**weight
        a, b = halved(a), halved(b)
    return float(1 - out.mean())


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (21, 1), (22, 2), (47, 3), (64, 3), (88, 4), (176, 5)])
def test_ms_ssim_against_the_formula_with_as_many_scales_as_fit(side, scales, pictures):
    prediction, truth = pictures(side)
    expected = ms_ssim_by_formula(prediction, truth, scales)
    assert LOSSES["ms_ssim"]()(prediction, truth).item() == pytest.approx(expected, abs=3e-6)


def test_ms_ssim_with_fewer_scales(pictures):
    prediction, truth = pictures(64)
    got = LOSSES["ms_ssim"](scales=2)(prediction, truth).item()
    assert got == pytest.approx(ms_ssim_by_formula(prediction, truth, 2), abs=3e-6)


def test_ms_ssim_of_a_negative_is_finite(pictures):
    _, truth = pictures(64)
    negative = (1 - truth).requires_grad_()
    value = LOSSES["ms_ssim"]()(negative, truth)
    value.backward()
    assert 0.99 < value.item() <= 1.0
    assert torch.isfinite(negative.grad).all()


def test_ms_ssim_refuses_what_does_not_fit(pictures):
    with pytest.raises(ShapeError, match="11 or more"):
        LOSSES["ms_ssim"]()(*pictures(10))
    with pytest.raises(ConfigError, match="1 to 5, got 6"):
        LOSSES["ms_ssim"](scales=6)


# ------------------------------------------------------------------------------------------------ spectrum


def focal_frequency_by_formula(x, y, *, alpha=1.0, patches=1, logarithm=False, over_batch=False):
    """Jiang et al. 2021, equations 6 to 8, over whole spectra; also the gradient, with constant weights."""
    a, b = doubled(x, y)
    part = a.shape[-1] // patches
    spectra = np.empty((*a.shape[:2], patches, patches, part, part), complex)
    for row in range(patches):
        for column in range(patches):
            place = (..., slice(row * part, (row + 1) * part), slice(column * part, (column + 1) * part))
            spectra[:, :, row, column] = np.fft.fft2(a[place]) - np.fft.fft2(b[place])
    spectra /= part  # orthonormal
    weight = np.abs(spectra) ** alpha
    if logarithm:
        weight = np.log(1 + weight)
    weight /= weight.max() if over_batch else weight.max((-2, -1), keepdims=True)
    gradient = np.fft.ifft2(weight * spectra).real * part * 2 / weight.size
    return (weight * np.abs(spectra) ** 2).mean(), gradient.transpose(0, 1, 2, 4, 3, 5).reshape(a.shape)


@pytest.mark.parametrize("side", [45, 48])
@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 0.5}, {"alpha": 2.0}, {"patches": 3}, {"logarithm": True}, {"over_batch": True},
     {"alpha": 1.5, "patches": 3, "logarithm": True, "over_batch": True}],
    ids=str,
)  # fmt: skip
def test_focal_frequency_against_the_formula(side, options, pictures):
    prediction, truth = pictures(side)
    prediction[1] = truth[1] + 0.1 * (prediction[1] - truth[1])  # unlike errors: the scale of weights shows
    prediction.requires_grad_()
    value = LOSSES["focal_frequency"](**options)(prediction, truth)
    value.backward()
    expected, gradient = focal_frequency_by_formula(prediction, truth, **options)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(
        prediction.grad.numpy(), gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max()
    )


def test_focal_frequency_without_focus_is_the_squared_error(pictures):
    prediction, truth = pictures()
    assert LOSSES["focal_frequency"](alpha=0.0)(prediction, truth).item() == pytest.approx(
        LOSSES["mse"]()(prediction, truth).item(), rel=1e-5
    )


def test_focal_frequency_refuses_what_does_not_fit(pictures):
    with pytest.raises(ShapeError, match="multiple of 5"):
        LOSSES["focal_frequency"](patches=5)(*pictures())
    with pytest.raises(ConfigError, match="1 or more, got 0"):
        LOSSES["focal_frequency"](patches=0)
    with pytest.raises(ConfigError, match="0 or more, got -1"):
        LOSSES["focal_frequency"](alpha=-1.0)


# ------------------------------------------------------------------------------------------------ identity


def resized(pictures, side):
    """Bilinear with a triangle as wide as a wanted pixel where it shrinks, by two matrices."""
    have = pictures.shape[-1]
    scale = have / side
    centre = (np.arange(side) + 0.5) * scale
    distance = np.abs(np.arange(have) + 0.5 - centre[:, None])
    matrix = np.clip(1 - distance / max(1.0, scale), 0, None)
    matrix /= matrix.sum(1, keepdims=True)
    return matrix @ pictures @ matrix.T


def vectors_by_formula(pictures, margin, embedder):
    (z,) = doubled(pictures)
    middle = z[..., margin : z.shape[-1] - margin, margin : z.shape[-1] - margin]
    crops = resized(middle, embedder.side) - 0.5
    return crops.reshape(len(z), -1) @ doubled(embedder.matrix)[0]


@pytest.mark.parametrize(
    ("side", "part", "margin"), [(48, 0.94, 1), (48, 0.5, 12), (16, 1.0, 0), (49, 0.7, 7)]
)
def test_identity_against_the_formula(side, part, margin, pictures, context, embedder):
    prediction, truth = pictures(side)
    a, b = (vectors_by_formula(x, margin, embedder) for x in (prediction, truth))
    squared = (((a - b) ** 2).sum(1) / 0.6**2).mean()
    cosine = (1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean()
    for distance, expected in (("squared", squared), ("cosine", cosine)):
        term = LOSSES["identity"](distance=distance, part=part).build(context)
        assert term(prediction, truth).item() == pytest.approx(expected, rel=1e-4)


def test_identity_gradient_stays_out_of_the_truth(pictures, context):
    prediction, truth = (x.requires_grad_() for x in pictures())
    LOSSES["identity"]().build(context)(prediction, truth).backward()
    assert prediction.grad.any()
    assert truth.grad is None


def test_identity_without_an_embedder_is_refused():
    with pytest.raises(ConfigError, match=r"wants an embedder.*--losses.identity off"):
        LOSSES["identity"]().build(Context(device=torch.device("cpu"), weights=None))
    with pytest.raises(ConfigError, match=r"up to 1, got 1.2"):
        LOSSES["identity"](part=1.2)


# ---------------------------------------------------------------------------------------------- perceptual


def features_by_formula(pictures, network):
    """Two 3 x 3 convolutions and ReLUs a stage, halved by means between stages."""
    (x,) = doubled(pictures)
    x = 4 * x - 2
    out = []
    for index, stage in enumerate(network.stages):
        if index:
            x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))
        for layer in (stage[0], stage[2]):
            weight, bias = doubled(layer.weight, layer.bias)
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            x = np.maximum(np.einsum("bchwij,ocij->bohw", views, weight) + bias[:, None, None], 0)
        out.append(x)
    return out


def lpips_by_formula(features, others):
    """Zhang et al. 2018, equation 1, with weights of one."""
    total = 0.0
    for a, b in zip(features, others, strict=True):
        a, b = (z / np.sqrt((z**2).sum(1, keepdims=True) + 1e-8) for z in (a, b))
        total += ((a - b) ** 2).sum(1).mean((1, 2))
    return total.mean()


@pytest.mark.parametrize("layers", [1, 5])
def test_perceptual_against_the_formula(layers, pictures, context):
    prediction, truth = pictures(24)
    network = context.given["features"]
    a, b = (features_by_formula(x, network)[:layers] for x in (prediction, truth))
    got = LOSSES["perceptual"](layers=layers).build(context)(prediction, truth).item()
    assert got == pytest.approx(lpips_by_formula(a, b), rel=1e-4)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_perceptual_reads_a_users_vgg19(ending, tmp_path, pictures, context):
    torch.manual_seed(0)
    network = Vgg19(2)
    state = {**network.state_dict(), "classifier.0.weight": torch.zeros(1)}
    file = tmp_path / f"vgg19.{ending}"
    save_file(state, file) if ending == "safetensors" else torch.save(state, file)
    prediction, truth = pictures()
    got = LOSSES["perceptual"](network=file, layers=2).build(context)(prediction, truth).item()
    with torch.no_grad():
        features = [[z.double().numpy() for z in network(x)] for x in (prediction, truth)]
    assert got == pytest.approx(lpips_by_formula(*features), rel=1e-4)


def test_perceptual_says_what_is_wrong_with_a_file(tmp_path, context):
    def message(file, **settings):
        with pytest.raises(WeightsError) as caught:
            LOSSES["perceptual"](network=file, **settings).build(context)
        return str(caught.value)

    assert re.search(r"absent.pth: cannot be read", message(tmp_path / "absent.pth"))
    for name in ("noise.pth", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"no weights " * 20)
        assert f"{name}: " in message(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    assert "got list" in message(tmp_path / "list.pth")
    torch.save(Vgg19(1).state_dict(), tmp_path / "short.pth")
    assert "wanted features.5.weight of shape (128, 64, 3, 3), got nothing" in message(tmp_path / "short.pth")
    state = Vgg19(1).state_dict()
    state["features.2.weight"] = torch.zeros(64, 3, 3, 3)
    torch.save(state, tmp_path / "other.pth")
    assert "got (64, 3, 3, 3)" in message(tmp_path / "other.pth", layers=1)


def test_perceptual_runs_nothing_that_a_file_holds(tmp_path, context):
    class Stranger:
        def __reduce__(self):
            return (tmp_path.joinpath("touched").write_text, ("gotcha",))

    torch.save({"features.0.weight": Stranger()}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"bad.pth: not a file of plain tensors"):
        LOSSES["perceptual"](network=tmp_path / "bad.pth").build(context)
    assert not (tmp_path / "touched").exists()


def test_perceptual_without_a_network_says_what_to_give(monkeypatch):
    monkeypatch.setattr("understudy.losses.perceptual.own_features", lambda: None)
    with pytest.raises(ConfigError, match=r"--losses.perceptual.network FILE"):
        LOSSES["perceptual"]().build(Context(device=torch.device("cpu"), weights=None))
    with pytest.raises(ConfigError, match="1 to 5, got 0"):
        LOSSES["perceptual"](layers=0)
