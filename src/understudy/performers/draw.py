"""Drawing a performer to a video with its ground truth: what the command ``understudy performers`` does."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from understudy import __version__, durable
from understudy.contracts import ColorTags, Frame
from understudy.errors import ConfigError
from understudy.events import Event, Planned, Progress, Saved, StageDone, StageStarted
from understudy.image.color import rgb_to_rect
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer, Tone
from understudy.performers.renderer import Rendered, render, render_swap
from understudy.performers.scene import Occluder, Scene
from understudy.performers.truth import (
    ABOUT,
    FACE_VIDEO,
    MASK_VIDEO,
    SWAP_VIDEO,
    TABLE,
    gray_frame,
    rgb_frame,
    truth_folder,
    truth_line,
)
from understudy.video.encoding import Encoding
from understudy.video.layout import yuv_format
from understudy.video.writer import VideoWriter

STAGE = "performers"


@dataclass(frozen=True, kw_only=True)
class PerformersSettings:
    """What is drawn."""

    seed: int = 1
    """Who: a seed gives a person, always the same. Seeds from 1,000,000 up are kept for evaluation."""
    swap_with: int | None = None
    """Seed of a second performer whose face is put in as exact truth; none: no swap."""
    swap_tone: Tone = "target"
    """Whose base skin tone the swapped face wears."""
    frames: int = 250
    """Length of the video."""
    fps: int = 25
    """Frames a second."""
    size: tuple[int, int] = (512, 512)
    """Width and height in pixels, both even."""
    motion: int | None = None
    """Seed of the performance; none: that of the performer."""
    scene: int | None = None
    """Seed of camera, light and background; none: that of the performer."""
    background: int | None = None
    """Seed of the background alone; none: that of the scene."""
    occluder: Occluder = "none"
    """What is before the face: none, glasses or a hand."""
    sound: bool = True
    """Write a quiet tone, so that sound can be followed through the chain."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.fps < 1:
            raise ConfigError(f"frames and fps: wanted at least 1, got {self.frames} and {self.fps}")
        if min(self.size) < 64 or any(side % 2 for side in self.size):
            raise ConfigError(f"size: wanted even numbers from 64 up, got {self.size[0]} × {self.size[1]}")
        if self.seed < 0 or (self.swap_with or 0) < 0:
            raise ConfigError("seed and swap_with: wanted numbers from 0 up")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A frame of a clip with its truth."""

    index: int
    """From 0."""
    frame: Rendered
    """What the camera sees."""
    swap: Rendered | None
    """The exact swap; None when no source was given."""


def render_clip(
    performer: Performer,
    motion: Motion,
    scene: Scene,
    frames: int,
    *,
    size: int | tuple[int, int] = 512,
    fps: float = 25.0,
    source: Performer | None = None,
    tone: Tone = "target",
) -> Iterator[Drawn]:
    """Draw a performance frame by frame, with the exact swap where a source is given.

    Args:
        performer: who is seen.
        motion: what they do.
        scene: where.
        frames: how many frames.
        size: side, or width and height, pixels.
        fps: frames a second.
        source: whose face is put in.
        tone: whose base skin tone the swapped face wears.
    """
    for index in range(frames):
        seconds = index / fps
        state = motion.state(seconds)
        reach = 0.5 - 0.5 * math.cos(2 * math.pi * seconds / 4.0)
        drawn = render(performer, state, scene, size, reach)
        swap = None if source is None else render_swap(source, performer, state, scene, size, tone, reach)
        yield Drawn(index, drawn, swap)


def scene_of(settings: PerformersSettings) -> Scene:
    """The scene that settings ask for."""
    scene = Scene.from_seed(settings.seed if settings.scene is None else settings.scene, settings.occluder)
    return (
        scene if settings.background is None else dataclasses.replace(scene, background=settings.background)
    )


def draw(settings: PerformersSettings, output: Path) -> Iterator[Event]:
    """Write ``output`` and the folder of its truth.

    Args:
        settings: what to draw.
        output: the video; its container must take H.264 (mp4, mov, mkv).

    Raises:
        OutputError: the place cannot be written.
    """
    folder = truth_folder(output)
    seconds = settings.frames / settings.fps
    what = f"{settings.frames} frames ({seconds:.1f} s) of performer {settings.seed}"
    yield Planned(lines=(f"{what} to {output}, truth to {folder}",))
    yield StageStarted(stage=STAGE, detail=f"performer {settings.seed}", total=settings.frames)
    began = time.monotonic()
    with durable.explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, durable.new_folder(folder) as part:
        for done in _write(settings, output, part, Path(scratch)):
            spent = time.monotonic() - began
            left = spent / done * (settings.frames - done)
            yield Progress(
                stage=STAGE, done=done, total=settings.frames, seconds_left=left, values={"fps": done / spent}
            )
    yield Saved(path=output)
    yield Saved(path=folder)
    yield StageDone(
        stage=STAGE, summary={"frames": settings.frames, "video": str(output), "truth": str(folder)}
    )


def _write(settings: PerformersSettings, output: Path, folder: Path, scratch: Path) -> Iterator[int]:
    """Draw and encode everything; yields the number of frames done."""
    rate = Fraction(settings.fps)
    performer = Performer.from_seed(settings.seed)
    source = None if settings.swap_with is None else Performer.from_seed(settings.swap_with)
    scene = scene_of(settings)
    motion = Motion.from_seed(settings.seed if settings.motion is None else settings.motion)
    durable.write_text(folder / ABOUT, json.dumps(_about(settings, scene, performer), indent=1))
    lossless = Encoding(codec="ffv1", lossless=True)
    sound = _tone(scratch / "tone.m4a", settings.frames / settings.fps) if settings.sound else None
    tags = {"comment": f"understudy performer seed={settings.seed}"}
    lines: list[str] = []
    with ExitStack() as stack:
        video = stack.enter_context(VideoWriter(output, sound_from=sound, metadata=tags))
        face = stack.enter_context(VideoWriter(folder / FACE_VIDEO, encoding=lossless))
        swap = mask = None
        if source is not None:
            swap = stack.enter_context(VideoWriter(folder / SWAP_VIDEO, encoding=lossless))
            mask = stack.enter_context(VideoWriter(folder / MASK_VIDEO, encoding=lossless))
        clip = render_clip(
            performer, motion, scene, settings.frames, size=settings.size, fps=settings.fps, source=source,
            tone=settings.swap_tone,
        )  # fmt: skip
        for drawn in clip:
            video.write(_yuv_frame(drawn.index, drawn.frame.picture, rate))
            face.write(gray_frame(drawn.index, drawn.frame.face_mask, rate))
            if swap is not None and mask is not None and drawn.swap is not None:
                swap.write(rgb_frame(drawn.index, drawn.swap.picture, rate))
                mask.write(gray_frame(drawn.index, drawn.swap.inner_mask, rate))
            lines.append(truth_line(drawn.index, drawn.frame, drawn.swap))
            yield drawn.index + 1
        durable.write_text(folder / TABLE, "\n".join(lines) + "\n")


def _yuv_frame(index: int, picture: np.ndarray, rate: Fraction) -> Frame:
    """A frame of 8-bit BT.709 video."""
    layout = yuv_format(8, 1, 1)
    color = ColorTags(matrix="bt709", full_range=False, primaries=1, transfer=1, space=1)
    return Frame(
        index=index, pts=index, time_base=1 / rate, planes=rgb_to_rect(layout, color, picture), format=layout,
        color=color, duration=1,
    )  # fmt: skip


def _about(settings: PerformersSettings, scene: Scene, performer: Performer) -> dict[str, object]:
    return {
        "version": __version__,
        "performer": settings.seed,
        "source": settings.swap_with,
        "settings": dataclasses.asdict(settings),
        "scene": dataclasses.asdict(scene),
        "appearance": dataclasses.asdict(performer.look),
    }


def _tone(path: Path, seconds: float, rate: int = 48_000) -> Path:
    """A quiet tone that rises and falls, AAC: its place in time can be heard and measured."""
    moments = np.arange(int(seconds * rate)) / rate
    wave = 0.12 * np.sin(2 * np.pi * (330.0 * moments + 20.0 * np.sin(2 * np.pi * moments / 3)))
    wave *= 0.6 + 0.4 * np.cos(2 * np.pi * moments)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        for start in range(0, len(wave), 1024):
            block = av.AudioFrame.from_ndarray(
                wave[None, start : start + 1024].astype(np.float32), format="fltp", layout="mono"
            )
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path
