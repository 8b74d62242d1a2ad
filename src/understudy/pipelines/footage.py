"""Footage: a video, a picture or a folder of pictures, opened in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from understudy.errors import ConfigError, OutputError
from understudy.image.view import View
from understudy.video.exr import SUFFIX as EXR
from understudy.video.images import SUFFIXES, image_files
from understudy.video.ocio import BUILT_IN, OcioTransform
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, is_stills


@dataclass(frozen=True, kw_only=True)
class FootageSettings:
    """How footage is read, and how a plate is shown to the network."""

    view: Literal["auto", "log", "srgb", "linear"] = "auto"
    """Curve between a plate and the network: log (ACEScct), srgb or linear; auto: log for EXR and where a
    colour space is named, else none."""
    exposure: float = 0.0
    """Stops by which a plate is made brighter for the network; undone on the way out."""
    color_space: str = ""
    """The plate's colour space, by its name in the OCIO configuration; empty: no conversion."""
    ocio: str = BUILT_IN
    """OCIO configuration, a file or a built-in one; used where a colour space is named."""
    rate: str = ""
    """Frames a second of a folder of pictures, 24 or 24000/1001; empty: what EXR files say, else 25."""
    interlaced: Literal["refuse", "woven"] = "refuse"
    """What to do with interlaced video; woven: read it as it is, where it is only marked so."""
    missing: Literal["refuse", "skip"] = "refuse"
    """What to do with an EXR sequence whose frame numbers have holes."""

    def __post_init__(self) -> None:
        self.frame_rate()
        View(exposure=self.exposure)

    def frame_rate(self) -> Fraction | None:
        """``rate`` as a number; None where it is not given.

        Raises:
            ConfigError: it is no rate.
        """
        try:
            rate = Fraction(self.rate) if self.rate else None
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate is not None and not 0 < rate <= 1000:
            raise ConfigError(f"rate: wanted frames a second, 24 or 24000/1001, got {self.rate!r}")
        return rate

    def plate_view(self, linear: bool) -> View | None:
        """How frames are looked at; None where there is nothing between them and the network.

        Args:
            linear: the file holds scene-linear light.

        Raises:
            ConfigError: the OCIO configuration or the colour space cannot be used.
        """
        if self.view == "auto" and not linear and not self.color_space and self.exposure == 0.0:
            return None
        transform = OcioTransform(self.ocio, self.color_space) if self.color_space else None
        if transform:
            transform.check()
        auto = "log" if linear or transform else "linear"
        return View(
            curve=auto if self.view == "auto" else self.view, exposure=self.exposure, transform=transform
        )


def require_free_folder(output: Path) -> None:
    """Refuses to pour a result's pictures into a folder of other things.

    A folder with nothing but pictures may be an earlier result, which is made anew.

    Args:
        output: the result; a video, or a folder that does not exist yet, is always well.

    Raises:
        OutputError: the folder holds folders, or files that are no pictures.
    """
    if not output.is_dir():
        return
    for entry in sorted(output.iterdir()):
        ours = entry.name.startswith(".") or entry.name in ("Thumbs.db", "desktop.ini")
        if not ours and (entry.is_dir() or entry.suffix.lower() not in SUFFIXES):
            raise OutputError(
                f"output: {output} holds {entry.name}, so it is no folder of pictures; name a new folder, or "
                f"a video such as {output.name}.mp4"
            )


def open_footage(path: Path, settings: FootageSettings | None = None) -> VideoReader | StillsReader:
    """A video, a picture, a folder of pictures or a numbered sequence, opened for reading.

    Args:
        path: the file or folder, or ``folder/name.####.exr``.
        settings: None for the defaults.

    Raises:
        VideoError: it is missing, neither, interlaced, or has holes.
        ConfigError: the OCIO configuration or the colour space cannot be used.
    """
    settings = settings or FootageSettings()
    if is_stills(path):
        view = settings.plate_view(image_files(path)[0].suffix.lower() == EXR)
        return StillsReader(path, rate=settings.frame_rate(), view=view, missing=settings.missing)
    return VideoReader(path, interlaced=settings.interlaced, view=settings.plate_view(linear=False))
