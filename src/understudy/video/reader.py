"""Frames of a video in display order, exactly as decoded.

Planes are copied out of the decoder and turned upright, nothing is converted. A damaged file gives the frames
before the damage; what happened and at which frame stands in ``VideoReader.damage``. No frame is ever left
out without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple
from weakref import WeakSet

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from understudy.contracts import Frame
from understudy.errors import VideoError
from understudy.events import Warned
from understudy.image.view import Plate, View
from understudy.video.decoding import DecoderPass
from understudy.video.info import VideoInfo
from understudy.video.layout import color_tags, orientation_of, planes_of
from understudy.video.probe import display_times, matroska_size, open_video, probe, tagged_end
from understudy.video.stills import StillsReader, is_stills

SEEK_FROM = 48
"""Reading from an earlier frame than this decodes from the start, a later one is looked for by its time."""

INTERLACED = (
    "interlaced: two fields each, of two moments, in which a face has combed edges; deinterlace the file "
    "(ffmpeg -i FILE -vf bwdif=mode=send_frame …), or read it woven if it is only marked so"
)

UNEVEN = ("mpegts", "avi")
"""Containers whose time stamps are no good for an exact seek."""


class _Entry(NamedTuple):
    """Where decoding begins."""

    number: int = 0
    """Number of the first frame wanted."""
    pts: int | None = None
    """Its time stamp; None: the very first."""
    seek: int = 0
    """Time stamp to seek to, so that the key frame before it is found."""


class VideoReader:
    """Frames of a video file; iterate over it, or over ``frames`` for a part. Can be read several times.

    Args:
        path: the file.
        threads: decoder threads; 0 lets FFmpeg choose.
        interlaced: ``woven`` reads pictures of two fields as they are, for files that are wrongly marked.
        view: how frames are looked at; None: as they are.
        tolerate_damage: go on after damage, with a warning for every frame it concerns: concealed pictures
            are given as the decoder made them, frames that cannot be decoded are missing.
        on_warning: called with every warning as it comes up.

    Raises:
        VideoError: the file is missing, empty, no video, or not one frame of it can be decoded.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 0,
        interlaced: Literal["refuse", "woven"] = "refuse",
        view: View | None = None,
        tolerate_damage: bool = False,
        on_warning: Callable[[Warned], None] | None = None,
    ) -> None:
        self.path = path
        self.info: VideoInfo = probe(path)
        self._woven = interlaced == "woven"
        self._view = view
        if self.info.interlaced and not self._woven:
            raise VideoError(f"{path}: its pictures are {INTERLACED}")
        self.damage: Warned | None = None
        self.warnings: list[Warned] = []
        self._threads = threads
        self._tolerate = tolerate_damage
        self._on_warning = on_warning
        self._passes: WeakSet[Generator[Frame]] = WeakSet()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Ends the passes that are under way and closes their files."""
        for frames in list(self._passes):
            frames.close()

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Frame]:
        """Frames ``start`` up to, not including, ``stop`` (None: to the end).

        A late start looks for the key frame before it where the container's time stamps allow that exactly.

        Raises:
            VideoError: not one frame can be decoded.
        """
        out = self._frames(start, stop)
        self._passes.add(out)
        return out

    def _frames(self, start: int, stop: int | None) -> Generator[Frame]:
        entry = self._entry(start)
        index = entry.number
        held: Frame | None = None  # its duration is known when the next has come
        with closing(self._pictures(entry)) as pictures:
            for picture in pictures:
                if stop is not None and index > stop:
                    break
                frame = self._frame(picture, index, held)
                if held is not None and held.index >= start and (stop is None or held.index < stop):
                    yield replace(held, duration=frame.pts - held.pts)
                held, index = frame, index + 1
        if held is not None and held.index >= start and (stop is None or held.index < stop):
            yield self._last(held)

    def _entry(self, start: int) -> _Entry:
        """The key frame before frame ``start``, if it can be found exactly; else the beginning."""
        if start < SEEK_FROM or self.info.container in UNEVEN:
            return _Entry()
        times = display_times(self.path)
        if start >= len(times) or times[0] != self.info.first_pts:
            return _Entry()
        wanted = times[start]
        with open_video(self.path) as (container, stream):
            stream.thread_type = "NONE"
            # containers seek by decoding time and may find the key frame that is shown after the one wanted
            for seconds in (0, 1, 10):
                seek = wanted - round(seconds / self.info.time_base)
                if seek >= times[0] and self._shows(container, stream, seek, wanted):
                    return _Entry(start, wanted, seek)
        return _Entry()

    @staticmethod
    def _shows(container: InputContainer, stream: VideoStream, seek: int, wanted: int) -> bool:
        """True if decoding after a seek gives the frame of time stamp ``wanted``."""
        try:
            container.seek(seek, stream=stream)
            for picture in container.decode(stream):
                if picture.pts is not None and picture.pts >= wanted:
                    return picture.pts == wanted
        except av.error.FFmpegError:
            return False
        return False

    def _frame(self, picture: av.VideoFrame, index: int, before: Frame | None) -> Frame:
        planes, layout = planes_of(picture)
        orientation = orientation_of(picture)
        time_base = picture.time_base or self.info.time_base
        pts = picture.pts if picture.pts is not None else picture.dts
        step = max(1, round(1 / (self.info.rate * time_base)))
        if before is None:
            pts = pts if pts is not None else self.info.first_pts + index * step
        elif pts is None or pts <= before.pts:
            pts = before.pts + step
            self._warn(f"frame {index} has no usable time stamp; it is put after the one before it", index)
        if picture.interlaced_frame and not self._woven:
            raise VideoError(f"{self.path}: frame {index} is {INTERLACED}")
        kept: dict[str, Any] = {
            "index": index,
            "pts": pts,
            "time_base": time_base,
            "planes": orientation.apply(planes),
            "format": orientation.layout(layout),
            "color": color_tags(picture, layout),
            "duration": int(picture.duration or 0),
        }
        frame = Plate(**kept, view=self._view) if self._view else Frame(**kept)
        if (frame.width, frame.height) != (self.info.width, self.info.height):
            raise VideoError(
                f"{self.path}: frame {index} is {frame.width} × {frame.height} pixels, the first one was "
                f"{self.info.width} × {self.info.height}; convert the file to one size"
            )
        return frame

    def _last(self, frame: Frame) -> Frame:
        """The last frame, with the duration that the file's end leaves it."""
        end = self.info.first_pts + round(
            Fraction(self.info.duration).limit_denominator(10**6) / frame.time_base
        )
        step = round(1 / (self.info.rate * frame.time_base))
        left = end - frame.pts
        plain = self.damage is None and 0 < left <= 100 * step
        return replace(frame, duration=left if plain else frame.duration or step)

    # ------------------------------------------------------------------------------------------- decoding

    def _pictures(self, entry: _Entry) -> Generator[av.VideoFrame]:
        """Pictures from ``entry`` to the end or the damage, which is then reported."""
        with open_video(self.path) as (container, stream):
            warn = self._warn if self._tolerate else None
            state = DecoderPass(container, stream, number=entry.number, threads=self._threads, warn=warn)
            if entry.pts is not None:
                container.seek(entry.seek, stream=stream)
            early = 0
            with closing(state.pictures()) as pictures:
                for picture in pictures:
                    if entry.pts is not None and picture.pts is not None and picture.pts < entry.pts:
                        early += 1
                        continue
                    yield picture
            number = state.number - early
            reason = state.reason or self._end(state, stream, number)
        if state.reason and self._threads != 1 and state.last is not None:
            # frame threads report damage late and lose what was under way: go there again with one
            number = yield from self._again(state.last, number)
        if reason:
            self._report(reason, number)

    def _again(self, last: int, number: int) -> Generator[av.VideoFrame, None, int]:
        """What one thread still decodes after the picture of time stamp ``last``; gives the next number."""
        with open_video(self.path) as (container, stream):
            state = DecoderPass(container, stream, threads=1)
            if self.info.container not in UNEVEN:
                container.seek(max(self.info.first_pts, last - round(1 / self.info.time_base)), stream=stream)
            found = False
            with closing(state.pictures()) as pictures:
                for picture in pictures:
                    if found:
                        yield picture
                        number += 1
                    found |= picture.pts == last
        return number

    def _end(self, state: DecoderPass, stream: VideoStream, number: int) -> str:
        """What is wrong with the end of a file that raised no error; empty if nothing is."""
        if number == 0:
            return "nothing in it can be decoded"
        if "mp4" in self.info.container.split(","):
            missing = number < self.info.frames
            return f"its index lists {self.info.frames} frames and it ends early" if missing else ""
        size = self.path.stat().st_size
        if (matroska_size(self.path) or 0) > size:
            return "it is shorter than it says"
        end = tagged_end(stream)
        if end is None and self.info.container == "avi" and stream.duration:
            end = (self.info.first_pts + stream.duration) * self.info.time_base
        if end is None or state.last is None:
            return ""
        early = end - state.last * self.info.time_base > 3 / self.info.rate + Fraction(1, 10)
        unread = self.info.container == "avi" or size - state.bytes_read > (16 << 10) + size // 100
        # a last picture that stands still for long is no damage
        return f"it announces {float(end):.2f} seconds and ends early" if early and unread else ""

    def _report(self, reason: str, count: int) -> None:
        if count == 0:
            raise VideoError(f"{self.path}: not one frame can be decoded: {reason}; copy or record it again")
        message = f"{self.path.name} is damaged at frame {count}: {reason}; the frames before it are used"
        self._warn(message, count)
        self.damage = self.warnings[-1]

    def _warn(self, message: str, frame: int) -> None:
        event = Warned(message=message, frame=frame)
        if event in self.warnings:  # a second pass over the same file
            return
        self.warnings.append(event)
        if self._on_warning:
            self._on_warning(event)


def open_reader(
    path: Path,
    *,
    threads: int = 0,
    tolerate_damage: bool = False,
    on_warning: Callable[[Warned], None] | None = None,
) -> VideoReader | StillsReader:
    """A reader for a video file, a folder of images, or one image; see ``VideoReader`` for the arguments."""
    if is_stills(path):
        return StillsReader(path, tolerate_damage=tolerate_damage, on_warning=on_warning)
    return VideoReader(path, threads=threads, tolerate_damage=tolerate_damage, on_warning=on_warning)
