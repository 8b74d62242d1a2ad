"""Views: how a plate whose values exceed 1.0 is shown to a network that knows 0 to 1, and the way back.

A plate in scene-linear light (an EXR) has no upper end. A view is a named, invertible curve over it, after an
exposure in stops and, where a colour configuration is used, a transform from the file's colour space to the
one the curve is meant for. What the network paints is taken back through the same view, so highlights that it
left alone return as they were. ``Plate`` is a frame that carries its view; ``crop_frame``, ``paste_crop``,
``rect_to_rgb``, ``paste_rect`` and ``frame_to_rgb8`` look through it, and nobody else needs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from understudy.contracts import Frame, PixelFormat
from understudy.errors import ConfigError

Curve = Literal["log", "srgb", "linear"]
"""Name of a view's curve.

``log``: ACEScct; 1.0 lies at 0.55, the network's white is 222. ``srgb``: IEC 61966-2-1; the network's white
is 1.0. ``linear``: as it is.
"""

HALF_MAX = 65504.0
"""Largest number of a 16-bit float; what is infinite counts as this."""

GRAY = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of red, green and blue in a grey picture (BT.709)."""


@runtime_checkable
class Transform(Protocol):
    """A colour transform between a file's samples and the working space, and its inverse."""

    def forward(self, rgb: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """From the file's samples."""
        ...

    def backward(self, rgb: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """To the file's samples."""
        ...


@dataclass(frozen=True, kw_only=True)
class View:
    """What a network sees of a plate."""

    curve: Curve = "log"
    """Name of the curve."""
    exposure: float = 0.0
    """Stops by which the plate is made brighter before the curve."""
    transform: Transform | None = None
    """From the file's colour space to the one the curve is meant for; None where they are one."""

    def __post_init__(self) -> None:
        if not abs(self.exposure) <= 20.0:
            raise ConfigError(f"exposure: wanted -20 to 20 stops, got {self.exposure}")

    def show(self, rgb: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """Samples of the file as the network sees them, not clipped; what is not a number counts as 0."""
        values = np.nan_to_num(rgb, nan=0.0, posinf=HALF_MAX, neginf=-HALF_MAX).astype(np.float32, copy=False)
        if self.transform:
            values = self.transform.forward(values)
        return _CURVES[self.curve][0](values * np.float32(2.0**self.exposure))

    def undo(self, seen: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """The inverse of ``show``."""
        values = _CURVES[self.curve][1](seen) * np.float32(2.0**-self.exposure)
        return self.transform.backward(values) if self.transform else values


@dataclass(frozen=True, kw_only=True, eq=False)
class Plate(Frame):
    """A frame that is worked on through a view, and that carries what its file says beside the picture."""

    view: View = field(default_factory=View)
    """What the network sees of it."""
    premultiplied: bool = False
    """True when colours are stored times alpha (EXR); they stay so."""
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """For the writer: what the reader of the same file format left here."""


def is_floating(format: PixelFormat) -> bool:
    """True for samples that are floating-point numbers, half or single."""
    return "f16" in format.name or "f32" in format.name


def float_format(channels: int, half: bool) -> PixelFormat:
    """Layout of floating-point pictures.

    Args:
        channels: 1, 3 or 4 (with alpha).
        half: 16 bits a sample, else 32.
    """
    depth = 16 if half else 32
    if channels == 1:
        return PixelFormat(name=f"grayf{depth}le", kind="gray", depth=depth)
    name = f"gbr{'a' if channels == 4 else ''}pf{depth}le"
    return PixelFormat(name=name, kind="rgb", depth=depth, alpha=channels == 4)


def view_of(frame: Frame) -> View | None:
    """The view through which a frame is looked at; None for the ordinary one, whose values are 0 to 1."""
    if isinstance(frame, Plate):
        return frame.view
    return View() if is_floating(frame.format) else None


def float_colors(frame: Frame, part: np.ndarray) -> np.ndarray:
    """Colours of a part of a frame of floats, alpha divided out where they are stored times alpha."""
    rgb = part[..., :3].astype(np.float32)
    if not (frame.format.alpha and isinstance(frame, Plate) and frame.premultiplied):
        return rgb
    alpha = part[..., 3:].astype(np.float32)
    return (
        rgb if (alpha == 1.0).all() else np.where(alpha > 0.0, rgb / np.where(alpha > 0.0, alpha, 1.0), rgb)
    )


def paint_floats(
    frame: Frame, x0: int, y0: int, rgb: Float32[np.ndarray, "h w 3"], painted: Bool[np.ndarray, "h w"]
) -> Frame:
    """A new frame of floating-point samples with pixels replaced; alpha stays, and so do all other samples.

    Args:
        frame: the plate; not altered.
        x0: left edge.
        y0: top edge.
        rgb: without the view, not times alpha.
        painted: which pixels are replaced.
    """
    plane = frame.planes[0].copy()
    part = plane[y0 : y0 + rgb.shape[0], x0 : x0 + rgb.shape[1]]
    if plane.ndim == 2:
        np.copyto(part, (rgb @ GRAY).astype(plane.dtype), where=painted)
        return replace(frame, planes=(plane,))
    if frame.format.alpha and isinstance(frame, Plate) and frame.premultiplied:
        rgb = rgb * np.where(part[..., 3:] > 0, part[..., 3:], 1).astype(np.float32)
    if plane.dtype == np.float16:
        rgb = np.clip(rgb, -HALF_MAX, HALF_MAX)
    np.copyto(part[..., :3], rgb.astype(plane.dtype), where=painted[..., None])
    return replace(frame, planes=(plane,))


# --------------------------------------------------------------------------------------------------- curves

_TOE, _TOE_SEEN = 0.0078125, 0.155251141552511
_SLOPE, _OFFSET = 10.5402377416545, 0.0729055341958355


def _log(linear: np.ndarray) -> np.ndarray:
    """ACEScct (Academy S-2016-001, section 4.4)."""
    upper = (np.log2(np.maximum(linear, np.float32(_TOE))) + np.float32(9.72)) * np.float32(1.0 / 17.52)
    return np.where(linear > _TOE, upper, linear * np.float32(_SLOPE) + np.float32(_OFFSET))


def _unlog(seen: np.ndarray) -> np.ndarray:
    most = (np.log2(HALF_MAX) + 9.72) / 17.52
    upper = np.exp2(np.minimum(seen, np.float32(most)) * np.float32(17.52) - np.float32(9.72))
    return np.where(seen > _TOE_SEEN, upper, (seen - np.float32(_OFFSET)) * np.float32(1.0 / _SLOPE))


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB (IEC 61966-2-1), going on above 1 and below 0."""
    power = np.maximum(linear, np.float32(0.0031308)) ** np.float32(1.0 / 2.4)
    return np.where(
        linear > 0.0031308, np.float32(1.055) * power - np.float32(0.055), np.float32(12.92) * linear
    )


def linear_of_srgb(signal: np.ndarray) -> np.ndarray:
    """The inverse of ``srgb``."""
    power = (
        (np.maximum(signal, np.float32(0.0404482)) + np.float32(0.055)) / np.float32(1.055)
    ) ** np.float32(2.4)
    return np.where(signal > 0.0404482, power, signal * np.float32(1.0 / 12.92))


def _same(values: np.ndarray) -> np.ndarray:
    return values


_CURVES = {"log": (_log, _unlog), "srgb": (srgb, linear_of_srgb), "linear": (_same, _same)}


# ------------------------------------------------------------------------------------- signals of video files

PQ, HLG, LINEAR, SRGB = 16, 18, 8, 13
"""ITU-T H.273 transfer numbers; all others are taken for the camera curve of BT.709."""

PQ_WHITE = 203.0
"""cd/m² that count as 1.0 (ITU-R BT.2408: diffuse white)."""


def linear_light(signal: Float32[np.ndarray, "h w 3"], transfer: int) -> Float32[np.ndarray, "h w 3"]:
    """A video signal as linear light.

    Scene light for camera curves (the inverse OETF of ITU-R BT.709 and of HLG), display light over diffuse
    white for PQ (ITU-R BT.2100, SMPTE ST 2084) and for sRGB.

    Args:
        signal: R'G'B', 0 to 1.
        transfer: number of ITU-T H.273.
    """
    if transfer == LINEAR:
        return signal
    if transfer == SRGB:
        return linear_of_srgb(signal)
    if transfer == PQ:
        power = np.maximum(signal, 0.0).astype(np.float64) ** (1.0 / 78.84375)
        ratio = np.maximum(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)
        return (ratio ** (1.0 / 0.1593017578125) * (10000.0 / PQ_WHITE)).astype(np.float32)
    if transfer == HLG:
        low = signal * signal / np.float32(3.0)
        high = (
            np.exp((signal - np.float32(0.55991073)) / np.float32(0.17883277)) + np.float32(0.28466892)
        ) / 12
        return np.where(signal <= 0.5, np.sign(signal) * low, high).astype(np.float32)
    power = ((np.maximum(signal, np.float32(0.081)) + np.float32(0.099)) / np.float32(1.099)) ** np.float32(
        1 / 0.45
    )
    return np.where(signal < 0.081, signal / np.float32(4.5), power)
