"""Detail: what each step takes, how well grain, softness and motion are matched, what the enhancer gains.

Drawn performers give what footage cannot: the plate without its grain, the same plate out of focus or with
an open shutter, and the exact swap under the same. Faces are the exact swap blurred by one pixel, as smooth
as a network's. Grain is judged as a viewer sees it, in the frame after the paste: deviation of the noise in
the face over that of its surroundings, at the scale of one and of two pixels; 1 is right. H.264 is x264 at
the quality named. Times are of one thread, as merging has it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from common import Timing, measure, publish
from understudy.contracts import ColorTags, Context, Face, Frame, PixelFormat
from understudy.enhancers import ENHANCERS
from understudy.enhancers.superres import SuperResolution
from understudy.image.color import rgb_to_rect
from understudy.image.draw import hull_mask
from understudy.image.filter import dilate, erode
from understudy.image.grain import measure_noise
from understudy.image.paste import paste_crop
from understudy.image.warp import crop, crop_frame
from understudy.metrics.structure import psnr, ssim
from understudy.performers.expression import Expression
from understudy.performers.performer import Performer
from understudy.performers.renderer import render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.compositing.composite import working_size
from understudy.pipelines.compositing.detail import Moment, apply_detail, enlarge
from understudy.pipelines.compositing.detail_settings import DetailSettings
from understudy.training.degrade import Degradation, degrade
from understudy.training.process import keep_pages
from understudy.weights import WeightStore

Figures = dict[str, Timing | float | str]
FORMAT = PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1)
POSES = {
    "frontal": State(yaw=4.0, roll=6.0),
    "profile": State(yaw=45.0, pitch=-5.0),
    "mouth wide open": State(yaw=-10.0, roll=-9.0, expression=Expression(jaw=0.95)),
}
PAIRS = ((300_012, 300_011), (300_004, 300_003))
"""Source and target."""
GRAINS = ((0.01, 0.0), (0.03, 0.0), (0.03, 0.7), (0.04, 1.1))
"""Deviation of each channel, and standard deviation of the blur that made it soft, pixels."""
QUALITIES = (18, 23, 28)


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """A target, the exact swap, and where the face is."""

    pose: str
    plate: np.ndarray
    swap: np.ndarray
    face: Face
    matrix: np.ndarray
    side: int

    @classmethod
    def take(cls, pair: tuple[int, int], pose: str, size: int, state: State | None = None) -> Shot:
        """Draw it."""
        source, target = (Performer.from_seed(seed) for seed in pair)
        scene, state = Scene.from_seed(pair[1]), state or POSES[pose]
        drawn, swap = render(target, state, scene, size), render_swap(source, target, state, scene, size)
        alignment = drawn.alignment("whole")
        face = Face(
            frame=0, time=0.0, index=0, track=0, box=np.zeros(4), presence=1.0, points=drawn.points,
            alignment=alignment,
        )  # fmt: skip
        side = working_size(alignment.side, 512)
        return cls(pose, drawn.picture, swap.picture, face, alignment.crop_matrix(side), side)

    @property
    def mask(self) -> Tensor:
        """The face's outline in the crop."""
        return torch.from_numpy(hull_mask(self.face.points, self.matrix, self.side))[None, None]

    def crop(self, picture: np.ndarray) -> Tensor:
        """The face's square, as the compositor cuts it."""
        return torch.from_numpy(crop_frame(frame_of(picture), self.matrix, self.side))[None]

    def finish(self, frame: Frame, face: Tensor, settings: DetailSettings, way: float = 0.0) -> Tensor:
        """The frame with the face in it."""
        step = np.array([way, 0.0, 0.0], np.float32)
        points = self.face.points
        at = Moment(
            frame=frame, face=self.face, matrix=self.matrix, before=points - step, after=points + step
        )
        base = torch.from_numpy(crop_frame(frame, self.matrix, self.side))[None]
        made = apply_detail(face, base, self.mask, [at], settings)[0].numpy()
        alpha = self.mask[0, 0].numpy()
        return whole(paste_crop(frame, (made * alpha).astype(np.float32), alpha, self.matrix))


def frame_of(picture: np.ndarray, index: int = 0) -> Frame:
    """A frame of 8 bits, 4:2:0."""
    color = ColorTags(matrix="bt709")
    planes = rgb_to_rect(FORMAT, color, picture.clip(0, 1).astype(np.float32))
    return Frame(index=index, pts=index, time_base=Fraction(1, 25), planes=planes, format=FORMAT, color=color)


def whole(frame: Frame) -> Tensor:
    """A square frame as RGB."""
    return torch.from_numpy(crop_frame(frame, np.eye(2, 3), frame.width))[None]


def grained(picture: np.ndarray, deviation: float, softness: float, seed: int = 0) -> np.ndarray:
    """A picture with grain of its own in every channel."""
    field = np.random.default_rng(seed).standard_normal(picture.shape)
    if softness:
        field = cv2.GaussianBlur(field, (0, 0), softness)
    return picture + deviation * field / field.std()


