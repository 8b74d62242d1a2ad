"""Formats: frames a second of every codec and kind of picture at 1080p, its size and its loss.

The plate is 10-bit 4:2:2 with soft moving colours and grain, so that no encoder has it easier than with
footage. Encoders run with the presets and threads that a user gets; pictures are written by one thread and by
as many as there are processors. "Processor" is the time of all threads together, which a busy machine alters
less than the clock. "Luma PSNR" is against the plate.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from common import Timing, measure, publish
from understudy.contracts import ColorTags, Frame
from understudy.image.color import rgb_to_rect
from understudy.image.paste import paste_crop
from understudy.image.view import Plate, View
from understudy.image.warp import crop_frame
from understudy.video.encoding import Encoding
from understudy.video.layout import yuv_format
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, StillsWriter, scene_samples
from understudy.video.writer import VideoWriter

WIDTH, HEIGHT, FRAMES, RUNS = 1920, 1080, 12, 2
GRAIN = 0.012
FORMAT = yuv_format(10, 1, 0)
COLOR = ColorTags(primaries=1, transfer=1, space=1)
CODECS = {
    "h264": ".mp4",
    "h265": ".mp4",
    "av1": ".mp4",
    "vp9": ".webm",
    "prores": ".mov",
    "prores-hq": ".mov",
    "prores-4444": ".mov",
    "dnxhr-hq": ".mov",
    "dnxhr-hqx": ".mov",
    "ffv1": ".mkv",
}


def plates() -> list[Frame]:
    """Frames of a slow pan with grain."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, GRAIN, (HEIGHT, WIDTH, 3)).astype(np.float32)
    y, x = np.mgrid[: HEIGHT // 8, : WIDTH // 8].astype(np.float32)
    out: list[Frame] = []
    for index in range(FRAMES):
        waves = [0.5 + 0.3 * np.sin(x / (15 + 4 * k) + y / 21 + 0.05 * index) for k in range(3)]
        picture = cv2.resize(np.stack(waves, -1), (WIDTH, HEIGHT))
        picture += np.roll(grain, 37 * index, axis=0)
        planes = rgb_to_rect(FORMAT, COLOR, picture.clip(0, 1))
        out.append(
            Frame(
                index=index,
                pts=index,
                time_base=Fraction(1, 24),
                duration=1,
                planes=planes,
                format=FORMAT,
                color=COLOR,
            )
        )
    return out


def both(work: Callable[[], object]) -> tuple[Timing, float]:
    """A frame's time by the clock, and milliseconds of all processors together."""
    start = time.process_time()
    timing = measure(work, units=FRAMES, warm_up=0, runs=RUNS)
    return timing, 1000.0 * (time.process_time() - start) / (FRAMES * RUNS)


def codec(name: str, frames: list[Frame], path: Path) -> dict[str, Timing | float | str]:
    """Encode, decode, weigh and compare."""

    def encode() -> None:
        with VideoWriter(path, encoding=Encoding(codec=name)) as writer:
            for frame in frames:
                writer.write(frame)

    def decode() -> list[Frame]:
        with VideoReader(path) as reader:
            return list(reader)

    encoding, encoding_work = both(encode)
    decoding, decoding_work = both(decode)
    error = [
        np.mean((after.planes[0] / (1 << after.format.depth) - before.planes[0] / 1024) ** 2)
        for before, after in zip(frames, decode(), strict=True)
    ]
    loss = math.inf if max(error) == 0 else -10 * math.log10(float(np.mean(error)))
    size = path.stat().st_size / FRAMES * 24 * 8 / 1e6
    return {
        f"{name} encode": encoding,
        f"{name} encode, processor ms": encoding_work,
        f"{name} decode": decoding,
        f"{name} decode, processor ms": decoding_work,
        f"{name} Mbit/s at 24 fps": size,
        f"{name} luma PSNR": loss if math.isfinite(loss) else "kept",
    }


def pictures(suffix: str, frames: list[Frame], folder: Path) -> dict[str, Timing | float | str]:
    """Write with one thread and with two, read."""

    def write(workers: int) -> Callable[[], None]:
        def work() -> None:
            with StillsWriter(folder, suffix=suffix, workers=workers) as writer:
                for frame in frames:
                    writer.write(frame)

        return work

    def read() -> int:
        with StillsReader(folder) as reader:
            return sum(1 for _ in reader)

    one, work = both(write(1))
    two, _ = both(write(2))
    reading, reading_work = both(read)
    size = sum(file.stat().st_size for file in folder.iterdir()) / FRAMES / 1e6
    return {
        f"{suffix} write, one thread": one,
        f"{suffix} write, processor ms": work,
        f"{suffix} write, two threads": two,
        f"{suffix} read": reading,
        f"{suffix} read, processor ms": reading_work,
        f"{suffix} MB a frame": size,
    }


def painting(frames: list[Frame]) -> dict[str, Timing | float | str]:
    """Crop and paste of a 400-pixel face in a 10-bit frame and in a half-float plate."""
    matrix = np.array([[1.0, 0.0, -700.0], [0.0, 1.0, -300.0]])
    alpha = np.ones((400, 400), np.float32)
    plate = Plate(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=(scene_samples(frames[0]),),
        format=replace(FORMAT, name="gbrpf16le", kind="rgb", depth=16, shift_x=0),
        color=ColorTags(matrix="rgb", full_range=True, transfer=8),
        view=View(),
    )

    def work(frame: Frame) -> Callable[[], object]:
        return lambda: paste_crop(frame, crop_frame(frame, matrix, 400), alpha, matrix)

    return {
        "crop and paste, 10-bit video": measure(work(frames[0]), runs=5),
        "crop and paste, half-float plate": measure(work(plate), runs=5),
    }


def main() -> None:
    """Measure and publish."""
    frames = plates()
    figures = painting(frames)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for codec_name, suffix in CODECS.items():
            figures |= codec(codec_name, frames, folder / f"{codec_name}{suffix}")
        for suffix in (".exr", ".png", ".tif"):
            figures |= pictures(suffix, frames, folder / suffix[1:])
    publish(
        "formats", figures, {"size": [WIDTH, HEIGHT], "frames": FRAMES, "grain": GRAIN, "plate": FORMAT.name}
    )


if __name__ == "__main__":
    main()
