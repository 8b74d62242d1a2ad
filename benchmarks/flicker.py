"""Flicker: what each option that averages over time takes away, and what it costs in likeness.

A performer moves and talks before a camera with grain. Landmarks tremble as a landmarker's do, and the
swapper's faces and masks tremble as a network's do: in colour, and along the mask's edge. What is put in is
the exact swap in the source's light and skin, framed by the landmarks that are used. Each row changes one
thing against "nothing averaged". Flicker is the warping error inside the face above the target's own
(``metrics.flicker``, R'G'B' of a range of 1); the exact swap's own is the floor. PSNR is against the exact
swap in frames without grain. An option is on by default only where it takes at least 10 % of the flicker
above that floor away. Smoothing of a network's code is not here: there is no network.
"""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction

import cv2
import numpy as np
import torch
from torch import Tensor

from common import Timing, publish
from compositing import face_of, tensor
from understudy.color_transfers import COLOR_TRANSFERS
from understudy.contracts import Face, Frame
from understudy.faces.smoothing import SmoothingSettings, smooth
from understudy.faces.tracks import Seen, Sighting
from understudy.image.filter import gaussian_blur
from understudy.image.geometry import align
from understudy.image.warp import crop
from understudy.metrics.flicker import FlickerMeter
from understudy.metrics.structure import psnr
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import Rendered, render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.truth import rgb_frame
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, TemporalSettings
from understudy.pipelines.compositing.compositor import Compositor
from understudy.training.process import keep_pages

