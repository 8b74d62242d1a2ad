"""Merging at 720p, 1080p and 4K: decode, crop, composite, paste and encode, one face a frame.

The face moves and turns over a soft background with grain; it is 400 pixels wide at 1080p. "Without network"
is what merging itself costs: the very stations of ``understudy merge`` (decoding in a thread of its own,
crops, colour averaged over time, mask, blend, paste) with ready faces instead of a swapper's. "Plain way" is
what a script does: frames as 8-bit BGR, ``cv2.warpAffine``, Reinhard's transfer in numpy, then an alpha
blend or ``cv2.seamlessClone``, in the same run on the same clip. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import torch

from common import Timing, measure, peak_memory, publish
from understudy import config
from understudy.contracts import Alignment, ColorTags, Face, Frame, PixelFormat
from understudy.faces.records import FaceRecord
from understudy.image.color import rgb_to_rect
from understudy.image.landmarks import FACE_OVAL
from understudy.image.paste import paste_crop
from understudy.image.warp import crop_frame
from understudy.pipelines.compositing.composite import CompositeSettings
from understudy.pipelines.merging.faces import FaceMerge, SameForAll, SwapStage
from understudy.pipelines.merging.flicker import FlickerSampler
from understudy.pipelines.swapper import Swapper
from understudy.training.process import keep_pages
from understudy.video.encoding import Encoding
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

SIZES = {"720p": (1280, 720, 48), "1080p": (1920, 1080, 48), "4K": (3840, 2160, 24)}
"""Width, height and frames of a clip."""
BLENDS = ("feather", "poisson", "multiband", "alpha")
PRESETS = ("superfast", "veryfast", "medium")
NETWORK, BATCH = 96, 8
GRAIN = 0.012  # of the range; makes H.264 at CRF 20 about as large as a broadcast master
FORMAT = PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1)


@cache
def grain(width: int, height: int) -> np.ndarray:
    """Noise of a frame's size."""
    return GRAIN * np.random.default_rng(0).standard_normal((height, width, 1)).astype(np.float32)


def plate(index: int, width: int, height: int) -> Frame:
    """A frame of moving soft colours with grain."""
    x, y = np.meshgrid(np.arange(240), np.arange(135))
    waves = [0.5 + 0.3 * np.sin(x / (15 + 4 * k) + y / 21 + 0.05 * index) for k in range(3)]
    picture = cv2.resize(np.stack(waves, -1).astype(np.float32), (width, height))
    picture += np.roll(grain(width, height), 37 * index, axis=0)
    return Frame(
        index=index,
        pts=index,
        time_base=Fraction(1, 30),
        duration=1,
        planes=rgb_to_rect(FORMAT, ColorTags(), picture.clip(0, 1)),
        format=FORMAT,
        color=ColorTags(primaries=1, transfer=1, space=1),
    )


def side_of(height: int) -> int:
    """Side of the face's square, pixels."""
    return round(400 * height / 1080)


def face_of(index: int, width: int, height: int) -> Face:
    """Where the face is in a frame: on a circle, swaying."""
    side, angle = side_of(height), 0.3 * math.sin(index / 17)
    x = width / 2 + 0.15 * width * math.cos(index / 30)
    y = height / 2 + 0.14 * height * math.sin(index / 30)
    c, s = math.cos(angle) / side, math.sin(angle) / side
    linear = np.array([[c, s], [-s, c]])
    matrix = np.column_stack([linear, 0.5 - linear @ np.array([x, y])])
    turns = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    square = np.full((478, 2), 0.5)
    square[list(FACE_OVAL)] += 0.5 * np.stack([0.7 * np.sin(turns), -0.86 * np.cos(turns)], -1)
    points = np.linalg.solve(linear, (square - matrix[:, 2]).T).T
    half = side / 2
    return Face(
        frame=index,
        time=index / 30,
        index=0,
        track=0,
        box=np.array([x - half, y - half, x + half, y + half]),
        presence=1.0,
        points=np.column_stack([points, np.zeros(478)]).astype(np.float32),
        alignment=Alignment(matrix=matrix, mode="full"),
    )


def record_of(face: Face) -> FaceRecord:
    """The face as a line of a face set, as far as it is looked at."""
    return FaceRecord({"frame": face.frame, "track": face.track, "source": "plate"}, 0)


@cache
def ready() -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of smooth random faces and round masks, as a network gives them."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(BATCH, 3, 12, 12, generator=generator)
    faces = torch.nn.functional.interpolate(noise, (NETWORK, NETWORK), mode="bicubic").clamp(0, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, NETWORK), torch.linspace(-1, 1, NETWORK), indexing="ij")
    mask = ((0.85 - torch.hypot(x * 1.1, y * 0.95)) * 12).clamp(0, 1)
    return faces, mask.expand(BATCH, 1, NETWORK, NETWORK).contiguous()


