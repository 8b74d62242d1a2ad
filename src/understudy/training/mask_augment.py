"""Augmentation for mask networks, in batches on the device: what a few labelled faces lack in variety.

The order and the reach are DeepFaceLab's for XSeg: backgrounds of other faces, a warp that the mask shares,
flares, colours and filters under faded circles, lost resolution, JPEG. Things laid before the face are our
own. Masks stay soft at their edges, where DeepFaceLab makes them hard again: a pixel holds the part of it
that is face. What is random is drawn on the processor from a numpy generator, so that every device sees the
same faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from understudy.errors import ConfigError
from understudy.image.filter import gaussian_blur
from understudy.training.augment import Augmentation, as_channels_last, draw, sample, warp_field

_TAPS = 5  # of the longest filter
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, kw_only=True)
class MaskAugmentation:
    """How the faces of a mask network's batch differ from the stored ones."""

    rotation: float = 10.0
    """Largest turn to either side, degrees."""
    scale: float = 0.05
    """Largest change of size: from 1 / 1.05 to 1.05."""
    shift: float = 0.05
    """Largest shift along each axis, as a fraction of the side."""
    flip: float = 0.4
    """Probability that a face is mirrored."""
    warp_strength: float = 1.0
    """Factor on the movement of the warp's nodes; 0 for none."""
    background: float = 0.5
    """Probability that another face's background shines through this one's."""
    thing: float = 0.25
    """Probability that an invented thing is laid before the face."""
    flare: float = 0.5
    """Probability that the face glows into the picture; and, apart from it, that the background does."""
    color: float = 1.0
    """Probability that colours are changed in a part of the picture."""
    filter: float = 0.5
    """Probability that a part of the picture is sharpened or blurred."""
    resize: float = 0.25
    """Probability that resolution is lost."""
    jpeg: float = 0.25
    """Probability that the picture was a JPEG of low quality."""

    def __post_init__(self) -> None:
        for name in ("flip", "background", "thing", "flare", "color", "filter", "resize", "jpeg"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: wanted a probability, 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskBatch:
    """Faces and their masks as a training step sees them."""

    picture: Float[Tensor, "b 3 s s"]
    """What the network is shown, RGB in [0, 1]."""
    mask: Float[Tensor, "b 1 s s"]
    """How much of each pixel is face, [0, 1]."""
    known: Float[Tensor, "b 1 s s"]
    """Where the mask is known, [0, 1]: beyond the stored crop it is not."""


def augment_masks(
    faces: UInt8[Tensor, "b 5 s s"],
    random: np.random.Generator,
    settings: MaskAugmentation,
    *,
    margin: float,
    size: int,
) -> MaskBatch:
    """Faces as no camera saw them, and the masks that belong to them.

    Args:
        faces: red, green, blue, mask, where the mask is known.
        random: what is random follows from it.
        settings: how far to go.
        margin: how many times the network's square the stored picture is wide.
        size: side of the network's pictures.
    """
    stored = faces.float() / 255
    geometry = Augmentation(
        rotation=settings.rotation,
        scale=settings.scale,
        shift=settings.shift,
        warp_strength=settings.warp_strength,
        color=0.0,
    )
    drawn = draw(random, len(faces), geometry, flip=settings.flip)
    places = _places(size, faces.device)
    affine = torch.as_tensor(drawn.affine, device=faces.device) / margin
    moved = sample(stored, affine, places + warp_field(drawn, size, faces.device))
    picture, mask, known = moved[:, :3], moved[:, 3:4], moved[:, 4:]
    picture = mix_backgrounds(picture, mask, stored, random, settings.background, margin)
    picture, mask = lay_things(picture, mask, random, settings.thing)
    picture = flare(picture, mask, random, settings.flare)
    picture = shift_colors(picture, random, settings.color)
    picture = filter_parts(picture, random, settings.filter)
    picture = lose_resolution(picture, random, settings.resize)
    picture = compress(picture.clamp(0, 1), random, settings.jpeg)
    return MaskBatch(picture=as_channels_last(picture), mask=mask, known=known)


def _places(size: int, device: torch.device) -> Float[Tensor, "1 s s 2"]:
    """Where the pixels' centres are, x and y, from -1 to 1 over the picture."""
    line = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size)], -1)[None]


def _each(values: np.ndarray, like: Tensor) -> Tensor:
    """One number a face, to multiply pictures with."""
    return torch.as_tensor(values.astype(np.float32), device=like.device)[:, None, None, None]


