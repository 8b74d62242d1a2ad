"""Compression: blocks that are found and made again, and what noise a codec leaves of a face and round it.

Performers in a plate that went through a codec, and their exact swap through the same: the truth. The face is
the exact swap blurred by one pixel, as smooth as a network's. Blockiness is the mean step across the borders
of the codec's blocks over that within them, of the luma inside the face. PSNR and SSIM are against the truth,
inside the face. Noise is what ``image.grain`` measures, in the face over that around it.
"""

from __future__ import annotations

import functools
import io
from fractions import Fraction

import av
import cv2
import numpy as np
import torch

from common import Timing, measure, publish
from detail import PAIRS, Shot, encoded, grained, smooth, whole
from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.image.blocking import blockiness, find_blocks
from understudy.image.color import frame_to_rgb8
from understudy.image.draw import hull_mask
from understudy.image.filter import dilate, erode
from understudy.image.grain import measure_noise
from understudy.metrics.structure import psnr, ssim
from understudy.pipelines.compositing.composite import FaceLayer, lay_over
from understudy.pipelines.compositing.detail_settings import DetailSettings
from understudy.training.process import keep_pages

Figures = dict[str, Timing | float | str]
SIZE = 400
FORMATS = {"mjpeg": "yuvj420p", "mpeg2video": "yuv420p"}


def coded(picture: np.ndarray, codec: str, quality: int) -> Frame:
    """A picture through a codec that codes it by itself, in the codec's own planes."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = FORMATS[codec]
        stream.options = {"qmin": str(quality), "qmax": str(quality)}
        rgb = np.ascontiguousarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
        out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        decoded = next(back.decode(video=0))
    planes = tuple(
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width].copy()
        for plane in decoded.planes
    )
    color = ColorTags(matrix="bt601", full_range=codec == "mjpeg")
    layout = PixelFormat(name=FORMATS[codec], kind="yuv", depth=8, shift_x=1, shift_y=1)
    return Frame(index=0, pts=0, time_base=Fraction(1, 25), planes=planes, format=layout, color=color)


def tensor(frame: Frame) -> torch.Tensor:
    """RGB in [0, 1]."""
    return torch.from_numpy(frame_to_rgb8(frame)).permute(2, 0, 1)[None].float() / 255.0


def blocks() -> Figures:
    """By codec and quality, the mean of two pairs."""
    out: Figures = {}
    for codec, quality in [("mjpeg", q) for q in (2, 5, 10, 16, 24)] + [
        ("mpeg2video", 5),
        ("mpeg2video", 10),
    ]:
        rows: list[np.ndarray] = []
        for pair in PAIRS:
            shot = Shot.take(pair, "frontal", SIZE)
            plate, truth = (coded(picture, codec, quality) for picture in (shot.plate, shot.swap))
            hull = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), SIZE))[None, None]
            inside = (erode(hull, 6) > 0.9).float()
            alpha = shot.mask[0, 0].numpy()
            face = (shot.crop(smooth(shot.swap))[0].numpy() * alpha).astype(np.float32)
            row = [blockiness(truth.planes[0], (0, 0), inside[0, 0].numpy())]
            for share in (0.0, 1.0):
                layer = FaceLayer(face=shot.face, colors=face, alpha=alpha, matrix=shot.matrix, blocks=share)
                made = lay_over(plate, [layer])
                row.append(blockiness(made.planes[0], (0, 0), inside[0, 0].numpy()))
                row += [float(of(tensor(made), tensor(truth), inside)) for of in (psnr, ssim)]
            rows.append(np.array(row))
        off = [abs(row[4] / row[0] - 1.0) for row in rows]
        mean = np.mean(rows, 0)
        out[f"blocks, {codec} at {quality}"] = (
            f"blockiness {mean[0]:.2f} filmed, {mean[1]:.2f} without, {mean[4]:.2f} with them, "
            f"{max(off):.0%} off at most; {mean[2]:.2f} dB, SSIM {mean[3]:.3f} without, {mean[5]:.2f} dB, "
            f"SSIM {mean[6]:.3f} with"
        )
    return out


def nothing_found() -> Figures:
    """Planes of plates in which blocks are found though no such codec made them."""
    found: dict[str, list[bool]] = {}
    for pair in PAIRS:
        shot = Shot.take(pair, "frontal", SIZE)
        for quality in (18, 23, 28, 33, 40):
            for frame in encoded([shot.plate] * 3, quality):
                found.setdefault("H.264, CRF 18 to 40", []).extend(_found(frame))
        for scale in (0.75, 1.25):
            small = cv2.resize(
                frame_to_rgb8(coded(shot.plate, "mjpeg", 10)), None, fx=scale, fy=scale
            ).astype(np.float32)
            found.setdefault("motion JPEG scaled", []).append(find_blocks(small[..., 1], 128.0) is not None)
    return {f"blocks found in {name}": f"{sum(hits)} of {len(hits)} planes" for name, hits in found.items()}


def _found(frame: Frame) -> list[bool]:
    return [find_blocks(plane, 128.0) is not None for plane in frame.planes]


def noise() -> Figures:
    """Luma noise in the face over that around it, at the two finest scales: filmed, and put in smooth."""
    out: Figures = {}
    for quality in (18, 23, 28, 33):
        rows: list[np.ndarray] = []
        for pair in PAIRS:
            for size in (400, 720):
                shot = Shot.take(pair, "frontal", size)
                hull = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), size))[None, None]
                inside, around = (erode(hull, 6) > 0.9).float(), 1.0 - (dilate(hull, 6) > 0.0).float()
                plate, truth = (
                    encoded([grained(picture, 0.04, 0.5, seed) for seed in range(4)], quality)[2]
                    for picture in (shot.plate, shot.swap)
                )
                made = shot.finish(plate, shot.crop(smooth(shot.swap)), DetailSettings(grain=1.0))
                level = measure_noise(whole(plate), around)[0, 0, :2].numpy()
                inner = [measure_noise(p, inside)[0, 0, :2].numpy() / level for p in (whole(truth), made)]
                rows.append(np.concatenate([*inner, 255.0 * level[:1]]))
        mean = np.mean(rows, 0)
        out[f"noise in the face over that around it, H.264 at {quality}"] = (
            f"{mean[4]:.2f} of 255 around; the exact swap, filmed with grain of its own: {mean[0]:.2f} and "
            f"{mean[1]:.2f}; a smooth face with matched grain: {mean[2]:.2f} and {mean[3]:.2f}"
        )
    return out


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()
    shot = Shot.take(PAIRS[0], "frontal", SIZE)
    plate, alpha = coded(shot.plate, "mjpeg", 10), shot.mask[0, 0].numpy()
    face = (shot.crop(smooth(shot.swap))[0].numpy() * alpha).astype(np.float32)
    figures = blocks() | nothing_found() | noise()
    for share in (0.0, 1.0):
        layer = FaceLayer(face=shot.face, colors=face, alpha=alpha, matrix=shot.matrix, blocks=share)
        name = f"laying a face of {shot.side} pixels over a frame, {'with' if share else 'without'} blocks"
        figures[name] = measure(functools.partial(lay_over, plate, [layer]), at_least=1.0)
    conditions = {
        "threads": "one",
        "frames": f"{SIZE} pixels square, noise also 720; two pairs of performers",
    }
    publish("blocks", figures, conditions)


if __name__ == "__main__":
    main()
