"""Folders of images, read and written like a video.

PNG, JPEG, WebP, TIFF and BMP through OpenCV; 16-bit PNG and TIFF keep their 16 bits. Files are taken in
natural order (``2.png`` before ``10.png``) and keep their names on the way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from understudy import durable
from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import OutputError, VideoError
from understudy.events import Warned
from understudy.image.color import rect_to_rgb
from understudy.video.info import VideoInfo
from understudy.video.layout import gray_format, rgb_format

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
DEEP_SUFFIXES = (".png", ".tif", ".tiff")
"""Formats that can hold 16 bits."""

RGB = ColorTags(matrix="rgb", full_range=True, primaries=1, transfer=13, space=0)
"""Images are taken as sRGB."""

DEFAULT_RATE = Fraction(25)


def is_stills(path: Path) -> bool:
    """True for a folder and for a file with an image's suffix."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts names as people count: digits by value, letters regardless of case."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def image_files(path: Path) -> list[Path]:
    """The images of a folder in natural order, or the one image that ``path`` is; hidden files do not count.

    Raises:
        VideoError: there is no such folder, or no image in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise VideoError(f"{path}: there is no such file or folder; check the name")
    files = [
        file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise VideoError(f"{path}: no image in this folder; wanted files with one of {', '.join(SUFFIXES)}")
    return sorted(files, key=natural_key)


def read_image(file: Path) -> tuple[np.ndarray, PixelFormat]:
    """Samples of an image file, turned as its camera says.

    Returns:
        (h, w, 3), (h, w, 4) or (h, w), uint8 or uint16, RGB; and the layout.

    Raises:
        VideoError: it is missing, no image, cut off, or of floating-point samples.
    """
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise VideoError(f"{file}: cannot be read: {error.strerror or error}") from error
    # UNCHANGED keeps alpha and depth but not the camera's orientation, which JPEG files are full of
    jpeg = file.suffix.lower() in (".jpg", ".jpeg")
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if jpeg else cv2.IMREAD_UNCHANGED
    samples: np.ndarray | None = None
    if data.size:
        try:
            samples = cv2.imdecode(data, flags)
        except cv2.error as error:
            raise VideoError(f"{file}: this is no image that can be read: {error.err}") from error
    if samples is None:
        raise VideoError(
            f"{file}: this is no image, or it is damaged; replace it or take it out of the folder"
        )
    if samples.dtype.name not in ("uint8", "uint16"):
        raise VideoError(
            f"{file}: samples are {samples.dtype}, wanted 8 or 16 bits; convert it to 16-bit PNG or TIFF"
        )
    depth = 8 * samples.dtype.itemsize
    if samples.ndim == 2 or samples.shape[2] == 1:
        return samples.reshape(samples.shape[:2]), gray_format(depth)
    order = (2, 1, 0, 3)[: samples.shape[2]]
    return np.ascontiguousarray(samples[..., order]), rgb_format(depth, alpha=samples.shape[2] == 4)


def encode_image(samples: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """An image file's content.

    Args:
        samples: (h, w, 3), (h, w, 4) or (h, w), uint8 or uint16, RGB.
        suffix: ``.png``, ``.jpg``…
        quality: of JPEG and WebP, 1 to 100; above 100 WebP is lossless.
    """
    if samples.ndim == 3:
        samples = samples[..., (2, 1, 0, 3)[: samples.shape[2]]]
    settings = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, min(100, quality)],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, min(100, quality)],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    done, data = cv2.imencode(suffix, np.ascontiguousarray(samples), settings.get(suffix, []))
    if not done:
        raise OutputError(f"an image of shape {samples.shape} cannot be stored as {suffix}; choose .png")
    return data.tobytes()


def probe_stills(path: Path, rate: Fraction = DEFAULT_RATE) -> VideoInfo:
    """What a folder of images, or one image, holds; the first one is read.

    Raises:
        VideoError: no folder, no image in it, or the first one is damaged.
    """
    files = image_files(path)
    samples, layout = read_image(files[0])
    return VideoInfo(
        path=path,
        kind="images",
        width=samples.shape[1],
        height=samples.shape[0],
        format=layout,
        stored_format=layout.name,
        color=tags_of(layout),
        frames=len(files),
        frames_exact=True,
        rate=rate,
        time_base=1 / rate,
        duration=float(len(files) / rate),
        is_vfr=False,
        codec=files[0].suffix.lower().removeprefix("."),
        container="images",
    )


def tags_of(layout: PixelFormat) -> ColorTags:
    """Tags of images of that layout."""
    return RGB if layout.kind == "rgb" else ColorTags(full_range=True, primaries=1, transfer=13)


class StillsReader:
    """Frames of a folder of images; see ``video.reader.VideoReader``, whose interface it has.

    Args:
        path: the folder, or one image.
        rate: images a second, for the time stamps.
        tolerate_damage: leave damaged images out, each with a warning, instead of ending before the first.
        on_warning: called with every warning as it comes up.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: Fraction = DEFAULT_RATE,
        tolerate_damage: bool = False,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.info = probe_stills(path, rate)
        self.damage: Warned | None = None
        self.warnings: list[Warned] = []
        self._files = image_files(path)
        self._tolerate = tolerate_damage
        self._on_warning = on_warning

    def __enter__(self) -> StillsReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Nothing stays open."""

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Frame]:
        """Frames ``start`` up to, not including, ``stop`` (None: to the end).

        Raises:
            VideoError: an image has another size than the first.
        """
        for index, file in list(enumerate(self._files))[start:stop]:
            try:
                samples, layout = read_image(file)
            except VideoError as error:
                self._warn(Warned(message=str(error), frame=index))
                if self._tolerate:
                    continue
                self.damage = self.warnings[-1]
                return
            if (samples.shape[1], samples.shape[0]) != (self.info.width, self.info.height):
                raise VideoError(
                    f"{file}: {samples.shape[1]} × {samples.shape[0]} pixels, the images before it have "
                    f"{self.info.width} × {self.info.height}; all images of a folder must have one size"
                )
            yield Frame(
                index=index,
                pts=index,
                time_base=self.info.time_base,
                planes=(samples,),
                format=layout,
                color=tags_of(layout),
                duration=1,
                name=file.name,
            )

    def _warn(self, event: Warned) -> None:
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


class StillsWriter:
    """Writes frames as images into a folder; see ``video.writer.VideoWriter``, whose interface it has.

    Every image is complete or not there. Images that were written stay if the work is interrupted.

    Args:
        path: the folder; made if it does not exist.
        suffix: ``.png`` and so on; empty: that of the frame's name, else ``.png``.
        quality: of JPEG and WebP, 1 to 100; above 100 WebP is lossless.
        on_warning: called with every warning as it comes up.
    """

    def __init__(
        self,
        path: Path,
        *,
        suffix: str = "",
        quality: int = 95,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.written = 0
        self.warnings: list[Warned] = []
        self._suffix = suffix
        self._quality = quality
        self._on_warning = on_warning
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: the folder cannot be made: {error.strerror or error}") from error

    def __enter__(self) -> StillsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: Frame) -> None:
        """Store one frame under its name, or under its number with six digits.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        name = Path(frame.name or f"{frame.index:06d}.png")
        suffix = self._suffix or name.suffix.lower()
        samples = samples_for(
            frame, deep=suffix in DEEP_SUFFIXES, alpha=suffix not in (".jpg", ".jpeg", ".bmp")
        )
        lost = frame.format.depth > 8 and samples.dtype == np.uint8
        if lost and not self.warnings:
            self._warn(
                f"{frame.format.depth}-bit frames are stored with 8 bits as {suffix}; choose .png or .tif"
            )
        durable.write_bytes(
            self.path / name.with_suffix(suffix), encode_image(samples, suffix, self._quality), flush=False
        )
        self.written += 1

    def close(self) -> None:
        """Nothing stays open."""

    def abort(self) -> None:
        """What was written stays."""

    def _warn(self, message: str) -> None:
        event = Warned(message=message)
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


def samples_for(frame: Frame, *, deep: bool, alpha: bool) -> np.ndarray:
    """Samples of a frame as an image file wants them: RGB or grey, uint8, or uint16 for more bits.

    Args:
        frame: any kind of frame.
        deep: the file can hold 16 bits.
        alpha: the file can hold alpha.
    """
    bits = 16 if deep and frame.format.depth > 8 else 8
    plain = frame.format.kind == "rgb" or (frame.format.kind == "gray" and frame.color.full_range)
    if plain:
        samples = frame.planes[0]
        if frame.format.alpha and not alpha:
            samples = samples[..., :3]
        if frame.format.depth == bits:
            return samples
        values = samples * (((1 << bits) - 1) / ((1 << frame.format.depth) - 1))
    else:
        values = rect_to_rgb(frame, 0, 0, frame.width, frame.height) * ((1 << bits) - 1)
        if frame.format.alpha and alpha:
            opacity = frame.planes[3] * (((1 << bits) - 1) / ((1 << frame.format.depth) - 1))
            values = np.dstack([values, opacity])
    return np.rint(values).astype(np.uint8 if bits == 8 else np.uint16)
