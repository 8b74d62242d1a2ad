"""Writes frames to a video file, with their time stamps, their colour tags and the sound of another file.

The file is written under a temporary name in its folder and appears under its own when ``close`` has flushed
it to the disk; if anything goes wrong before, it is removed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import av.error
import numpy as np

from understudy import durable
from understudy.contracts import Frame
from understudy.errors import OutputError, VideoError
from understudy.events import Warned
from understudy.image.view import is_floating
from understudy.video.codecs import KNOW_PIXEL_ASPECT
from understudy.video.convert import displayed
from understudy.video.encoding import Encoding, container_of, plan
from understudy.video.exr import require_openimageio
from understudy.video.info import VideoInfo
from understudy.video.muxing import Muxer
from understudy.video.probe import probe
from understudy.video.stills import StillsWriter

FOREIGN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Container tags that describe the source's file, not its content."""

TRIAL_PACKETS = 8
"""Sound packets that ``check_output`` tries to mux."""


class VideoWriter:
    """Writes one video file; a context manager.

    The encoder is chosen when the first frame comes, for its layout. A block that ends with an exception
    removes what was written; the file exists only after a ``close`` that raised nothing.

    Args:
        path: the file; its suffix names the container (mp4, m4v, mov, mkv, webm).
        like: the video that the frames come from: rate, pixel aspect and container tags are taken over.
        encoding: how pictures are encoded.
        sound_from: file whose sound tracks are copied, packet by packet; None: no sound.
        metadata: tags of the container, added to those of ``like``.
        on_warning: called with every warning as it comes up.

    Raises:
        OutputError: the suffix is unknown.
    """

    def __init__(
        self,
        path: Path,
        *,
        like: VideoInfo | None = None,
        encoding: Encoding | None = None,
        sound_from: Path | None = None,
        metadata: Mapping[str, str] | None = None,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.written = 0
        self.warnings: list[Warned] = []
        self._container = container_of(path)
        self._like = like
        self._encoding = encoding or Encoding()
        self._sound_from = sound_from
        self._metadata = {**kept_tags(like), **(metadata or {})}
        self._on_warning = on_warning
        self._muxer: Muxer | None = None
        self._stack = ExitStack()
        self._first: Frame | None = None
        self._last = -math.inf

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort(error)

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            OutputError: the disk is full, the folder cannot be written, or no encoder takes such frames.
            VideoError: the frame does not follow the one before it in time, or is of another size or layout.
        """
        frame = displayed(frame)
        try:
            if self._muxer is None:
                self._muxer = self._start(frame)
            self._check(frame)
            self._muxer.write(frame)
        except (OSError, av.error.FFmpegError) as error:
            self.abort(error)
            raise self._explained(error, f"frame {frame.index}") from error
        self._last = frame.time
        self.written += 1

    def _start(self, frame: Frame) -> Muxer:
        self._first = frame
        chosen = plan(self._container, frame, self._encoding)
        for remark in chosen.remarks:
            self._warn(f"{self.path.name}: {remark}")
        part = self._stack.enter_context(durable.new_file(self.path))
        return Muxer(
            part,
            chosen,
            frame,
            like=self._like,
            sound_from=self._sound_from,
            metadata=self._metadata,
            threads=self._encoding.threads,
        )

    def _check(self, frame: Frame) -> None:
        first = cast("Frame", self._first)
        if (frame.width, frame.height, frame.format) != (first.width, first.height, first.format):
            raise VideoError(
                f"frame {frame.index} is {frame.width} × {frame.height} {frame.format.name}, those before it "
                f"are {first.width} × {first.height} {first.format.name}; a file holds one kind"
            )
        if frame.time <= self._last:
            raise VideoError(
                f"frame {frame.index} at {frame.time:.6f} s does not follow the one at {self._last:.6f} s"
            )

    def close(self) -> None:
        """Write the end of the file, flush it to the disk and give it its name.

        Raises:
            OutputError: no frame was written, or the disk is full.
        """
        if self._muxer is None and self.written:
            return  # closed before
        if self._muxer is None:
            raise OutputError(f"{self.path}: there is no frame to write; the source gave none")
        try:
            self._muxer.finish()
        except (OSError, av.error.FFmpegError) as error:
            self.abort(error)
            raise self._explained(error, "its end") from error
        sound = self._muxer.sound
        if sound and sound.damage:
            self._warn(f"{self._sound_from}: the sound ends early ({sound.damage})")
        self._muxer = None
        self._stack.close()

    def abort(self, error: BaseException | None = None) -> None:
        """Remove what was written.

        Args:
            error: why; a full disk comes back as the ``OutputError`` that says so.
        """
        if self._muxer:
            self._muxer.abort()
            self._muxer = None
        reason = error or KeyboardInterrupt()
        self._stack.__exit__(type(reason), reason, reason.__traceback__)

    def _explained(self, error: Exception, what: str) -> OutputError:
        return OutputError(
            f"{self.path}: {what} cannot be written: {getattr(error, 'strerror', None) or error}"
        )

    def _warn(self, message: str) -> None:
        event = Warned(message=message)
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


def kept_tags(info: VideoInfo | None) -> dict[str, str]:
    """Container tags of a video that still hold for a video made from it."""
    if info is None:
        return {}
    tags = {key: value for key, value in info.metadata.items() if key.lower() not in FOREIGN_TAGS}
    return {**tags, "timecode": info.timecode} if info.timecode else tags


def open_writer(
    path: Path,
    *,
    like: VideoInfo | None = None,
    encoding: Encoding | None = None,
    sound_from: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    on_warning: Callable[[Warned], None] | None = None,
) -> VideoWriter | StillsWriter:
    """A writer for a video file, or for a folder of images where the name has no suffix or the folder exists.

    Args:
        path: file or folder.
        like: see ``VideoWriter``.
        encoding: see ``VideoWriter``.
        sound_from: see ``VideoWriter``; a folder of images has no sound.
        metadata: see ``VideoWriter``.
        on_warning: see ``VideoWriter``.
    """
    if is_folder(path):
        wanted = encoding.images if encoding else "auto"
        suffix = "" if wanted == "auto" else f".{wanted}"
        return StillsWriter(path, suffix=suffix, metadata=metadata, on_warning=on_warning)
    return VideoWriter(
        path, like=like, encoding=encoding, sound_from=sound_from, metadata=metadata, on_warning=on_warning
    )


def is_folder(path: Path) -> bool:
    """True if an output of that name is a folder of images."""
    return path.is_dir() or not path.suffix


def check_output(
    path: Path, info: VideoInfo, encoding: Encoding | None = None, *, sound_from: Path | None = None
) -> list[str]:
    """Find out before any work whether an output can be written: a second of it is, in memory.

    Args:
        path: the output, a file or a folder.
        info: the video that its frames will be like.
        encoding: how they will be encoded.
        sound_from: file whose sound will be copied.

    Returns:
        What will be lost or is unusual, a sentence each; empty if nothing.

    Raises:
        OutputError: it cannot be written there, or not so.
        ConfigError: an encoder or pixel format that does not exist.
    """
    _check_place(path, info)
    remarks: list[str] = []
    if is_folder(path):
        return remarks + _check_folder(info, encoding or Encoding(), sound_from)
    frame = displayed(blank_frame(info))
    chosen = plan(container_of(path), frame, encoding or Encoding())
    remarks += chosen.remarks
    if is_floating(info.format):
        remarks.append(
            "scene-linear frames are stored as their view shows them; a folder of EXR files keeps them"
        )
    if info.light and chosen.encoder != "libx265":
        remarks.append("the HDR10 metadata (mastering display, light level) are lost; codec h265 keeps them")
    stored = chosen.encoder in KNOW_PIXEL_ASPECT or chosen.container in ("mp4", "mov")
    if info.pixel_aspect != 1 and not stored:
        remarks.append(f"the pixel aspect of {info.pixel_aspect} is lost in {path.suffix}; .mov keeps it")
    try:
        muxer = Muxer(BytesIO(), chosen, frame, like=info, sound_from=sound_from, sound_limit=TRIAL_PACKETS)
        muxer.write(frame)
        muxer.finish()
        remarks += muxer.sound.lost if muxer.sound else []
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise OutputError(
            f"{path}: {chosen.encoder} in {chosen.container} cannot take {info.width} × {info.height} "
            f"{chosen.pixel_format} with these settings ({getattr(error, 'strerror', None) or error}); "
            "choose another encoder or container"
        ) from error
    return remarks


def _check_folder(info: VideoInfo, encoding: Encoding, sound_from: Path | None) -> list[str]:
    """What a folder of images does not hold."""
    remarks: list[str] = []
    if encoding.images == "exr" or (encoding.images == "auto" and info.codec == "exr"):
        require_openimageio(OutputError)
    if sound_from is not None and probe(sound_from).sound:
        remarks.append("a folder of images has no sound; the sound is not copied")
    if info.subtitles:
        remarks.append("a folder of images has no subtitles; they are not copied")
    return remarks


def _check_place(path: Path, info: VideoInfo) -> None:
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise OutputError(f"{path}: there is no folder {folder}; make it or choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: not allowed to write there; change its permissions or choose another place"
        )
    if path.exists() and info.path.exists() and path.samefile(info.path):
        raise OutputError(f"{path}: this is the input itself; choose another name for the output")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(
            f"{path}: it exists and must not be overwritten; change its permissions or choose a name"
        )


def blank_frame(info: VideoInfo) -> Frame:
    """A black first frame of a video that is known by its ``VideoInfo`` only."""
    layout = info.format
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    if is_floating(layout):
        dtype = np.float16 if layout.depth == 16 else np.float32
    size = (info.height, info.width)
    if layout.kind == "rgb":
        planes = (np.zeros((*size, 3 + layout.alpha), dtype),)
    else:
        planes = (np.zeros(size, dtype),)
    if layout.kind == "yuv":
        small = (-(-info.height >> layout.shift_y), -(-info.width >> layout.shift_x))
        planes += tuple(np.full(small, 1 << (layout.depth - 1), dtype) for _ in range(2))
        planes += (planes[0],) if layout.alpha else ()
    step = max(1, round(1 / (info.rate * info.time_base)))
    return Frame(
        index=0,
        pts=info.first_pts,
        time_base=info.time_base,
        planes=planes,
        format=layout,
        color=info.color,
        duration=step,
    )