def smooth(picture: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """As a network draws it, or a lens out of focus."""
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def encoded(pictures: list[np.ndarray], quality: int) -> list[Frame]:
    """Through H.264 and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(quality), "threads": "1"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            rgb = np.ascontiguousarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        decoded = [frame.to_ndarray(format="rgb24") / 255.0 for frame in back.decode(video=0)]
    return [frame_of(picture, number) for number, picture in enumerate(decoded)]


# ------------------------------------------------------------------------------------------- grain


def grain_ratios(shot: Shot, frame: Frame, grain: float) -> np.ndarray:
    """Luma noise in the face over that around it, at the two finest scales; then that around it, of 255."""
    made = shot.finish(frame, shot.crop(smooth(shot.swap)), DetailSettings(grain=grain))
    face = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), frame.width))[None, None]
    inside, outside = (erode(face, 6) > 0.9).float(), 1.0 - (dilate(face, 6) > 0.0).float()
    values = [measure_noise(made, where)[0, 0, :2].numpy() for where in (inside, outside)]
    return np.array([*(values[0] / values[1]), 255.0 * values[1][0]])


def grain_cases() -> Iterator[tuple[str, Shot, Frame]]:
    """Plates with grain, as filmed and through a codec."""
    for pair in PAIRS:
        for pose in POSES:
            for size in (400, 720):
                shot = Shot.take(pair, pose, size)
                for deviation, softness in GRAINS:
                    plate = grained(shot.plate, deviation, softness)
                    yield f"grain {deviation}, soft {softness}", shot, frame_of(plate)
                for quality in QUALITIES:
                    plates = [grained(shot.plate, 0.04, 0.5, seed) for seed in range(4)]
                    for frame in encoded(plates, quality)[1:]:
                        yield f"grain 0.04, soft 0.5, H.264 at {quality}", shot, frame


def grain_matching() -> Figures:
    """By grain and codec: mean ratio without and with matching, and the share within 15 %."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, shot, frame in grain_cases():
        ratios = grain_ratios(shot, frame, 0.0), grain_ratios(shot, frame, 1.0)
        found.setdefault(name, []).append(ratios)
        found.setdefault(f"all, {shot.pose}", []).append(ratios)
    out: Figures = {}
    for name, ratios in found.items():
        bare, matched = (np.array(rows) for rows in zip(*ratios, strict=True))
        near = (np.abs(matched[:, :2] - 1.0) <= 0.15).mean(0)
        out[f"noise in the face over that around it, {name}"] = (
            f"{bare[:, 2].mean():.2f} of 255; {bare[:, 0].mean():.2f} and {bare[:, 1].mean():.2f} before, "
            f"{matched[:, 0].mean():.2f} and {matched[:, 1].mean():.2f} after; within 15 %: {near[0]:.0%} "
            f"and {near[1]:.0%}"
        )
    return out


def grain_and_fidelity() -> Figures:
    """What matching does to PSNR and SSIM against the exact swap with grain of its own, inside the face."""
    out: Figures = {}
    for deviation, softness in GRAINS:
        rows = []
        for pair in PAIRS:
            shot = Shot.take(pair, "frontal", 400)
            truth = whole(frame_of(grained(shot.swap, deviation, softness, 5)))
            frame = frame_of(grained(shot.plate, deviation, softness))
            mask = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), 400))[None, None]
            for grain in (0.0, 1.0):
                made = shot.finish(frame, shot.crop(smooth(shot.swap)), DetailSettings(grain=grain))
                rows.append((float(psnr(made, truth, mask)), float(ssim(made, truth, mask))))
        bare, matched = np.mean(rows[::2], 0), np.mean(rows[1::2], 0)
        out[f"against the exact swap with such grain, {deviation} soft {softness}"] = (
            f"{bare[0]:.2f} dB, SSIM {bare[1]:.3f} before; {matched[0]:.2f} dB, SSIM {matched[1]:.3f} after"
        )
    return out


# ------------------------------------------------------------------------------------------- the others


def softness_matching() -> Figures:
    """A crisp face in a plate out of focus or compressed; PSNR against the exact swap in the same state."""
    out: Figures = {}
    for name, sigma, quality in (
        ("in focus", 0.0, 0),
        ("out of focus by 1.5 pixels", 1.5, 0),
        ("out of focus by 3 pixels", 3.0, 0),
        ("H.264 at 34", 0.0, 34),
    ):
        rows = []
        for pair in PAIRS:
            for pose in POSES:
                shot = Shot.take(pair, pose, 400)
                plate, truth = ((smooth(p, sigma) if sigma else p) for p in (shot.plate, shot.swap))
                frames = [frame_of(plate), frame_of(truth)]
                if quality:
                    frames = [encoded([picture] * 3, quality)[1] for picture in (plate, truth)]
                mask = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), 400))[None, None]
                for soften in (0.0, 1.0):
                    made = shot.finish(frames[0], shot.crop(shot.swap), DetailSettings(soften=soften))
                    rows.append(float(psnr(made, whole(frames[1]), mask)))
        out[f"softness, {name}"] = f"{np.mean(rows[::2]):.2f} dB before, {np.mean(rows[1::2]):.2f} after"
    return out


