"""Footage: a video, a picture or a folder of pictures, opened in the same way."""

from __future__ import annotations

from pathlib import Path

from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, is_stills


def open_footage(path: Path) -> VideoReader | StillsReader:
    """A video, a picture or a folder of pictures, opened for reading.

    Raises:
        VideoError: it is missing, or neither.
    """
    return StillsReader(path) if is_stills(path) else VideoReader(path)
