"""Image files: which ones a path stands for, what they hold, and how they are stored.

PNG, JPEG, WebP, TIFF and BMP go through OpenCV, 16-bit PNG and TIFF with their 16 bits; EXR goes through
OpenImageIO (``video.exr``). Files are taken in natural order (``2.png`` before ``10.png``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from understudy.contracts import PixelFormat
from understudy.errors import OutputError, VideoError
from understudy.video.exr import SUFFIX as EXR
from understudy.video.layout import gray_format, rgb_format

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", EXR)
DEEP_SUFFIXES = (".png", ".tif", ".tiff", EXR)
"""Formats that can hold more than 8 bits."""

_PATTERN = re.compile(r"#+|%0?\d*d")
_NUMBER = re.compile(r"(\d+)(?=\D*$)")


def is_stills(path: Path) -> bool:
    """True for a folder, for a file with an image's suffix and for a sequence's name (``shot.####.exr``)."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts names as people count: digits by value, letters regardless of case."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def image_files(path: Path) -> list[Path]:
    """The images that a path stands for, in natural order; hidden files do not count.

    Args:
        path: a folder, one image, or a sequence with ``####`` or ``%04d`` in the place of its number.

    Raises:
        VideoError: there is no such folder or sequence, or no image in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir() and _PATTERN.search(path.name):
        return _of_pattern(path)
    if not path.is_dir():
        raise VideoError(f"{path}: there is no such file or folder; check the name")
    files = [
        file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise VideoError(f"{path}: no image in this folder; wanted files with one of {', '.join(SUFFIXES)}")
    return sorted(files, key=natural_key)


def _of_pattern(path: Path) -> list[Path]:
    before, after = _PATTERN.split(path.name, maxsplit=1)
    name = re.compile(re.escape(before) + r"\d+" + re.escape(after))
    folder = path.parent
    files = [file for file in folder.iterdir() if name.fullmatch(file.name)] if folder.is_dir() else []
    if not files:
        raise VideoError(f"{path}: there is no file {before}1001{after} or of another number; check the name")
    return sorted(files, key=natural_key)


def frame_number(file: Path) -> int | None:
    """The last number in a file's name, 1001 of ``shot_v2.1001.exr``; None where there is none."""
    found = _NUMBER.search(file.stem)
    return int(found[1]) if found else None


def check_sequence(files: Sequence[Path]) -> str:
    """What is wrong with files that should be one numbered sequence, in a sentence; empty if nothing is."""
    heads = {(_NUMBER.sub("#", file.stem), file.suffix.lower()): file for file in files}
    if len(heads) > 1:
        names = sorted(
            file.parent.name + "/" + _NUMBER.sub("####", file.stem) + file.suffix for file in heads.values()
        )
        return f"there are several sequences here; name one of them: {', '.join(names[:4])}"
    numbers = [number for number in map(frame_number, files) if number is not None]
    holes = [(a + 1, b - 1) for a, b in itertools.pairwise(sorted(numbers)) if b > a + 1]
    if not holes:
        return ""
    count = sum(last - first + 1 for first, last in holes)
    words = [str(first) if first == last else f"{first} to {last}" for first, last in holes[:4]]
    more = " and others" if len(holes) > 4 else ""
    missing = f"frame {words[0]} is" if count == 1 else f"{count} frames are"
    return f"{missing} missing between {numbers[0]} and {numbers[-1]}" + (
        "" if count == 1 else f": {', '.join(words)}{more}"
    )


def read_image(file: Path) -> tuple[np.ndarray, PixelFormat]:
    """Samples of an image file other than EXR, turned as its camera says.

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
        raise VideoError(f"{file}: samples are {samples.dtype}, wanted 8 or 16 bits; convert it to EXR")
    depth = 8 * samples.dtype.itemsize
    if samples.ndim == 2 or samples.shape[2] == 1:
        return samples.reshape(samples.shape[:2]), gray_format(depth)
    order = (2, 1, 0, 3)[: samples.shape[2]]
    return np.ascontiguousarray(samples[..., order]), rgb_format(depth, alpha=samples.shape[2] == 4)


def encode_image(samples: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """An image file's content, of a format other than EXR.

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