FRAMES, SIZE, OWN, SEED = 40, 256, 96, 5
PAIR, SCENES = (58, 7), (12, 71)
GRAIN = 0.01
"""Standard deviation of the camera's noise, of the range."""
JITTER = 0.004
"""Of the landmarks, as a fraction of the face's side."""
TREMBLES = (0.0005, 0.01)
"""Of the swapper's colours from frame to frame, a gain a channel: of a small ``df`` of 2,400 steps, and what
a far worse network would do."""
EDGE = 0.25
"""Of the swapper's mask, in soft patches."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """What the camera saw, the exact swap, and the swap that the network would give."""

    drawn: list[Rendered]
    swaps: list[Rendered]
    foreign: list[Rendered]
    plates: list[Frame]


def draw_clip() -> Clip:
    """A talking performer."""
    generator = np.random.default_rng(SEED)
    source, target = (Performer.from_seed(seed) for seed in PAIR)
    here, elsewhere = (Scene.from_seed(seed) for seed in SCENES)
    camera = {name: getattr(here, name) for name in ("distance", "head", "center")}
    lit, motion = dataclasses.replace(elsewhere, **camera), Motion.from_seed(3)
    states = [motion.state(2.0 + number / 25) for number in range(FRAMES)]
    drawn = [render(target, state, here, SIZE) for state in states]
    plates = []
    for number, frame in enumerate(drawn):
        noise = GRAIN * generator.standard_normal(frame.picture.shape)
        plates.append(rgb_frame(number, (frame.picture + noise).clip(0, 1).astype(np.float32), Fraction(25)))
    return Clip(
        drawn,
        [render_swap(source, target, state, here, SIZE) for state in states],
        [render_swap(source, target, state, lit, SIZE, "source") for state in states],
        plates,
    )


def landmarks(clip: Clip, reach: int) -> list[Face]:
    """What a landmarker finds, smoothed or not."""
    generator = np.random.default_rng(SEED + 1)
    found: list[Seen[int]] = []
    for number, drawn in enumerate(clip.drawn):
        trembling = JITTER * drawn.alignment().side * generator.standard_normal(drawn.points.shape)
        # neighbouring landmarks tremble together: half of it is the whole face's
        shared = JITTER * drawn.alignment().side * generator.standard_normal(3)
        points = (drawn.points + 0.5 * trembling + shared).astype(np.float32)
        found.append(Seen(item=number, faces=[Sighting(track=0, points=points, presence=1.0)]))
    smoothed = smooth(found, SmoothingSettings(reach=reach))
    return [
        dataclasses.replace(
            face_of(clip.drawn[seen.item], seen.item),
            points=seen.faces[0].points,
            alignment=align(seen.faces[0].points, "full"),
        )
        for seen in smoothed
    ]


def network(clip: Clip, faces: list[Face], tremble: float) -> tuple[Tensor, Tensor]:
    """Faces and masks of a swapper that sees these crops; it trembles the same way in every row."""
    generator = np.random.default_rng(SEED + 2)
    swapped: list[Tensor] = []
    masks: list[Tensor] = []
    for face, foreign in zip(faces, clip.foreign, strict=True):
        matrix = face.alignment.crop_matrix(OWN)
        gain = torch.from_numpy(1.0 + tremble * generator.standard_normal((1, 3, 1, 1))).float()
        swapped.append((tensor(crop(foreign.picture, matrix, OWN)) * gain).clamp(0, 1))
        patches = torch.from_numpy(generator.standard_normal((1, 1, OWN, OWN))).float()
        patches = gaussian_blur(patches, 4.0) * 4.0 * 2.0 * np.sqrt(np.pi)
        mask = tensor(crop(np.ascontiguousarray(foreign.inner_mask), matrix, OWN)[..., None])
        masks.append(((mask - 0.5) * 1.5 + 0.5 + EDGE * patches * mask * (1 - mask) * 4).clamp(0, 1))
    return torch.cat(swapped), torch.cat(masks)


def measure(clip: Clip, made: list[Frame]) -> tuple[float, float, float]:
    """Flicker and jumps of brightness in thousandths, PSNR inside the face."""
    meter = FlickerMeter()
    likeness: list[float] = []
    for number, frame in enumerate(made):
        meter.push(clip.plates[number], frame, face_of(clip.drawn[number], number))
        exact, mask = tensor(clip.swaps[number].picture), clip.swaps[number].inner_mask
        inside = torch.from_numpy((mask >= 0.95).astype(np.float32))[None, None]
        likeness.append(float(psnr(tensor(frame.planes[0].astype(np.float32) / 255.0), exact, inside)))
    found = meter.result()
    return 1000.0 * found.flicker, 1000.0 * found.brightness, float(np.mean(likeness))


def run(
    clip: Clip, settings: CompositeSettings, smoothing: int, tremble: float
) -> tuple[float, float, float]:
    """Figures of one row."""
    faces = landmarks(clip, smoothing)
    swapped, masks = network(clip, faces, tremble)
    compositor = Compositor(settings)
    jobs = [FaceJob(frame=number, face=face) for number, face in enumerate(faces)]
    made = compositor.push(clip.plates, jobs, swapped, masks) + compositor.flush()
    return measure(clip, made)


def rows() -> dict[str, tuple[CompositeSettings, int]]:
    """Settings, and the reach of the landmarks' smoothing."""
    nothing = TemporalSettings(reach=0, mask=0)
    plain = CompositeSettings(temporal=nothing)
    out: dict[str, tuple[CompositeSettings, int]] = {
        "nothing averaged": (plain, 0),
        "landmarks (matrix), reach 8": (plain, 8),
    }
    for reach in (3, 8):
        colours = dataclasses.replace(plain, temporal=TemporalSettings(reach=reach))
        out[f"colour statistics, reach {reach}"] = (colours, 0)
        masks = dataclasses.replace(plain, temporal=TemporalSettings(reach=0, mask=reach))
        out[f"mask, reach {reach}"] = (masks, 0)
    out["all three, reach 8"] = (CompositeSettings(temporal=TemporalSettings(reach=8, mask=8)), 8)
    for name in ("reinhard", "mkl"):
        for reach in (0, 8):
            temporal = TemporalSettings(reach=reach)
            how = CompositeSettings(color_transfer=COLOR_TRANSFERS[name](), temporal=temporal)
            out[f"{name}: colour statistics, reach {reach}"] = (how, 0)
    return out


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()
    clip = draw_clip()
    figures: dict[str, Timing | float | str] = {}
    exact = [rgb_frame(n, swap.picture, Fraction(25)) for n, swap in enumerate(clip.swaps)]
    noisy = []
    for plate, drawn, swap in zip(clip.plates, clip.drawn, clip.swaps, strict=True):
        grain = plate.planes[0].astype(np.float32) / 255.0 - drawn.picture
        noisy.append(rgb_frame(plate.index, (swap.picture + grain).clip(0, 1), Fraction(25)))
    for name, frames in (("exact swap with the plate's grain", noisy), ("exact swap without grain", exact)):
        figures[name] = " ".join(f"{value:.3f}" for value in measure(clip, frames))
    for tremble, (row, (settings, smoothing)) in itertools.product(TREMBLES, rows().items()):
        name = f"tremble {tremble:g}: {row}"
        figures[name] = " ".join(f"{value:.3f}" for value in run(clip, settings, smoothing, tremble))
        print(name, figures[name], flush=True)
    conditions = {
        "clip": f"{FRAMES} frames of {SIZE} x {SIZE}, performers {PAIR}, scenes {SCENES}, grain {GRAIN}",
        "tremble": f"landmarks {JITTER} of the face's side, colours as named, mask {EDGE}",
        "columns": ["flicker / 1000", "jumps of brightness / 1000", "PSNR inside"],
        "rest": f"defaults of this version, faces of {OWN} pixels",
    }
    publish("flicker", figures, conditions)


if __name__ == "__main__":
    main()
