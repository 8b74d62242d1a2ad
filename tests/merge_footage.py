"""Footage with a face set and a swapper of random weights, made in a second: what merging needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

import consented
from drawn_sets import points_of
from understudy.config import dump
from understudy.contracts import ColorTags, Face, Frame, PixelFormat
from understudy.faces.faceset import FaceSet
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align
from understudy.models import MODELS
from understudy.pipelines.setup import make_context
from understudy.provenance.labels import fingerprint
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.video.encoding import Encoding
from understudy.video.writer import open_writer

WIDTH, HEIGHT, FRAMES = 160, 120, 40
YUV = PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1)
RGB = PixelFormat(name="rgb24", kind="rgb", depth=8)

Place = Callable[[int], Sequence[tuple[float, float, float]]]
"""Where the faces of a frame are: x, y, and their size against the usual one."""


class Footage(NamedTuple):
    target: Path
    faces: FaceSet
    swapper: Path


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(3).integers(60, 180, (HEIGHT + 64, WIDTH + 64), np.uint8)


def frame_of(index: int, *, rgb: bool = False, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Frame:
    """Noise that moves, and grows lighter."""
    width, height = size
    luma = _noise()[index % 60 :, index % 60 :][:height, :width] // 2 + index % 64
    if rgb:
        planes: tuple[np.ndarray, ...] = (np.stack([luma, luma // 2, 255 - luma], -1),)
    else:
        chroma = np.full((height // 2, width // 2), 90 + index % 16, np.uint8)
        planes = (np.ascontiguousarray(luma), chroma, 255 - chroma)
    return Frame(
        index=index,
        pts=index,
        time_base=Fraction(1, 25),
        duration=1,
        planes=planes,
        format=RGB if rgb else YUV,
        color=ColorTags(matrix="rgb" if rgb else "bt709", full_range=rgb),
        name=f"shot.{index + 1001}.png" if rgb else "",
    )


def one_face(index: int) -> list[tuple[float, float, float]]:
    return [(80 + 10 * np.sin(index / 7), 60 + 6 * np.cos(index / 5), 0.32)]


def make_footage(
    folder: Path,
    *,
    name: str = "scene.mp4",
    frames: int = FRAMES,
    place: Place = one_face,
    mode: str = "whole",
) -> Footage:
    """A video (or a folder of pictures, where the name has no suffix), its face set and a swapper."""
    target = folder / name
    rgb = "." not in name
    with open_writer(target, encoding=Encoding(preset="ultrafast", options=("g=12",))) as writer:
        for index in range(frames):
            writer.write(frame_of(index, rgb=rgb))
    return Footage(target, make_faces(folder / "faces", target, frames, place), make_swapper(folder, mode))


def make_faces(folder: Path, target: Path, frames: int, place: Place = one_face) -> FaceSet:
    with FaceSetWriter(folder, {"mode": "whole", "size": 32, "picture": "png"}) as writer:
        writer.begin(target.name, fingerprint((target,)))
        persons = {}
        for index in range(frames):
            for number, (x, y, scale) in enumerate(place(index)):
                points = points_of(12 * np.sin(index / 9)) - np.float32([160, 120, 0])
                points = (points * scale + (x, y, 0)).astype(np.float32)
                face = Face(
                    frame=index,
                    time=index / 25,
                    index=number,
                    track=number,
                    box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64),
                    presence=0.9,
                    points=points,
                    alignment=align(points, "whole"),
                )
                writer.add(face, np.zeros((32, 32, 3), np.uint8))
                persons[number] = number
        writer.read_to(frames, complete=True)
        writer.write_persons(persons)
    consented.bind(folder)
    return FaceSet.open(folder)


def make_swapper(folder: Path, mode: str = "whole", seed: int = 0, *, white: bool = False) -> Path:
    """A swapper of random weights, which draws grey faces; or white ones."""
    settings = MODELS["df"](resolution=32, e_dims=4, ae_dims=8, d_dims=4, d_mask_dims=2, crop=mode)
    torch.manual_seed(seed)
    model = settings.build(make_context("cpu"))
    place = folder / f"run{seed}" / "swapper"
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    files = SwapperFiles(model="df", settings=dump(settings), weights=weights, step=5)
    for key, value in weights.items():
        if white and value.shape == (3,):  # the bias of what it draws
            weights[key] = value + 4.0
    save_swapper(place, files, consent=consented.said())
    return place


def packets_of(video: Path) -> list[tuple[object, ...]]:
    with av.open(str(video)) as container:
        return [
            (packet.stream.index, packet.pts, packet.dts, hashlib.md5(bytes(packet)).hexdigest())
            for packet in container.demux()
            if packet.size
        ]


def pictures_of(video: Path) -> Iterator[str]:
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            yield hashlib.md5(frame.to_ndarray().tobytes()).hexdigest()
