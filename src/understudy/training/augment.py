"""Augmentation in batches on the device: an affine map, a warp, one reading of the stored face per output.

Where a picture is read is composed from maps, so that no picture is resampled twice: the truth is read
through the affine map, the input through the warp and then the same affine map. What is random is drawn on
the processor from a numpy generator, so that every device sees the same faces.

Coordinates here run from -1 to 1 over the square that the model sees, as in ``grid_sample`` without aligned
corners: -1 is the outer edge of the first pixel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from understudy.errors import ConfigError
from understudy.image.filter import gaussian_blur
from understudy.learning import Sample

_NODES = 9  # of the finest warp, 8 cells
_CELLS = (2, 4, 8)
_GRID_CELLS = 4


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How the faces of a training batch differ from the stored ones."""

    rotation: float = 10.0
    """Largest turn to either side, degrees."""
    scale: float = 0.15
    """Largest change of size: from 1 / 1.15 to 1.15."""
    shift: float = 0.05
    """Largest shift along each axis, as a fraction of the side."""
    flip_source: float = 0.0
    """Probability that a face of the source is mirrored."""
    flip_target: float = 0.4
    """Probability that a face of the target is mirrored."""
    warp: Literal["none", "grid", "cells"] = "cells"
    """How the input is distorted. grid: a net of 5 x 5 nodes, all moved (the first deepfakes); cells: 2, 4 or
    8 cells a side with a fixed frame (DeepFaceLab)."""
    warp_strength: float = 1.0
    """Factor on the movement of the nodes."""
    color: float = 0.03
    """Largest change of the input's brightness, contrast, saturation and white balance; 0 for none."""
    hsv: float = 0.0
    """Random shift of the source's input: 0.1 turns its hue by up to 18 degrees, and moves saturation and
    value by up to 0.05. DeepFaceLab's users take 0.05; 0 for none."""
    transfer: float = 1.0
    """Probability that a face of the source gets the colours of a random face of the target, input and truth
    alike; see --color-transfer."""
    blur_outside: float = 0.0
    """Blur of the truth outside the face, into which the face does not run: standard deviation as a fraction
    of the side; DeepFaceLab: 0.0078. 0 for none."""

    def __post_init__(self) -> None:
        for name in ("flip_source", "flip_target", "transfer", "hsv", "blur_outside"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"{name}: wanted a number between 0 and 1, got {value:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """What is random about a batch, as numbers."""

    affine: Float32[np.ndarray, "b 2 3"]
    """From the picture that is made to the stored face."""
    nodes: Float32[np.ndarray, "b 2 9 9"]
    """Movement of the warp's nodes along x and y; those beyond the last node are zero."""
    cells: Int[np.ndarray, "b"]
    """Cells a side of the warp."""
    mirrored: Bool[np.ndarray, "b"]
    """Whether the face is shown as in a mirror."""
    color: Float32[np.ndarray, "b 3 4"]
    """From input colours (r, g, b, 1) to what the network sees."""

    def part(self, rows: slice) -> Draws:
        """The same for some of the faces."""
        return Draws(**{item.name: getattr(self, item.name)[rows] for item in dataclasses.fields(self)})


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceDraws:
    """What else is random about the source's faces, whose colours may change more."""

    hsv: Float32[np.ndarray, "b 3"]
    """Added to hue (in circles), saturation and value of the input."""
    transferred: Bool[np.ndarray, "b"]
    """Whether a face gets the colours of one of the target's."""
    partner: Float32[np.ndarray, "b"]
    """Which one, in [0, 1) of all of them."""

    def part(self, rows: slice) -> SourceDraws:
        """The same for some of the faces."""
        return SourceDraws(**{item.name: getattr(self, item.name)[rows] for item in dataclasses.fields(self)})


def draw(random: np.random.Generator, count: int, settings: Augmentation, *, flip: float) -> Draws:
    """Everything random about ``count`` faces.

    Args:
        random: advanced by the same amount whatever is switched off, up to the redrawing of rare values.
        count: faces.
        settings: how far to go.
        flip: probability of a mirrored face.
    """
    angle = np.radians(random.uniform(-1, 1, count) * settings.rotation)
    zoom = (1 + settings.scale) ** random.uniform(-1, 1, count)
    shift = random.uniform(-2, 2, (count, 2)) * settings.shift
    mirror = np.where(random.random(count) < flip, -1.0, 1.0)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    linear = np.stack([np.stack([cosine * mirror, -sine], 1), np.stack([sine * mirror, cosine], 1)], 1)
    affine = np.concatenate([linear, shift[:, :, None]], 2)
    nodes, cells = _draw_warp(random, count, settings)
    return Draws(
        affine=affine.astype(np.float32),
        nodes=nodes.astype(np.float32),
        cells=cells,
        mirrored=mirror < 0,
        color=_draw_color(random, count, settings.color).astype(np.float32),
    )


def draw_source(random: np.random.Generator, count: int, settings: Augmentation) -> SourceDraws:
    """What else is random about ``count`` faces of the source; advances ``random`` always alike."""
    return SourceDraws(
        hsv=(random.uniform(-0.5, 0.5, (count, 3)) * settings.hsv).astype(np.float32),
        transferred=random.random(count) < settings.transfer,
        partner=random.random(count, np.float32),
    )


def _draw_warp(
    random: np.random.Generator, count: int, settings: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Movements in units of the square (2 wide), independent along x and y."""
    cells = random.choice(_CELLS, count)
    moves = _truncated_normal(random, (count, 2, _NODES, _NODES))
    if settings.warp == "none":
        return np.zeros_like(moves), cells
    if settings.warp == "grid":
        # 5 pixels of the net's 40: the whole net moves, its rim too
        cells = np.full(count, _GRID_CELLS)
        node = np.arange(_NODES) <= _GRID_CELLS
        inside = np.broadcast_to(node, (count, _NODES))
        spread = np.full(count, 0.125 * 2 / _GRID_CELLS)
    else:
        # normal, cut at 2.5 sigma, at most 0.24 of a cell; the rim stays
        node = np.arange(_NODES)
        inside = (node > 0) & (node < cells[:, None])
        spread = 0.24 / 2.5 * 2 / cells
    kept = inside[:, None, :, None] & inside[:, None, None, :]
    return moves * kept * (spread * settings.warp_strength)[:, None, None, None], cells


def _truncated_normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = random.standard_normal(shape)
    while (far := np.abs(values) > 2.5).any():
        values[far] = random.standard_normal(int(far.sum()))
    return values


def _draw_color(random: np.random.Generator, count: int, strength: float) -> np.ndarray:
    """Contrast round mid-grey, brightness, saturation round the luma, and a gain for each channel."""
    contrast, brightness, saturation = 1 + strength * np.array([1, 1, 2])[:, None] * random.uniform(
        -1, 1, (3, count)
    )
    gain = 1 + strength * random.uniform(-1, 1, (count, 3))
    luma = np.array([0.299, 0.587, 0.114])
    mix = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * luma
    linear = (contrast[:, None] * gain)[:, :, None] * mix
    offset = (brightness - 1 + 0.5 * (1 - contrast))[:, None, None] * np.ones((1, 3, 1))
    return np.concatenate([linear, offset], 2)


# ------------------------------------------------------------------------------------------- on the device


@lru_cache(maxsize=8)
def _places(size: int, device: torch.device) -> Float[Tensor, "s s 2"]:
    """Where the pixels' centres are, x and y."""
    line = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size)], -1)


