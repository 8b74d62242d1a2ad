from __future__ import annotations

import pytest
import torch

from understudy.blends.alpha import Alpha
from understudy.blends.feather import Feather
from understudy.blends.multiband import Multiband
from understudy.blends.poisson import Poisson
from understudy.errors import ConfigError
from understudy.image.filter import gaussian_blur
from understudy.image.lab import rgb_to_lab

SIZE = 96


def disc(radius: float, softness: float = 1e-6) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    return ((radius - torch.hypot(y - SIZE / 2, x - SIZE / 2)) / softness).clamp(0, 1)[None, None]


def flat(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE).contiguous()


@pytest.mark.parametrize("softness", [0.05, 0.1, 0.2])
def test_feather_fades_as_wide_as_it_says(softness):
    out = Feather(softness=softness)(flat(0, 0, 0), flat(1, 1, 1), disc(35))[0, 0, SIZE // 2]
    edge = out[: SIZE // 2]
    assert torch.all(edge.diff() >= -1e-6)
    width = int(((edge > 0.01) & (edge < 0.99)).sum())
    assert width == pytest.approx(softness * SIZE, rel=0.4, abs=1.0)
    assert out[SIZE // 2] == 1


def test_feather_without_softness_is_the_mask():
    mask = gaussian_blur(disc(30), 3.0)
    out = Feather(softness=0.0)(flat(0, 0, 0), flat(1, 1, 1), mask)
    assert (out[:, :1] - mask).abs().max() < 1e-6


def test_feather_keeps_a_nan_outside_out():
    face = flat(0.5, 0.5, 0.5)
    face[..., 0] = float("nan")
    assert torch.isfinite(Feather()(flat(0, 0, 0), face, disc(30))).all()


def test_poisson_takes_the_colour_round_the_face():
    """A face of another colour, flat and detail apart, comes out in the base's colour with its own detail."""
    generator = torch.Generator().manual_seed(3)
    detail = gaussian_blur(torch.randn(1, 3, SIZE, SIZE, generator=generator), 1.5) * 0.1
    detail = detail * disc(20, 5)
    base = flat(0.7, 0.5, 0.4)
    out = Poisson(reach=0.0)(base, flat(0.3, 0.45, 0.6) + detail, disc(35))
    assert (out - (base + detail)).abs().max() < 1e-3


def test_poisson_does_not_mix_channels():
    base, face = flat(0.5, 0.5, 0.5), flat(0.5, 0.5, 0.5)
    generator = torch.Generator().manual_seed(3)
    face[:, 0] = torch.rand(1, SIZE, SIZE, generator=generator)
    out = Poisson()(base, face, disc(35))
    assert (out[:, 1:] - 0.5).abs().max() < 1e-4
    assert (out[:, 0] - 0.5).abs().max() > 0.1


def test_poisson_does_not_move_the_face():
    face = flat(0.5, 0.5, 0.5)
    face[..., 40:43, 50:53] = 0.9
    out = Poisson()(flat(0.5, 0.5, 0.5), face, disc(35))
    assert (out - face).abs().max() < 1e-3


def test_poisson_seam_is_unseen():
    """Along the mask's edge the composite has no step, though face and base differ by a third."""
    base = torch.linspace(0.2, 0.6, SIZE).view(1, 1, 1, SIZE).expand(1, 3, SIZE, SIZE).contiguous()
    out = Poisson(reach=0.0)(base, (base + 0.35).clamp(max=1), disc(30))
    assert (out - base).abs().max() < 1e-3


def hue_and_chroma(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    _, a, b = rgb_to_lab(pictures).unbind(1)
    return torch.rad2deg(torch.atan2(b, a)), torch.hypot(a, b)


@pytest.mark.parametrize("blend", [Poisson(), Poisson(reach=0.0), Multiband()])
def test_no_hue_drift_at_dark_borders(blend):
    """A face that falls off into black, over a base that is nearly black all round: its colours stay."""
    generator = torch.Generator().manual_seed(5)
    grain = 0.01 * torch.randn(2, 3, SIZE, SIZE, generator=generator)
    fall = gaussian_blur(disc(24), 5.0)
    face = (fall * flat(0.75, 0.52, 0.42) + 0.02 + grain[:1]).clamp(0, 1)
    base = (0.02 * flat(0.8, 0.9, 1.0) + grain[1:]).clamp(0, 1)
    out = blend(base, face, disc(42, 4))
    (before, chroma), (after, _) = (
        hue_and_chroma(gaussian_blur(face, 2.0)),
        hue_and_chroma(gaussian_blur(out, 2.0)),
    )
    colored = chroma > 12
    assert colored.sum() > 1000
    drift = (after - before + 180) % 360 - 180
    assert drift[colored].abs().max() < 3.0
    assert drift[colored].mean().abs() < 0.5
    light = rgb_to_lab(out)[:, 0] - rgb_to_lab(face)[:, 0]
    assert light[colored].mean().abs() < 1.0, "nor does the whole patch become lighter or darker"


def test_poisson_reach_leaves_the_middle_its_colour():
    """With a reach, the surroundings' colour is gone after a few reaches; without one it is all over."""
    base, face, mask = flat(0.2, 0.3, 0.4), flat(0.6, 0.5, 0.4), disc(44, 4)
    middle = (0, slice(None), SIZE // 2, SIZE // 2)
    assert (Poisson(reach=0.06)(base, face, mask)[middle] - face[middle]).abs().max() < 0.01
    assert (Poisson(reach=0.0)(base, face, mask)[middle] - base[middle]).abs().max() < 0.01


def test_poisson_with_mixed_gradients_keeps_hair_of_the_base():
    base, face = flat(0.6, 0.5, 0.4), flat(0.6, 0.5, 0.4)
    base[..., 40:42, :] = 0.1
    plain, mixed = (Poisson(mixed=mixed)(base, face, disc(40, 4)) for mixed in (False, True))
    strand = (..., slice(40, 42), slice(40, 56))
    assert plain[strand].mean() > 0.4
    assert (mixed[strand] - base[strand]).abs().max() < 0.05


@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_multiband_has_a_band_more_for_twice_the_side(side):
    assert Multiband().bands(side) == {64: 2, 128: 3, 256: 4, 512: 5}[side]
    assert Multiband(depth=0.0).bands(side) == 1


def test_multiband_light_is_wide_and_detail_narrow():
    """Light of another level comes in slowly; a fine pattern is whole a few pixels from the edge."""
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    mask = ((96 - torch.hypot(y - 127.5, x - 127.5)) / 3).clamp(0, 1)[None, None]
    base = torch.full((1, 3, 256, 256), 0.4)
    lighter = Multiband()(base, base + 0.2, mask)[0, 0, 128, 128:] - 0.4
    inwards = lighter[:96].flip(0)
    assert inwards[4] < 0.05, "no step at the edge"
    assert inwards[70] == pytest.approx(0.2, abs=1e-3)
    assert float((inwards < 0.1).sum()) > 8
    pattern = 0.05 * (-1.0) ** (x + y)[None, None]
    detail = Multiband()(base, base + pattern, mask)[0, 0, 128, 128:] - 0.4
    assert (detail[:90] - pattern[0, 0, 128, 128:218]).abs().max() < 0.005


def test_multiband_leaks_nothing_at_a_hard_edge():
    """Not even a hard mask shows a step in a colour that differs by a third."""
    out = Multiband()(flat(0.3, 0.3, 0.3), flat(0.6, 0.6, 0.6), disc(35))
    line = out[0, 0, SIZE // 2]
    assert line.diff().abs().max() < 0.06


def test_alpha_follows_the_outline_of_the_frame():
    """The mask reaches over the cheek's outline into a green background: there the frame shows through."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    cheek = (torch.hypot(y - 48, x - 48) < 32).float()
    base = torch.lerp(flat(0.1, 0.5, 0.2), flat(0.7, 0.5, 0.4), cheek)
    mask = disc(36, 1)
    blend = Alpha(width=0.16)
    alpha = blend.matte(base, mask)[0, 0]
    outline = (mask[0, 0] > 0) & (cheek == 0)
    skin = (torch.hypot(y - 48, x - 48) > 27) & (cheek == 1)
    assert alpha[outline].mean() < 0.1
    assert alpha[skin].mean() > 0.8
    softened = Feather(softness=0.16)(flat(0, 0, 0), flat(1, 1, 1), mask)[0, 0]
    assert softened[skin].mean() < 0.6, "a feather of that width does not know where the cheek ends"


def test_alpha_keeps_a_hand_in_front_of_the_edge():
    base = flat(0.7, 0.5, 0.4)
    base[..., 40:56, :24] = torch.tensor([0.15, 0.1, 0.3]).view(
        3, 1, 1
    )  # a glove, a few pixels into the mask
    alpha = Alpha(width=0.2).matte(base, disc(36, 1))[0, 0]
    assert alpha[42:54, 16:23].mean() < 0.3 * alpha[42:54, 73:80].mean()


@pytest.mark.parametrize("width", [0.0, 0.001])
def test_alpha_without_a_band_is_the_mask(width):
    out = Alpha(width=width)(flat(0, 0, 0), flat(1, 1, 1), disc(30, 5))
    assert (out[:, :1] - disc(30, 5)).abs().max() < 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Poisson(reach=-0.1),
        lambda: Poisson(reach=float("inf")),
        lambda: Poisson(level=1.0),
        lambda: Multiband(depth=0.6),
        lambda: Alpha(width=-0.1),
        lambda: Alpha(smoothness=0.0),
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match="wanted"):
        wrong()
