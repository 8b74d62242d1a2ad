"""What is known about a video or a folder of images before its frames are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from understudy.contracts import ColorTags, PixelFormat
from understudy.video.layout import UPRIGHT, Orientation


@dataclass(frozen=True, kw_only=True)
class SoundStream:
    """One sound track."""

    codec: str
    """FFmpeg's name: ``aac``, ``pcm_s16le``, ``opus``."""
    channels: int
    """Number of channels."""
    sample_rate: int
    """Hertz."""
    language: str = ""
    """As tagged, ``eng``; empty when it is not."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file or a folder of images holds."""

    path: Path
    """The file or folder."""
    kind: Literal["video", "images"]
    """``images`` for a folder of pictures or a single picture."""
    width: int
    """Columns after rotation."""
    height: int
    """Rows after rotation."""
    orientation: Orientation = UPRIGHT
    """How stored pictures are turned upright."""
    format: PixelFormat
    """Layout of the planes that the reader gives."""
    stored_format: str
    """FFmpeg's name of the pixel format in the file."""
    color: ColorTags
    """Matrix, range and tags."""
    frames: int
    """Number of frames."""
    frames_exact: bool
    """False when ``frames`` is duration times rate."""
    rate: Fraction
    """Frames a second, on average."""
    time_base: Fraction
    """Seconds a tick."""
    first_pts: int = 0
    """Time stamp of the first frame, ticks."""
    duration: float
    """Seconds from the first frame to the end of the last."""
    is_vfr: bool | None = None
    """True when frames lie unevenly in time; None when finding out would mean to read the whole file."""
    codec: str
    """FFmpeg's name: ``h264``."""
    container: str
    """FFmpeg's name of the container: ``mov,mp4,m4a,3gp,3g2,mj2``."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel divided by its height, after rotation."""
    interlaced: bool = False
    """True when the file says that its pictures are two fields; the reader refuses them."""
    sound: tuple[SoundStream, ...] = ()
    """Sound tracks."""
    subtitles: int = 0
    """Number of subtitle tracks."""
    timecode: str = ""
    """Of the first frame, ``10:00:00:00``; empty when the file has none."""
    light: Mapping[str, str] = field(default_factory=dict[str, str])
    """HDR10's static metadata in x265's words: ``master-display`` and ``max-cll``."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """The container's tags by lower-case name: title, comment, creation_time…"""

    @property
    def has_tracks(self) -> bool:
        """True when there is something to copy beside the pictures: sound or subtitles."""
        return bool(self.sound or self.subtitles)

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which stored pictures are turned."""
        return self.orientation.degrees