def mix_backgrounds(
    picture: Float[Tensor, "b 3 s s"],
    mask: Float[Tensor, "b 1 s s"],
    stored: Float[Tensor, "b 5 t t"],
    random: np.random.Generator,
    probability: float,
    margin: float,
) -> Float[Tensor, "b 3 s s"]:
    """Round the face, 0.15 to 1 of its own background and of another face's, turned as it comes, the rest.

    Where the other picture shows its face nothing is taken: a face would be called background.
    """
    count = len(picture)
    wild = Augmentation(rotation=180.0, scale=0.1, shift=0.1, warp="none", color=0.0)
    drawn = draw(random, count, wild, flip=0.5)
    other = stored[torch.as_tensor(np.roll(np.arange(count), 1), device=stored.device)]
    affine = torch.as_tensor(drawn.affine, device=picture.device) / margin
    places = _places(picture.shape[-1], picture.device).expand(count, -1, -1, -1)
    came = sample(other, affine, places)
    shares = np.where(random.random(count) < probability, 1 - random.uniform(0.15, 1.0, count), 0.0)
    weight = _each(shares, picture) * (1 - mask) * (1 - came[:, 3:4]) * came[:, 4:]
    return torch.lerp(picture, _recolor(came[:, :3], random), weight)


def lay_things(
    picture: Float[Tensor, "b 3 s s"],
    mask: Float[Tensor, "b 1 s s"],
    random: np.random.Generator,
    probability: float,
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]:
    """A rounded thing of one mottled colour before the face, which is not face where it lies."""
    count, size = len(picture), picture.shape[-1]
    turn = random.uniform(0, np.pi, count)
    centre, half = random.uniform(-0.7, 0.7, (count, 2)), random.uniform(0.06, 0.4, (count, 2))
    corner = random.uniform(1.2, 6.0, count)  # exponent: from a diamond to a box
    color = random.uniform(0, 1, (count, 3, 1, 1)) + random.uniform(-0.15, 0.15, (count, 3, 6, 6))
    chosen = random.random(count) < probability
    places = _places(size, picture.device)
    x, y = (places[..., axis] - _each(centre[:, axis], picture)[..., 0] for axis in (0, 1))
    cosine, sine = (_each(part(turn), picture)[..., 0] for part in (np.cos, np.sin))
    across = (x * cosine + y * sine).abs() / _each(half[:, 0], picture)[..., 0]
    down = (y * cosine - x * sine).abs() / _each(half[:, 1], picture)[..., 0]
    power = _each(corner, picture)[..., 0]
    away = (across.clamp(max=9) ** power + down.clamp(max=9) ** power).clamp(min=1e-9) ** (1 / power)
    edge = 2.0 / (size * _each(half.min(1), picture)[..., 0])  # about a pixel
    inside = (((1 - away) / edge + 0.5).clamp(0, 1) * _each(chosen, picture)[..., 0])[:, None]
    coarse = torch.as_tensor(color.astype(np.float32), device=picture.device)
    texture = F.interpolate(coarse, (size, size), mode="bilinear").clamp(0, 1)
    return torch.lerp(picture, texture, inside), mask * (1 - inside)


def flare(
    picture: Float[Tensor, "b 3 s s"],
    mask: Float[Tensor, "b 1 s s"],
    random: np.random.Generator,
    probability: float,
) -> Float[Tensor, "b 3 s s"]:
    """The face's light, far blurred, over the whole picture; and the background's."""
    count, size = len(picture), picture.shape[-1]
    small = min(32, size)  # what is blurred this far needs no more
    sigma = small * float(random.uniform(0.06, 0.25))
    out = picture
    for part in (mask, 1 - mask):
        strengths = random.uniform(0, 0.6, count) * (random.random(count) < probability)
        light = F.interpolate(picture * part, (small, small), mode="area")
        glow = F.interpolate(gaussian_blur(light, sigma), (size, size), mode="bilinear")
        out = out + _each(strengths, picture) * glow
    return out.clamp(0, 1)


def _circles(random: np.random.Generator, like: Tensor, probability: float) -> Float[Tensor, "b 1 s s"]:
    """A disc with a wide soft edge anywhere in the picture; nothing where chance says so."""
    count = len(like)
    centre, inner = random.uniform(-1, 1, (count, 2)), random.uniform(0, 1, count)
    fade = random.uniform(0.1, 1.0, count)
    places = _places(like.shape[-1], like.device)
    away = torch.stack([places[..., axis] - _each(centre[:, axis], like)[..., 0] for axis in (0, 1)])
    reach = (_each(inner + fade, like) - away.norm(dim=0)[:, None]) / _each(fade, like)
    return reach.clamp(0, 1) * _each(random.random(count) < probability, like)


def shift_colors(
    picture: Float[Tensor, "b 3 s s"], random: np.random.Generator, probability: float
) -> Float[Tensor, "b 3 s s"]:
    """Other hue, saturation and value, or other levels of each channel, under a faded circle."""
    circles = _circles(random, picture, probability)
    return torch.lerp(picture, _recolor(picture, random), circles)