@lru_cache(maxsize=8)
def _hats(size: int, device: torch.device) -> Float[Tensor, "k s 9"]:
    """For 2, 4 and 8 cells: the weight of each node at each pixel's centre, linear between nodes."""
    place = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    node = torch.arange(_NODES, dtype=torch.float32)
    hats = [(1 - (place[:, None] * cells - node).abs()).clamp(min=0) for cells in _CELLS]
    return torch.stack(hats).to(device)


def warp_field(draws: Draws, size: int, device: torch.device) -> Float[Tensor, "b s s 2"]:
    """Movement along x and y at every pixel, linear between the nodes of the warp."""
    index = torch.as_tensor(np.log2(draws.cells).astype(np.int64) - 1, device=device)
    hats = _hats(size, device)[index][:, None]
    nodes = torch.as_tensor(draws.nodes, device=device)
    return (hats @ nodes @ hats.transpose(-1, -2)).permute(0, 2, 3, 1)


Recolor = Callable[[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]], Float[Tensor, "b 3 s s"]]
"""Pictures and masks to pictures in other colours."""


def augment(
    faces: UInt8[Tensor, "b 5 s s"],
    draws: Draws,
    *,
    margin: float,
    size: int,
    truth_size: int,
    recolor: Recolor | None = None,
    hsv: Float32[np.ndarray, "b 3"] | None = None,
    blur_outside: float = 0.0,
) -> Sample:
    """Warped inputs, the truth that belongs to them, and where the face and its features are in it.

    Args:
        faces: stored faces, see ``store.FaceStore``.
        draws: what is random.
        margin: how many times the model's square the stored picture is wide.
        size: side of the inputs, pixels.
        truth_size: side of the truth, pixels.
        recolor: done to the stored pictures, so that input and truth have the same colours (DeepFaceLab
            transfers to each for itself, and they differ where the transfer is random).
        hsv: see ``SourceDraws``; None for no shift.
        blur_outside: see ``Augmentation``.
    """
    device = faces.device
    stored = faces.float() / 255
    if recolor is not None:
        stored = torch.cat([recolor(stored[:, :3], stored[:, 3:4]), stored[:, 3:]], 1)
    affine = torch.as_tensor(draws.affine, device=device) / margin
    truth = sample(stored, affine, _places(truth_size, device).expand(len(faces), -1, -1, -1))
    field = warp_field(draws, size, device)
    warped = sample(stored[:, :3], affine, _places(size, device) + field)
    color = torch.as_tensor(draws.color, device=device)
    tinted = torch.einsum("bij,bjhw->bihw", color[:, :, :3], warped) + color[:, :, 3, None, None]
    tinted = tinted.clamp(0, 1)
    if hsv is not None:
        tinted = shift_hsv(tinted, torch.as_tensor(hsv, device=device))
    wanted = truth[:, :3]
    if blur_outside:
        wanted = blurred_outside(wanted, truth[:, 3:4], blur_outside * truth_size)
    return Sample(
        input=as_channels_last(tinted),
        truth=as_channels_last(wanted),
        mask=truth[:, 3:4],
        features=truth[:, 4:],
    )


