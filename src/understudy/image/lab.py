"""CIE L*a*b* in float, from and to RGB with the sRGB transfer and D65 white.

CIE 15:2004, equations 8.3 to 8.8; matrix and transfer of IEC 61966-2-1. L* is 0…100.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_RGB_TO_XYZ = (
    (0.4123907993, 0.3575843394, 0.1804807884),
    (0.2126390059, 0.7151686788, 0.0721923154),
    (0.0193308187, 0.1191947798, 0.9505321522),
)
"""From the primaries and the white point x = 0.3127, y = 0.3290."""
_XYZ_TO_RGB = (
    (3.2409699419, -1.5373831776, -0.4986107603),
    (-0.9692436363, 1.8759675015, 0.0415550574),
    (0.0556300797, -0.2039769589, 1.0569715142),
)
_WHITE = (0.9504559271, 1.0, 1.0890577508)
_DELTA = 6.0 / 29.0
_F_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))


def srgb_to_linear(rgb: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Light of R'G'B' values (IEC 61966-2-1); below 0 the straight part goes on."""
    return torch.where(rgb > 0.04045, ((rgb.clamp(min=0.0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def linear_to_srgb(light: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """R'G'B' values of light, the reverse of ``srgb_to_linear``."""
    curved = 1.055 * light.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(light > 0.0031308, curved, light * 12.92)


def rgb_to_lab(rgb: Float[Tensor, "b 3 *n"]) -> Float[Tensor, "b 3 *n"]:
    """L* in [0, 100] and a*, b* about 0, of RGB in [0, 1]."""
    linear = srgb_to_linear(rgb)
    white = rgb.new_tensor(_WHITE)
    ratios = _mix(rgb.new_tensor(_RGB_TO_XYZ) / white[:, None], linear)
    cubes = ratios.clamp(min=_DELTA**3) ** (1.0 / 3.0)
    f = torch.where(ratios > _DELTA**3, cubes, ratios / (3.0 * _DELTA**2) + 4.0 / 29.0)
    lab = _mix(rgb.new_tensor(_F_TO_LAB), f)
    lab[:, 0] -= 16.0
    return lab


def lab_to_rgb(lab: Float[Tensor, "b 3 *n"]) -> Float[Tensor, "b 3 *n"]:
    """RGB of L*a*b*; outside [0, 1] where the colour lies outside the sRGB gamut, not clipped."""
    lightness = (lab[:, 0] + 16.0) / 116.0
    f = torch.stack([lightness + lab[:, 1] / 500.0, lightness, lightness - lab[:, 2] / 200.0], dim=1)
    ratios = torch.where(f > _DELTA, f**3, (f - 4.0 / 29.0) * (3.0 * _DELTA**2))
    linear = _mix(lab.new_tensor(_XYZ_TO_RGB) * lab.new_tensor(_WHITE), ratios)
    return linear_to_srgb(linear)


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    """A 3 x 3 matrix times the channels."""
    return (matrix @ channels.flatten(2)).view(channels.shape)
