"""Folders of images, read and written like a video.

Which files a folder stands for says ``video.images``; they keep their names, and with them their frame
numbers, on the way out. EXR files are ``Plate`` frames: floats as stored, looked at through a view, with what
else their file says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from understudy import durable
from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import OutputError, VideoError
from understudy.events import Warned
from understudy.image.color import raw_rect, rect_to_rgb
from understudy.image.view import HALF_MAX, Plate, View, is_floating, linear_light
from understudy.stream import Sink
from understudy.video.exr import SUFFIX as EXR
from understudy.video.exr import SceneHeader, Spec, read_exr, require_openimageio, write_exr
from understudy.video.images import (
    DEEP_SUFFIXES,
    SUFFIXES,
    check_sequence,
    encode_image,
    image_files,
    is_stills,
    natural_key,
    read_image,
)
from understudy.video.info import VideoInfo

__all__ = [
    "DEEP_SUFFIXES",
    "DEFAULT_RATE",
    "SUFFIXES",
    "StillsReader",
    "StillsWriter",
    "encode_image",
    "image_files",
    "is_stills",
    "natural_key",
    "probe_stills",
    "read_image",
    "samples_for",
]

RGB = ColorTags(matrix="rgb", full_range=True, primaries=1, transfer=13, space=0)
"""Images are taken as sRGB."""

SCENE = ColorTags(matrix="rgb", full_range=True, transfer=8, space=0)
"""EXR files are taken as linear light."""

DEFAULT_RATE = Fraction(25)

SEQUENCE = 10
"""So many numbered pictures with few holes between their numbers are frames, fewer may be photographs."""

HEADER = "exr"
"""Under this name an EXR file's ``SceneHeader`` travels in ``Plate.header``."""


def probe_stills(
    path: Path, rate: Fraction | None = None, *, missing: Literal["refuse", "skip"] = "refuse"
) -> VideoInfo:
    """What a folder of images, or one image, holds; the first one is read.

    Args:
        path: see ``images.image_files``.
        rate: images a second; None: what EXR files say, else 25.
        missing: whether EXR files whose numbers have holes are refused.

    Raises:
        VideoError: no folder, no image in it, the first one is damaged, or frames are missing.
    """
    files = image_files(path)
    if files[0].suffix.lower() == EXR and missing == "refuse" and (wrong := check_sequence(files)):
        raise VideoError(f"{path}: {wrong}; render or copy what is missing, or skip it on purpose")
    samples, layout, header = _read(files[0], None)
    rate = rate or (header.rate if header else None) or DEFAULT_RATE
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
        pixel_aspect=header.pixel_aspect if header else Fraction(1),
    )


def _read(file: Path, first: SceneHeader | None) -> tuple[np.ndarray, PixelFormat, SceneHeader | None]:
    if file.suffix.lower() == EXR:
        return read_exr(file, first.canvas if first else None)
    return (*read_image(file), None)


def tags_of(layout: PixelFormat) -> ColorTags:
    """Tags of images of that layout."""
    if is_floating(layout):
        return SCENE
    return RGB if layout.kind == "rgb" else ColorTags(full_range=True, primaries=1, transfer=13)