def shift_hsv(pictures: Float[Tensor, "b 3 h w"], shifts: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 h w"]:
    """Pictures with hue, saturation and value shifted; saturation and value stay in [0, 1].

    Smith 1978, "Color gamut transform pairs", the hexcone model.

    Args:
        pictures: RGB in [0, 1].
        shifts: hue in circles.
    """
    red, green, blue = pictures.unbind(1)
    value, least = pictures.amax(1), pictures.amin(1)
    chroma = value - least
    safe = chroma.clamp(min=1e-8)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue, saturation, value = (
        channel + shift[:, None, None]
        for channel, shift in zip(
            (hue / 6, chroma / value.clamp(min=1e-8), value), shifts.unbind(1), strict=True
        )
    )
    saturation, value = saturation.clamp(0, 1), value.clamp(0, 1)
    corners = torch.tensor([5.0, 3.0, 1.0], device=pictures.device)
    place = (corners[:, None, None] + hue[:, None] * 6) % 6
    away = torch.minimum(place, 4 - place).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * away)


def blurred_outside(
    pictures: Float[Tensor, "b 3 s s"], masks: Float[Tensor, "b 1 s s"], sigma: float
) -> Float[Tensor, "b 3 s s"]:
    """What is outside the masks blurred, by a mean of outside pixels only.

    DeepFaceLab's ``blur_out_mask``, with the weights blurred like the picture, so that its border does not
    darken.
    """
    outside = 1 - masks
    both = gaussian_blur(torch.cat([pictures * outside, outside], 1), sigma)
    smeared = both[:, :3] / both[:, 3:].clamp(min=1e-6)
    return torch.where(both[:, 3:] > 1e-6, torch.lerp(smeared, pictures, masks), pictures)


def sample(
    stored: Float[Tensor, "b c s s"], affine: Float[Tensor, "b 2 3"], places: Float[Tensor, "b h w 2"]
) -> Float[Tensor, "b c h w"]:
    """Stored pictures read at places: colours repeat beyond the edge, masks behind them are 0."""
    grid = torch.einsum("bij,bhwj->bhwi", affine[:, :, :2], places) + affine[:, None, None, :, 2]
    out = F.grid_sample(stored, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if out.shape[1] > 3:
        inside: Bool[Tensor, "b 1 h w"] = (grid.abs() <= 1).all(-1)[:, None]
        out[:, 3:] *= inside
    return out


def plain(faces: UInt8[Tensor, "b 5 s s"], *, margin: float, size: int, truth_size: int) -> Sample:
    """Faces and masks as the model would see them when merging: not augmented."""
    affine = torch.eye(2, 3, device=faces.device).expand(len(faces), 2, 3) / margin
    stored = faces.float() / 255
    inputs, truth = (
        sample(stored, affine, _places(side, faces.device).expand(len(faces), -1, -1, -1))
        for side in (size, truth_size)
    )
    return Sample(
        input=as_channels_last(inputs[:, :3]),
        truth=as_channels_last(truth[:, :3]),
        mask=truth[:, 3:4],
        features=truth[:, 4:],
    )


def as_channels_last(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The same values, channels together in memory: what convolutions like best."""
    return x.contiguous(memory_format=torch.channels_last)


def store_side(resolution: int) -> int:
    """Side in pixels at which to store faces: the model's square at 1.25 times its resolution, and margin.

    Enough that one bilinear reading loses nothing visible, little enough that it needs no prefilter even
    where the face is drawn smaller.
    """
    return math.ceil(resolution * 1.25 * MARGIN / 8) * 8


MARGIN = 1.25
"""How many times the model's square the stored pictures are wide, so that turned faces have no edges."""
