"""EXR pictures through OpenImageIO: half and single floats, windows, further channels and parts, attributes.

The picture that is worked on covers the display window and the data window of the first file of its
sequence (``Canvas``), so a frame has one size however tightly each file is cut. What a file says beside it
(other channels, other parts, attributes) travels in ``SceneHeader`` and is written back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from understudy.contracts import PixelFormat
from understudy.errors import OutputError, UnderstudyError, VideoError
from understudy.image.view import HALF_MAX, float_format

SUFFIX = ".exr"
LOSSLESS = ("none", "rle", "zip", "zips", "piz")
"""Compressions that give every bit back; a plate that has another one is written with ``zip``."""

Module = Any
"""OpenImageIO, which has no types."""
Spec = Any
"""OpenImageIO's description of a part of a file."""

_HINT = "install it with: pip install 'understudy[exr]'"
_COLORS = (("R", "G", "B"), ("r", "g", "b"), ("red", "green", "blue"))


@dataclass(frozen=True)
class Canvas:
    """A rectangle in EXR coordinates, whose origin is the display window's usual corner."""

    x: int
    y: int
    width: int
    height: int

    def joined(self, other: Canvas) -> Canvas:
        """The smallest rectangle that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Canvas(x, y, right - x, bottom - y)

    def holds(self, other: Canvas) -> bool:
        """Whether the other lies in it."""
        return self.joined(other) == self

    def slices(self, part: Canvas) -> tuple[slice, slice]:
        """Rows and columns of a part of it."""
        top, left = part.y - self.y, part.x - self.x
        return slice(top, top + part.height), slice(left, left + part.width)


@dataclass(frozen=True, eq=False)
class SceneHeader:
    """What an EXR file says beside the picture that is worked on."""

    canvas: Canvas
    """Where the picture lies."""
    specs: tuple[Spec, ...]
    """OpenImageIO's description of every part."""
    parts: tuple[np.ndarray, ...]
    """All channels of every part, in its data window."""
    channels: tuple[int, ...]
    """Numbers of the channels of the first part that are the picture."""

    @property
    def data(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the file itself has, its data window."""
        return self.canvas.slices(_window(self.specs[0]))

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height."""
        value = self.specs[0].get_float_attribute("PixelAspectRatio", 1.0)
        return Fraction(value).limit_denominator(1000) if value > 0 else Fraction(1)

    @property
    def rate(self) -> Fraction | None:
        """Frames a second, where the file says so."""
        value: Any = self.specs[0].getattribute("FramesPerSecond")
        numbers = value if isinstance(value, tuple) else (value, 1)
        return Fraction(*numbers) if value and numbers[1] else None


def require_openimageio(error: type[UnderstudyError] = VideoError) -> Module:
    """The module OpenImageIO.

    Raises:
        UnderstudyError: it is not installed; of the class given.
    """
    try:
        import OpenImageIO
    except ImportError as reason:
        raise error(f"EXR files need OpenImageIO, which is not installed; {_HINT}") from reason
    return OpenImageIO


# --------------------------------------------------------------------------------------------------- reading


def read_exr(file: Path, canvas: Canvas | None = None) -> tuple[np.ndarray, PixelFormat, SceneHeader]:
    """An EXR file's picture, padded with zeros to the canvas.

    Args:
        file: the file.
        canvas: of the sequence; None: this is its first file.

    Returns:
        (h, w, 3), (h, w, 4) or (h, w) of float16 or float32; its layout; and what else is in the file.

    Raises:
        VideoError: it is missing, damaged, deep, has no colours, or reaches over the canvas.
    """
    oiio = require_openimageio()
    if not file.is_file():
        raise VideoError(f"{file}: there is no such file; check the name")
    opened = oiio.ImageInput.open(str(file))
    if opened is None:
        raise VideoError(_unreadable(file, oiio.geterror()))
    try:
        specs, parts = _read_parts(file, opened)
    finally:
        opened.close()
    first = specs[0]
    data, display = _window(first), Canvas(first.full_x, first.full_y, first.full_width, first.full_height)
    canvas = canvas or data.joined(display)
    if not canvas.holds(data):
        raise VideoError(
            f"{file}: its data window {_words(data)} reaches over that of the first file, {_words(canvas)}; "
            "render the sequence with one data window"
        )
    channels = _picture_channels(file, first.channelnames)
    picture = parts[0][..., list(channels)]
    samples = np.zeros((canvas.height, canvas.width, len(channels)), picture.dtype)
    samples[canvas.slices(data)] = picture
    if len(channels) == 1:
        samples = samples[..., 0]
    layout = float_format(len(channels), half=picture.dtype == np.float16)
    return samples, layout, SceneHeader(canvas, specs, parts, channels)


def _read_parts(file: Path, opened: Module) -> tuple[tuple[Spec, ...], tuple[np.ndarray, ...]]:
    specs: list[Spec] = []
    parts: list[np.ndarray] = []
    while opened.seek_subimage(len(specs), 0):
        spec = opened.spec()
        if spec.deep:
            raise VideoError(f"{file}: deep pixels cannot be worked on; flatten the file")
        kinds = {str(kind) for kind in spec.channelformats} or {str(spec.format)}
        if not kinds <= {"half", "float"}:
            raise VideoError(
                f"{file}: channels of {', '.join(sorted(kinds))}; wanted half and float: take the others "
                "(whole numbers, object identifiers) out of the file"
            )
        pixels = opened.read_image(len(specs), 0, 0, spec.nchannels, "half" if kinds == {"half"} else "float")
        if pixels is None:
            raise VideoError(_unreadable(file, opened.geterror()))
        specs.append(spec)
        parts.append(pixels.reshape(spec.height, spec.width, spec.nchannels))
    return tuple(specs), tuple(parts)


def _unreadable(file: Path, reason: str) -> str:
    return (
        f"{file}: this is no EXR, or it is damaged ({reason.strip() or 'no reason given'}); render or "
        "copy it again"
    )


def _window(spec: Spec) -> Canvas:
    return Canvas(spec.x, spec.y, spec.width, spec.height)


def _words(window: Canvas) -> str:
    return f"({window.x}, {window.y}, {window.width} × {window.height})"


def _picture_channels(file: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """Numbers of red, green, blue and, where it is there, alpha; of the one channel that is grey."""
    layers = dict.fromkeys(["", *(name.rpartition(".")[0] for name in names)])
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        for colors in _COLORS:
            wanted = [prefix + color for color in colors]
            if all(name in names for name in wanted):
                alpha = [prefix + name for name in ("A", "a", "alpha") if prefix + name in names]
                return tuple(names.index(name) for name in [*wanted, *alpha[:1]])
    for name in ("Y", "y"):
        if name in names:
            return (names.index(name),)
    raise VideoError(f"{file}: wanted channels R, G and B (or Y), it has {', '.join(names)}")


# --------------------------------------------------------------------------------------------------- writing


def write_exr(
    file: Path,
    samples: np.ndarray,
    header: SceneHeader | None = None,
    *,
    describe: Callable[[Spec], None] | None = None,
) -> None:
    """Store a picture as EXR.

    Args:
        file: where to; neither flushed nor renamed, for use in ``durable.new_file``.
        samples: (h, w, 3), (h, w, 4) times alpha, or (h, w); float16 or float32, stored as it is.
        header: of the file that the picture was read from; None: a file of its own.
        describe: adds to OpenImageIO's description of the first part.

    Raises:
        OutputError: OpenImageIO is not installed, or it cannot write the file.
    """
    oiio = require_openimageio(OutputError)
    if header is None:
        specs, parts = [_plain_spec(oiio, samples)], [samples]
    else:
        specs, parts = _with_header(oiio, samples, header)
    if describe:
        describe(specs[0])
    output = oiio.ImageOutput.create(str(file))
    if output is None:
        raise OutputError(f"{file}: {oiio.geterror()}")
    done = output.open(str(file), tuple(specs) if len(specs) > 1 else specs[0])
    for number, (spec, part) in enumerate(zip(specs, parts, strict=True)):
        if number:
            done = done and output.open(str(file), spec, "AppendSubimage")
        done = done and output.write_image(np.ascontiguousarray(part))
    reason = "" if done else output.geterror()
    if not output.close() or not done:
        raise OSError(0, reason or output.geterror() or "OpenImageIO gave no reason", str(file))


def _plain_spec(oiio: Module, samples: np.ndarray) -> Spec:
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    spec = oiio.ImageSpec(width, height, channels, "half" if samples.dtype == np.float16 else "float")
    if channels == 1:
        spec.channelnames = ("Y",)
    spec.attribute("compression", "zip")
    return spec


def _with_header(
    oiio: Module, samples: np.ndarray, header: SceneHeader
) -> tuple[list[Spec], list[np.ndarray]]:
    """All parts as they were, the picture replaced; its data window grows where something was painted."""
    specs = [oiio.ImageSpec(spec) for spec in header.specs]
    for spec in specs:
        if spec.get_string_attribute("compression").split(":")[0] not in LOSSLESS:
            spec.attribute("compression", "zip")
    parts = list(header.parts)
    data, canvas = _window(header.specs[0]), header.canvas
    picture = samples[..., None] if samples.ndim == 2 else samples
    outside = np.ones(picture.shape[:2], bool)
    outside[canvas.slices(data)] = False
    grown = canvas if picture[outside].any() else data
    spec, channels = specs[0], list(header.channels)
    spec.x, spec.y, spec.width, spec.height = grown.x, grown.y, grown.width, grown.height
    kind = np.result_type(parts[0].dtype, np.float16)
    first = np.zeros((grown.height, grown.width, spec.nchannels), kind)
    first[grown.slices(data)] = parts[0]
    shown = picture[canvas.slices(grown)]
    if kind == np.float16 and shown.dtype != np.float16:
        shown = np.clip(shown, -HALF_MAX, HALF_MAX)
    first[..., channels] = shown
    parts[0] = first
    return specs, parts