class StillsReader:
    """Frames of a folder of images; see ``video.reader.VideoReader``, whose interface it has.

    Args:
        path: the folder, one image, or a sequence's name with ``####`` for its numbers.
        rate: images a second, for the time stamps; None: what EXR files say, else 25.
        view: how frames are looked at; None: EXR files by the log, others as they are.
        missing: ``skip`` takes EXR files whose numbers have holes for one sequence all the same.
        tolerate_damage: leave damaged images out, each with a warning, instead of ending before the first.
        on_warning: called with every warning as it comes up.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: Fraction | None = None,
        view: View | None = None,
        missing: Literal["refuse", "skip"] = "refuse",
        tolerate_damage: bool = False,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.info = probe_stills(path, rate, missing=missing)
        self.damage: Warned | None = None
        self.warnings: list[Warned] = []
        self._files = image_files(path)
        self._view = view
        self._tolerate = tolerate_damage
        self._on_warning = on_warning
        self._first: SceneHeader | None = None
        wrong = check_sequence(self._files) if len(self._files) >= SEQUENCE else ""
        if "missing" in wrong:
            self._warn(Warned(message=f"{path}: {wrong}; what is there is taken for one sequence"))

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
        if self._first is None and self._files[0].suffix.lower() == EXR:
            self._first = read_exr(self._files[0])[2]
        for index, file in list(enumerate(self._files))[start:stop]:
            try:
                samples, layout, header = _read(file, self._first)
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
            yield self._frame(index, file, samples, layout, header)

    def _frame(
        self, index: int, file: Path, samples: np.ndarray, layout: PixelFormat, header: SceneHeader | None
    ) -> Frame:
        common: dict[str, Any] = {
            "index": index,
            "pts": index,
            "time_base": self.info.time_base,
            "planes": (samples,),
            "format": layout,
            "color": tags_of(layout),
            "duration": 1,
            "name": file.name,
        }
        if header:
            carried = {HEADER: header}
            return Plate(**common, view=self._view or View(), premultiplied=layout.alpha, header=carried)
        return Plate(**common, view=self._view) if self._view else Frame(**common)

    def _warn(self, event: Warned) -> None:
        if event in self.warnings:  # a second pass
            return
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


class StillsWriter:
    """Writes frames as images into a folder; see ``video.writer.VideoWriter``, whose interface it has.

    Every image is complete or not there. Images that were written stay if the work is interrupted. Several
    are encoded side by side; an error of one is raised at a later ``write`` or at ``close``.

    Args:
        path: the folder; made if it does not exist.
        suffix: ``.png`` and so on; empty: that of the frame's name, else ``.png``.
        quality: of JPEG and WebP, 1 to 100; above 100 WebP is lossless.
        workers: how many images are encoded at a time; None: one for every two processors.
        first_number: number of the first frame of footage that has no file names: 1001.
        metadata: attributes for EXR files.
        on_warning: called with every warning as it comes up.

    Raises:
        OutputError: the folder cannot be made, or EXR is asked for and OpenImageIO is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        suffix: str = "",
        quality: int = 95,
        workers: int | None = None,
        first_number: int = 0,
        metadata: Mapping[str, str] | None = None,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.written = 0
        self.warnings: list[Warned] = []
        self._suffix = suffix
        self._quality = quality
        self._first_number = first_number
        self._metadata = dict(metadata or {})
        self._on_warning = on_warning
        self._workers = workers or max(1, min(8, (os.cpu_count() or 2) // 2))
        self._sinks: list[Sink[tuple[Path, Frame]]] = []
        if suffix == EXR:
            require_openimageio(OutputError)
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
        name = Path(frame.name or f"{frame.index + self._first_number:06d}.png")
        suffix = self._suffix or name.suffix.lower()
        if not self.warnings and (lost := _loss(frame, suffix)):
            self._warn(lost)
        if not self._sinks:
            self._sinks = [Sink(self._store, 2) for _ in range(self._workers)]
        self._sinks[self.written % len(self._sinks)].put((self.path / name.with_suffix(suffix), frame))
        self.written += 1

    def _store(self, item: tuple[Path, Frame]) -> None:
        file, frame = item
        suffix = file.suffix.lower()
        if suffix == EXR:
            header = frame.header.get(HEADER) if isinstance(frame, Plate) else None
            samples = scene_samples(frame)
            with durable.new_file(file, flush=False, size=samples.nbytes) as part:
                write_exr(part, samples, header, describe=self._describe)
            return
        deep, alpha = suffix in DEEP_SUFFIXES, suffix not in (".jpg", ".jpeg", ".bmp")
        samples = samples_for(frame, deep=deep, alpha=alpha)
        durable.write_bytes(file, encode_image(samples, suffix, self._quality), flush=False)

    def _describe(self, spec: Spec) -> None:
        for key, value in self._metadata.items():
            spec.attribute(key, value)

    def close(self) -> None:
        """Wait until every image is there.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        sinks, self._sinks = self._sinks, []
        try:
            while sinks:
                sinks[0].close()
                sinks.pop(0)
        finally:
            for sink in sinks:
                sink.abort()

    def abort(self) -> None:
        """What was written stays; what waits is dropped."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            sink.abort()

    def _warn(self, message: str) -> None:
        event = Warned(message=message)
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


def _loss(frame: Frame, suffix: str) -> str:
    """What an image file does not hold of a frame, in a sentence; empty if nothing."""
    if is_floating(frame.format) and suffix != EXR:
        curve = frame.view.curve if isinstance(frame, Plate) else View().curve
        return f"scene-linear frames are stored as the view {curve} shows them, as {suffix}; choose .exr"
    if frame.format.depth > 8 and suffix not in DEEP_SUFFIXES:
        return f"{frame.format.depth}-bit frames are stored with 8 bits as {suffix}; choose .png or .tif"
    return ""


def scene_samples(frame: Frame) -> np.ndarray:
    """Samples of a frame as EXR wants them: linear light, colours times alpha; half unless they were single.

    Args:
        frame: any kind of frame; signals of video become light by ``image.view.linear_light``.
    """
    if is_floating(frame.format):
        return frame.planes[0]
    light = linear_light(raw_rect(frame, 0, 0, frame.width, frame.height), frame.color.transfer)
    if frame.format.alpha:
        stored = frame.planes[0][..., 3] if frame.format.kind == "rgb" else frame.planes[3]
        alpha = stored[..., None].astype(np.float32) / ((1 << frame.format.depth) - 1)
        light = np.concatenate([light * alpha, alpha], axis=2)
    if frame.format.kind == "gray":
        light = light[..., 0]
    return np.clip(light, -HALF_MAX, HALF_MAX).astype(np.float16)


def samples_for(frame: Frame, *, deep: bool, alpha: bool) -> np.ndarray:
    """Samples of a frame as an image file wants them: RGB or grey, uint8, or uint16 for more bits.

    Args:
        frame: any kind of frame.
        deep: the file can hold 16 bits.
        alpha: the file can hold alpha.
    """
    bits = 16 if deep and frame.format.depth > 8 else 8
    if is_floating(frame.format):
        values = rect_to_rgb(frame, 0, 0, frame.width, frame.height)
        if frame.format.alpha and alpha:
            values = np.dstack([values, np.clip(frame.planes[0][..., 3:].astype(np.float32), 0.0, 1.0)])
        return np.rint(values * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    plain = frame.format.kind == "rgb" or (frame.format.kind == "gray" and frame.color.full_range)
    if plain:
        samples = frame.planes[0]
        if frame.format.alpha and not alpha:
            samples = samples[..., :3]
        if frame.format.depth == bits:
            return samples
        values = samples * (((1 << bits) - 1) / ((1 << frame.format.depth) - 1))
    else:
        values = np.clip(raw_rect(frame, 0, 0, frame.width, frame.height), 0.0, 1.0) * ((1 << bits) - 1)
        if frame.format.alpha and alpha:
            opacity = frame.planes[3] * (((1 << bits) - 1) / ((1 << frame.format.depth) - 1))
            values = np.dstack([values, opacity])
    return np.rint(values).astype(np.uint8 if bits == 8 else np.uint16)
