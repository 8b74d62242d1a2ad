"""Footage that looks like pictures do (energy falls off with frequency), for the tests of the mark."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

from understudy.contracts import ColorTags, Frame
from understudy.video.layout import layout_of


def clouds(seed: int, width: int, height: int) -> np.ndarray:
    """A grey picture, 8 bits: smooth shapes, and detail here and there."""
    random = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width)
    radius[0, 0] = np.inf

    def noise(slope: float) -> np.ndarray:
        waves = np.fft.rfft2(random.normal(size=(height, width))) / radius**slope
        out = np.fft.irfft2(waves, (height, width))
        return out / out.std()

    detail = noise(1.2) * np.clip(noise(2.5), 0, 1)
    return np.clip(115 + 28 * noise(2.5) + 14 * detail + random.normal(size=(height, width)), 16, 235).astype(
        np.uint8
    )


def gray_frame(luma: np.ndarray, index: int = 0, name: str = "yuv420p") -> Frame:
    """A frame without colour."""
    layout = layout_of(name)
    height, width = luma.shape
    shape = (-(-height >> layout.shift_y), -(-width >> layout.shift_x))
    planes = (luma, *(np.full(shape, 1 << (layout.depth - 1), luma.dtype) for _ in range(2)))
    return Frame(
        index=index, pts=index, time_base=Fraction(1, 25), planes=planes, format=layout, color=ColorTags()
    )


def footage(count: int = 12, width: int = 384, height: int = 256, seed: int = 0) -> list[Frame]:
    """A picture that stands still while another moves before it."""
    back, front = clouds(seed, width, height), clouds(seed + 1, width // 3, height // 2)
    out: list[Frame] = []
    for index in range(count):
        luma = back.copy()
        left = width // 4 + 3 * index
        luma[height // 4 : height // 4 + height // 2, left : left + width // 3] = front
        out.append(gray_frame(luma, index))
    return out


def encoded(frames: list[Frame], crf: int, codec: str = "libx264") -> list[Frame]:
    """Through an encoder and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream(codec, rate=25, options={"crf": str(crf), "preset": "veryfast"})
        stream.codec_context.thread_count = 1  # what an encoder writes depends on the number of threads
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for frame in frames:
            samples = np.concatenate([plane.reshape(-1) for plane in frame.planes])
            samples = samples.reshape(frame.height * 3 // 2, frame.width)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(samples, format="yuv420p")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        height = frames[0].height
        pictures = [picture.to_ndarray()[:height].copy() for picture in back.decode(video=0)]
    return [gray_frame(luma, index) for index, luma in enumerate(pictures)]
