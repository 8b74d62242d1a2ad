"""A crowd of performers, framed for a model: many persons to learn from before the two of a swap.

Nobody is found or aligned here: the performers' landmarks are exact, so that a face is drawn no larger than
the model needs it and cut out at once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float64, UInt8

from understudy import config
from understudy.errors import ConfigError
from understudy.events import Event, Progress, StageDone, StageStarted
from understudy.image.draw import features_mask, hull_mask
from understudy.image.expression import expression_of_points
from understudy.image.geometry import align
from understudy.image.warp import crop
from understudy.models import ModelSettings
from understudy.performers import TEST_SEEDS_FROM
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Occluder, Scene
from understudy.training.augment import MARGIN
from understudy.training.tensors import read_tensors, write_tensors

STAGE = "crowd"
_HEAD = 0.6
_REACH = 300.0
"""Seconds of a performance out of which moments are taken."""


@dataclass(frozen=True, kw_only=True)
class CrowdSettings:
    """Who is drawn, and how often."""

    performers: int = 120
    """Persons."""
    faces: int = 40
    """Faces of each, every one at another moment; the light changes every ten."""
    first_seed: int = 100_000
    """Seed of the first person; the others follow. The test half's seeds are refused."""
    turn: float = 40.0
    """Largest yaw, degrees."""
    occluded: float = 0.1
    """Share of scenes with glasses."""

    def __post_init__(self) -> None:
        if self.performers < 2 or self.faces < 1:
            raise ConfigError(
                f"a crowd is 2 performers or more with a face each, got {self.performers} with {self.faces}"
            )
        if self.first_seed + self.performers > TEST_SEEDS_FROM:
            raise ConfigError(
                f"first_seed: performers from {TEST_SEEDS_FROM} up belong to the evaluation's test half and "
                f"are never trained on; {self.first_seed} with {self.performers} performers reaches into it"
            )

    @property
    def said(self) -> str:
        """Who they are, for a run's origin."""
        return f"performers {self.first_seed} to {self.first_seed + self.performers - 1}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Crowd:
    """Drawn faces, as ``training.batches.FaceStore`` takes them."""

    faces: UInt8[np.ndarray, "n 5 s s"]
    """Red, green, blue, where the face is, where eyes and mouth are."""
    expressions: Float64[np.ndarray, "n 11"]
    """What they do, see ``image.expression``."""
    persons: np.ndarray
    """Seed of each face's performer."""


def kept_crowd(
    folder: Path, settings: CrowdSettings, model: ModelSettings, side: int
) -> Generator[Event, None, Crowd]:
    """The crowd of a run: drawn at the first call, read from its folder by those that go on.

    Args:
        folder: of the run.
        settings: see ``draw_crowd``, as the others.
        model: says how much of the head a crop shows.
        side: of the pictures, pixels.
    """
    file = folder / "crowd.safetensors"
    shown = {
        "crowd": config.dump(settings),
        "crop": model.crop,
        "coverage": model.coverage,
        "side": side,
    }
    wanted = json.dumps(shown, sort_keys=True)
    if file.is_file():
        tensors, said = read_tensors(file)
        if said.get("crowd") == wanted:
            return Crowd(**{name: tensor.numpy() for name, tensor in tensors.items()})
    crowd = yield from draw_crowd(settings, model, side)
    tensors = {
        item.name: torch.from_numpy(np.ascontiguousarray(getattr(crowd, item.name)))
        for item in dataclasses.fields(crowd)
    }
    write_tensors(file, tensors, {"crowd": wanted})
    return crowd


def draw_crowd(settings: CrowdSettings, model: ModelSettings, side: int) -> Generator[Event, None, Crowd]:
    """Draws the faces.

    Args:
        settings: who, how many.
        model: says how much of the head a crop shows.
        side: of the pictures, pixels; they show ``MARGIN`` times the model's square.
    """
    total = settings.performers * settings.faces
    yield StageStarted(stage=STAGE, detail=f"{settings.performers} performers", total=total, unit="faces")
    faces = np.empty((total, 5, side, side), np.uint8)
    points = np.empty((total, 478, 3), np.float32)
    # as many pixels of the frame as of the crop: the unit square is about 1.2 times the face high
    frame = int(side / (1.25 * _HEAD * model.coverage * MARGIN)) + 8
    done = 0
    for seed in range(settings.first_seed, settings.first_seed + settings.performers):
        performer, random = Performer.from_seed(seed), np.random.default_rng([seed, 91])
        motion = dataclasses.replace(Motion.from_seed(seed), turn=settings.turn)
        scene = Scene()
        for number in range(settings.faces):
            if number % 10 == 0:
                scene = _scene(random, settings)
            drawn = render(performer, motion.state(float(random.uniform(0, _REACH))), scene, frame)
            matrix = align(drawn.points, model.crop).crop_matrix(side, model.coverage * MARGIN)
            picture = cv2.convertScaleAbs(drawn.picture, alpha=255.0)
            hull = hull_mask(drawn.points, matrix, side)
            marked = features_mask(drawn.points, matrix, side) * hull
            faces[done, :3] = crop(picture, matrix, side).transpose(2, 0, 1)
            faces[done, 3], faces[done, 4] = (cv2.convertScaleAbs(m, alpha=255.0) for m in (hull, marked))
            points[done] = drawn.points
            done += 1
        yield Progress(stage=STAGE, done=done, total=total)
    yield StageDone(stage=STAGE, summary={"faces": total, "megabytes": round(faces.nbytes / 1e6)})
    persons = np.repeat(np.arange(settings.performers) + settings.first_seed, settings.faces)
    return Crowd(faces=faces, expressions=expression_of_points(points), persons=persons)


def _scene(random: np.random.Generator, settings: CrowdSettings) -> Scene:
    glasses: Occluder = "glasses" if random.random() < settings.occluded else "none"
    scene = Scene.from_seed(int(random.integers(2**31)), glasses)
    return dataclasses.replace(scene, head=_HEAD, center=(0.5, 0.48))