def _recolor(picture: Tensor, random: np.random.Generator) -> Tensor:
    """Half of the pictures get another hue, saturation and value, the others other levels."""
    count = len(picture)
    matrix = _hue_matrices(
        random.uniform(-np.pi / 2, np.pi / 2, count),
        random.uniform(0.5, 1.5, count),
        random.uniform(0.5, 1.5, count),
    )
    turned = torch.einsum("bij,bjhw->bihw", torch.as_tensor(matrix, device=picture.device), picture)
    shape = (count, 3, 1, 1)
    levels = [random.uniform(*bounds, shape) for bounds in ((0, 0.25), (0.75, 1.0), (0.6, 1.6))]
    black, white, gamma = (torch.as_tensor(v.astype(np.float32), device=picture.device) for v in levels)
    leveled = ((picture - black) / (white - black)).clamp(1e-4, 1) ** gamma
    chosen = _each(random.random(count) < 0.5, picture)
    return torch.lerp(leveled, turned.clamp(0, 1), chosen)


def _hue_matrices(angle: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours turned about the grey axis (Rodrigues' formula), drawn from or to their luma, and scaled."""
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    turn = cosine * np.eye(3) + sine * cross + (1 - cosine) * np.outer(axis, axis)
    mix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * _LUMA
    return (value[:, None, None] * (mix @ turn)).astype(np.float32)


def filter_parts(
    picture: Float[Tensor, "b 3 s s"], random: np.random.Generator, probability: float
) -> Float[Tensor, "b 3 s s"]:
    """Sharpened, or blurred by a moving camera, under a faded circle; half of the chosen each."""
    count, size = len(picture), picture.shape[-1]
    circles = _circles(random, picture, probability)
    kernels = np.stack([_kernel(random) for _ in range(count)]).astype(np.float32)
    weight = torch.as_tensor(kernels, device=picture.device)[:, None].repeat_interleave(3, 0)
    flat = F.pad(picture.reshape(1, count * 3, size, size), (_TAPS // 2,) * 4, mode="replicate")
    filtered = F.conv2d(flat, weight, groups=count * 3).reshape(picture.shape)
    return torch.lerp(picture, filtered, circles).clamp(0, 1)


def _kernel(random: np.random.Generator) -> np.ndarray:
    """A filter whose weights sum to one."""
    line = np.arange(_TAPS) - _TAPS // 2
    away = line[:, None] ** 2 + line[None] ** 2
    soft = np.exp(-away / (2 * random.uniform(0.5, 1.5) ** 2))
    soft /= soft.sum()
    angle, length = random.uniform(0, np.pi), random.uniform(0.5, _TAPS / 2)
    if random.random() < 0.5:
        strength = random.uniform(0.3, 2.0)
        return (1 + strength) * (away == 0) - strength * soft
    along = line[None] * np.cos(angle) + line[:, None] * np.sin(angle)
    beside = line[:, None] * np.cos(angle) - line[None] * np.sin(angle)
    streak = np.clip(1 - np.abs(beside), 0, 1) * (np.abs(along) <= length)
    blurred = cv2.filter2D(streak, -1, soft, borderType=cv2.BORDER_CONSTANT)
    return blurred / blurred.sum()


def lose_resolution(
    picture: Float[Tensor, "b 3 s s"], random: np.random.Generator, probability: float
) -> Float[Tensor, "b 3 s s"]:
    """Some faces are brought to as little as a quarter of their size and back."""
    size = picture.shape[-1]
    rows = list(picture.split(1))
    for number in np.flatnonzero(random.random(len(rows)) < probability):
        small = max(4, round(size * float(random.uniform(0.25, 1.0))))
        if random.random() < 0.5:
            down = F.interpolate(rows[number], (small, small), mode="nearest")
            rows[number] = F.interpolate(down, (size, size), mode="nearest")
        else:
            down = F.interpolate(rows[number], (small, small), mode="bilinear")
            rows[number] = F.interpolate(down, (size, size), mode="bilinear")
    return torch.cat(rows)


def compress(
    picture: Float[Tensor, "b 3 s s"], random: np.random.Generator, probability: float
) -> Float[Tensor, "b 3 s s"]:
    """Some faces go through JPEG of quality 10 to 100; that is done on the processor."""
    chosen = np.flatnonzero(random.random(len(picture)) < probability)
    if not len(chosen):
        return picture
    index = torch.as_tensor(chosen, device=picture.device)
    rows = (picture[index].permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    out = np.empty_like(rows)
    for number, row in enumerate(rows):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(10, 101))]
        done, data = cv2.imencode(".jpg", cv2.cvtColor(row, cv2.COLOR_RGB2BGR), quality)
        assert done, "an 8-bit RGB picture can be written as JPEG"
        out[number] = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    back = torch.as_tensor(out, device=picture.device).permute(0, 3, 1, 2).float() / 255
    return picture.index_copy(0, index, back)