def motion_matching() -> Figures:
    """A face that crosses the frame with the shutter half open, beside the mean of 33 pictures of it."""
    out: Figures = {}
    for way in (4.0, 10.0, 24.0):
        rows = []
        for pair in PAIRS:
            shot = Shot.take(pair, "frontal", 400)
            shifts = np.linspace(-0.25, 0.25, 33) * way
            moves = [np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]]) for shift in shifts]
            truth = np.mean([cv2.warpAffine(shot.swap, move, (400, 400)) for move in moves], axis=0)
            mask = torch.from_numpy(hull_mask(shot.face.points, np.eye(2, 3), 400))[None, None]
            inside = erode(mask, 8)
            for shutter in (0.0, 180.0):
                face = shot.crop(shot.swap)
                made = shot.finish(frame_of(truth), face, DetailSettings(shutter=shutter), way)
                rows.append(float(psnr(made, whole(frame_of(truth)), inside)))
        name = f"motion blur, {way:g} pixels a frame"
        out[name] = f"{np.mean(rows[::2]):.2f} dB before, {np.mean(rows[1::2]):.2f} after"
    return out


# ------------------------------------------------------------------------------------------- enhancer


def faces_of_others(count: int, side: int) -> Tensor:
    """Faces of performers that no network of ours was trained on."""
    rows = []
    for number in range(count):
        random = np.random.default_rng(number)
        pose = State(
            yaw=float(random.uniform(-40, 40)),
            pitch=float(random.uniform(-15, 15)),
            expression=Expression(jaw=float(random.choice([0.0, 0.4, 0.9])), smile=float(random.random())),
        )
        drawn = render(Performer.from_seed(310_000 + number), pose, Scene.from_seed(number), 2 * side)
        picture = crop(drawn.picture, drawn.alignment("full").crop_matrix(side), side)
        rows.append(torch.from_numpy(picture).permute(2, 0, 1))
    return torch.stack(rows).clamp(0.0, 1.0)


def enhancing(file: Path | None) -> Figures:
    """PSNR and SSIM of faces that were made four times smaller, interpolated and drawn by the network."""
    truth = faces_of_others(24, 256)
    plugin = SuperResolution(file=file)
    cases = {
        "soft and clean, as a swapper's": Degradation(least_blur=0.6, most_blur=0.8, noise=0.0, jpeg=0.0),
        "crisp and clean": Degradation(least_blur=0.2, most_blur=0.3, noise=0.0, jpeg=0.0),
        "as in training": Degradation(),
        "noisy JPEG": Degradation(noise=0.03, jpeg=1.0, least_quality=40),
    }
    out: Figures = {}
    for name, how in cases.items():
        small = degrade(truth, 4, np.random.default_rng(1), how)
        rows = [
            (psnr(made, truth).mean(), ssim(made, truth).mean())
            for made in (enlarge(small, 256, ENHANCERS["none"]()), enlarge(small, 256, plugin))
        ]
        out[f"four times as large, {name}"] = (
            f"{rows[0][0]:.2f} dB, SSIM {rows[0][1]:.3f} interpolated; {rows[1][0]:.2f} dB, SSIM "
            f"{rows[1][1]:.3f} by the network"
        )
    return out


def times(file: Path | None) -> Figures:
    """Milliseconds a face."""
    out: Figures = {}
    for size in (400, 720):
        shot = Shot.take(PAIRS[0], "frontal", size)
        frame = frame_of(grained(shot.plate, 0.03, 0.5))
        face, mask = shot.crop(smooth(shot.swap)), shot.mask
        base = shot.crop(shot.plate)
        points = shot.face.points
        at = Moment(frame=frame, face=shot.face, matrix=shot.matrix, before=points - np.float32(10))
        for name, settings in {
            "grain": DetailSettings(grain=1.0),
            "soften": DetailSettings(soften=1.0),
            "motion blur, 14 pixels a frame": DetailSettings(shutter=180.0),
            "sharpen": DetailSettings(sharpen=30.0),
            "degrade": DetailSettings(degrade=30.0),
        }.items():
            work = functools.partial(apply_detail, face, base, mask, [at], settings)
            out[f"{name}, crop of {shot.side}"] = measure(work, at_least=1.0)
    built = SuperResolution(file=file).build(Context(device=torch.device("cpu"), weights=WeightStore()))
    for side in (64, 128):
        small = torch.rand(1, 3, side, side)
        out[f"superres, {side} to {4 * side}"] = measure(functools.partial(built, small), at_least=1.0)
    return out


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--enhancer", type=Path, help="its weights; default: those of the package")
    file = parser.parse_args().enhancer
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()  # as every command does
    conditions = {
        "threads": "one each for torch and OpenCV",
        "frames": "8 bits, 4:2:0, 400 and 720 pixels square; the face fills about 285 to 510 of them",
        "performers": "two pairs; the enhancer is measured on 24 others, none of them trained on",
    }
    figures = grain_matching() | grain_and_fidelity() | softness_matching() | motion_matching()
    publish("detail", figures | enhancing(file) | times(file), conditions)


if __name__ == "__main__":
    main()