class ReadyFaces:
    """Stands in for a swapper: its faces are there already, or a network draws them; places are known."""

    settings = SimpleNamespace(coverage=1.0)

    def __init__(self, faces: list[Face], network: Swapper | None) -> None:
        self._network = network
        self.resolution = network.resolution if network else NETWORK
        self.output_resolution = network.output_resolution if network else NETWORK
        self._matrices = {id(face.points): face.alignment.crop_matrix(self.resolution) for face in faces}

    def crop_matrix(self, points: np.ndarray) -> np.ndarray:
        """Of the network's crop."""
        return self._matrices[id(points)]

    def __call__(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As many faces and masks."""
        if self._network is not None:
            return self._network(crops)
        faces, masks = ready()
        return faces[: len(crops)], masks[: len(crops)]


class ReadyStage(SwapStage):
    """Knows where the faces are; their landmarks are too few to be aligned."""

    known: list[Face]

    def aligned(self, record: FaceRecord) -> Face:
        """The face of a frame."""
        return self.known[record.frame]


def merge_of(size: str, settings: CompositeSettings, swapper: Swapper | None = None) -> FaceMerge:
    """The stations of a merge."""
    width, height, frames = SIZES[size]
    faces = [face_of(n, width, height) for n in range(frames)]
    masks: Any = SimpleNamespace(read_mask=lambda _record: None, for_training=list)
    stand_in: Any = ReadyFaces(faces, swapper)
    by_frame = {n: [record_of(face)] for n, face in enumerate(faces)}
    stage = ReadyStage(stand_in, masks, by_frame, BATCH, SameForAll(settings))
    stage.known = faces
    return FaceMerge([stage])


def settings(blend: str, transfer: str = "reinhard") -> CompositeSettings:
    """Composite settings by plugin name."""
    return config.merge(CompositeSettings(), {"blend": blend, "color_transfer": transfer})


def run(clip: Path, merge: FaceMerge, writer: VideoWriter | None = None, *, flicker: bool = False) -> None:
    """One pass over the clip."""
    sampler = FlickerSampler(merge.largest_face)
    with VideoReader(clip) as reader:
        for target, finished in merge.render(reader):
            if flicker:
                sampler.push(target, finished)
            if writer is not None:
                writer.write(finished)


def decode(clip: Path) -> None:
    """Read every frame."""
    with VideoReader(clip) as reader:
        for _ in reader:
            pass


# ------------------------------------------------------------------------------------------ the plain way


def plain(clip: Path, width: int, height: int, frames: int, blend: str) -> None:
    """What a script does with OpenCV and numpy."""
    faces, masks = ready()
    drawn = [np.rint(np.moveaxis(face.numpy(), 0, -1)[..., ::-1] * 255).astype(np.uint8) for face in faces]
    mask = np.rint(masks[0, 0].numpy() * 255).astype(np.uint8)
    for index, frame in enumerate(plain_frames(clip)):
        if index >= frames:
            return
        back = np.linalg.inv(
            np.vstack([face_of(index, width, height).alignment.crop_matrix(NETWORK), [0, 0, 1]])
        )
        laid = cv2.warpAffine(drawn[index % BATCH], back[:2], (width, height), flags=cv2.INTER_CUBIC)
        where = cv2.warpAffine(mask, back[:2], (width, height))
        laid = reinhard(laid, frame, where > 127)
        if blend == "poisson":
            x, y, w, h = cv2.boundingRect((where > 127).astype(np.uint8))
            binary = ((where > 127) * 255).astype(np.uint8)
            cv2.seamlessClone(laid, frame, binary, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
        else:
            alpha = cv2.GaussianBlur(where, (0, 0), 6)[..., None].astype(np.float32) / 255
            np.rint(laid * alpha + frame * (1 - alpha)).astype(np.uint8)


def plain_frames(clip: Path) -> Iterator[np.ndarray]:
    """Frames as 8-bit BGR."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def reinhard(face: np.ndarray, frame: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Reinhard's transfer over the rectangle of the mask, statistics inside the mask."""
    x, y, w, h = cv2.boundingRect(inside.astype(np.uint8))
    part = np.s_[y : y + h, x : x + w]
    ours = cv2.cvtColor(face[part].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    theirs = cv2.cvtColor(frame[part].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    kept = inside[part]
    mean, spread = ours[kept].mean(0), ours[kept].std(0)
    ours = (ours - mean) * (theirs[kept].std(0) / (spread + 1e-6)) + theirs[kept].mean(0)
    out = face.copy()
    out[part] = np.rint(cv2.cvtColor(ours, cv2.COLOR_LAB2BGR).clip(0, 1) * 255).astype(np.uint8)
    return out


# -------------------------------------------------------------------------------------------- what is shown


def parts() -> dict[str, Timing]:
    """What one face costs at 1080p, station by station."""
    width, height, _ = SIZES["1080p"]
    frame, face = plate(0, width, height), face_of(0, width, height)
    matrix = face.alignment.crop_matrix(512)
    crop = crop_frame(frame, matrix, 512)
    down, across = np.mgrid[:512, :512] - 255.5
    alpha = np.clip((1 - np.hypot(down / 220, across / 180)) * 8, 0, 1).astype(np.float32)
    return {
        "crop_frame to 512": measure(lambda: crop_frame(frame, matrix, 512), at_least=0.5),
        "paste from 512": measure(lambda: paste_crop(frame, crop * alpha, alpha, matrix), at_least=0.5),
    }


def memory(size: str) -> float:
    """Peak of a process of its own that merges and encodes, MiB."""
    words = [sys.executable, __file__, "--memory", size]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def make_clip(folder: Path, size: str) -> Path:
    """The footage of a size."""
    width, height, frames = SIZES[size]
    clip = folder / f"{size}.mp4"
    with VideoWriter(clip, encoding=Encoding(preset="ultrafast", quality=20.0)) as writer:
        for index in range(frames):
            writer.write(plate(index, width, height))
    return clip


def figures_of(size: str, clip: Path) -> dict[str, Timing | float | str]:
    """Everything about one size of frame."""
    width, height, frames = SIZES[size]
    full, units = size == "1080p", float(frames)
    out: dict[str, Timing | float | str] = {
        f"{size} decode": measure(lambda: decode(clip), units=units, runs=3)
    }
    for blend in BLENDS if full else BLENDS[:2]:
        merge = merge_of(size, settings(blend))
        out[f"{size} without network, {blend} reinhard"] = measure(
            lambda merge=merge: run(clip, merge), units=units, runs=3 if full else 2
        )
    for blend in BLENDS[:2]:
        few = 12 if blend == "poisson" else 24
        out[f"{size} plain way, {blend} reinhard"] = measure(
            lambda blend=blend, few=few: plain(clip, width, height, few, blend),
            units=float(min(few, frames)),
            warm_up=int(full),
            runs=3 if full else 1,
        )
    return out


def main() -> None:
    """Measure and publish."""
    keep_pages()  # as the command does
    torch.set_num_threads(1)  # as merging does: the other cores decode and encode
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if sys.argv[1:2] == ["--memory"]:
            size = sys.argv[2]
            clip = make_clip(folder, size)
            with VideoWriter(folder / "out.mp4", encoding=Encoding(preset="veryfast")) as writer:
                run(clip, merge_of(size, settings("poisson")), writer, flicker=True)
            print(peak_memory())
            return
        figures: dict[str, Timing | float | str] = dict(parts())
        clips = {size: make_clip(folder, size) for size in SIZES}
        for size, clip in clips.items():
            figures |= figures_of(size, clip)
        figures |= full_figures(folder, clips["1080p"])
        figures |= {f"{size} peak memory, MiB": memory(size) for size in ("1080p", "4K")}
        megabits = clips["1080p"].stat().st_size * 8 / 1e6 / (SIZES["1080p"][2] / 30)
    conditions = {
        "frame": f"yuv420p, {SIZES}, H.264 of {megabits:.0f} Mbit/s at 1080p",
        "face": "one of 400 pixels at 1080p, in proportion at the others; working size up to 512",
        "averages over time": "as by default, 8 frames before and after",
        "batch": BATCH,
        "threads": "one each for torch and OpenCV; decoder and encoder as they choose",
    }
    publish("merge", figures, conditions)


def full_figures(folder: Path, clip: Path) -> dict[str, Timing | float | str]:
    """With a network, with the encoder, and what measuring flicker adds; at 1080p."""
    out: dict[str, Timing | float | str] = {}
    units, how, swapper = float(SIZES["1080p"][2]), settings("feather"), quick96()
    usual = merge_of("1080p", CompositeSettings())
    out["1080p without network, as by default"] = measure(lambda: run(clip, usual), units=units, runs=3)
    out["1080p with network"] = measure(
        lambda: run(clip, merge_of("1080p", how, swapper)), units=units, runs=2
    )
    without, measured = (
        measure(lambda on=on: run(clip, merge_of("1080p", how), flicker=on), units=units, runs=3)
        for on in (False, True)
    )
    out["1080p flicker measured, share of the time"] = measured.median / without.median - 1.0
    for preset in PRESETS:

        def encoded(preset: str = preset) -> None:
            with VideoWriter(folder / "out.mp4", encoding=Encoding(preset=preset)) as writer:
                run(clip, merge_of("1080p", how), writer)

        name = f"1080p without network, encoded, {preset}"
        out[name] = measure(encoded, units=units, warm_up=0, runs=2)
    return out


def quick96() -> Swapper:
    """A swapper of the size of Quick96, untrained."""
    from understudy.models.df import Df
    from understudy.pipelines.setup import make_context

    chosen = Df()
    torch.manual_seed(0)
    return Swapper(chosen.build(make_context("cpu")), chosen)


if __name__ == "__main__":
    main()
