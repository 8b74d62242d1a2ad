"""Whose the swapped held-out faces are and what they do: measured while training, with what is at hand.

Training needs none of the networks that find or describe faces. Where they are on this machine they are lent
to the held-out figures; where one is missing, its figures are left out and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8

from understudy.contracts import Context, Embedder, Landmarker
from understudy.embedders import EMBEDDERS
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.image.expression import expression_of_points, mouth_opening
from understudy.image.geometry import align, compose, invert, pose_of_points, transform_points
from understudy.image.warp import crop, uncrop
from understudy.landmarkers import LANDMARKERS
from understudy.learning import Drawing
from understudy.metrics.correlation import pearson
from understudy.metrics.identity import distances
from understudy.models import ModelSettings
from understudy.pipelines.setup import missing_weights

EMBEDDER, LANDMARKER = "dlib", "facemesh"
"""The plugins that are lent. By name: their files import libraries that training can do without."""
_FOUND = 0.5
_FEWEST = 3
"""Faces below which nothing is said about how they vary."""
_POSE = 9
"""Numbers of an expression before pitch and yaw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A held-out face of the target with the room around it that finders want to see."""

    picture: UInt8[np.ndarray, "s s 3"]
    """The crop as it was extracted."""
    points: Float32[np.ndarray, "478 3"]
    """Its landmarks, in pixels of the picture."""
    square: Float64[np.ndarray, "2 3"]
    """From pixels of the picture to the unit square that the model draws."""

    @classmethod
    def of(cls, faces: FaceSet, record: FaceRecord, model: ModelSettings) -> View:
        """The view of a face of a face set."""
        picture, points = faces.read_crop(record), record.points
        stored = record.alignment.crop_matrix(picture.shape[0])
        square = align(points, model.crop).crop_matrix(1, model.coverage)
        return cls(
            picture=picture,
            points=transform_points(stored, points).astype(np.float32),
            square=compose(square, invert(stored)),
        )

    def paste(
        self, face: Float32[np.ndarray, "r r 3"], mask: Float32[np.ndarray, "r r"]
    ) -> UInt8[np.ndarray, "s s 3"]:
        """The picture with a swapped face in it."""
        matrix = self.square * mask.shape[0]
        rect = (0, 0, self.picture.shape[1], self.picture.shape[0])
        weight = np.clip(uncrop(mask, matrix, rect), 0, 1)[..., None]
        laid = uncrop(face, matrix, rect) * 255
        mixed = self.picture + weight * (laid - self.picture)
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


class SwapMeter:
    """Figures of the swapped held-out faces of the target, each pasted into its own picture.

    Args:
        views: the faces, in the order in which they are swapped.
        embedder: describes who they are; None for no figures of identity.
        persons: identity vectors of the source and of the target.
        landmarker: sees what they do; None for no figures of pose and expression.
        spread: how much each number of the target's expression varies over its face set.
    """

    def __init__(
        self,
        views: Sequence[View],
        *,
        embedder: Embedder | None = None,
        persons: tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]] | None = None,
        landmarker: Landmarker | None = None,
        spread: Float[np.ndarray, "11"] | None = None,
    ) -> None:
        self.views = tuple(views)
        self.embedder, self.persons = embedder, persons
        self.landmarker = landmarker
        self.spread = np.ones(_POSE) if spread is None else np.maximum(spread[:_POSE], 1e-3)
        self._before: list[np.ndarray | None] | None = None

    def __call__(self, swapped: Drawing) -> Mapping[str, float]:
        """Identity, pose and expression, as far as there is something to measure them with."""
        faces = swapped.face.permute(0, 2, 3, 1).clamp(0, 1).cpu().numpy()
        masks = swapped.mask[:, 0].cpu().numpy()
        pictures = [view.paste(face, mask) for view, face, mask in zip(self.views, faces, masks, strict=True)]
        return {**self._identity(pictures), **self._motion(pictures)}

    def _identity(self, pictures: list[np.ndarray]) -> dict[str, float]:
        if self.embedder is None or self.persons is None:
            return {}
        side = self.embedder.side
        chips = [
            crop(picture, self.embedder.crop_matrix(view.points), side).transpose(2, 0, 1)
            for picture, view in zip(pictures, self.views, strict=True)
        ]
        with torch.inference_mode():
            device = next((p.device for p in getattr(self.embedder, "parameters", list)()), None)
            batch = torch.from_numpy(np.stack(chips)).to(device).float() / 255
            vectors = self.embedder(batch).cpu().numpy()
        source, target = self.persons
        return {
            "identity_to_source": float(distances(vectors, source).mean()),
            "identity_to_target": float(distances(vectors, target).mean()),
        }

    def _motion(self, pictures: list[np.ndarray]) -> dict[str, float]:
        """How far the swaps' pose and expression are from the target's.

        Persons differ in their proportions, so an expression is compared less its mean over the faces.
        """
        if self.landmarker is None:
            return {}
        if self._before is None:
            self._before = [self._look(view.picture, view) for view in self.views]
        after = [self._look(picture, view) for picture, view in zip(pictures, self.views, strict=True)]
        pairs = [(b, a) for b, a in zip(self._before, after, strict=True) if b is not None and a is not None]
        seen = sum(points is not None for points in self._before)
        if not seen:
            return {}
        figures = {"found": len(pairs) / seen}
        if not pairs:
            return figures
        wanted, got = (np.stack(points) for points in zip(*pairs, strict=True))
        poses = np.array([pose_of_points(face) for face in wanted])
        moved = np.array([pose_of_points(face) for face in got])
        figures["pose_error"] = float(np.linalg.norm(moved - poses, axis=1).mean())
        if len(pairs) >= _FEWEST:
            both = [expression_of_points(points)[:, :_POSE] for points in (wanted, got)]
            first, second = (numbers - numbers.mean(0) for numbers in both)
            figures["expression_error"] = float(np.sqrt((((second - first) / self.spread) ** 2).mean()))
            figures["mouth_correlation"] = pearson(mouth_opening(wanted), mouth_opening(got))
        return figures

    def _look(self, picture: np.ndarray, view: View) -> np.ndarray | None:
        assert self.landmarker is not None
        (found,) = self.landmarker(picture, [self.landmarker.region_of_points(view.points)])
        return found.points if found.presence >= _FOUND else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Lent:
    """What there is to measure with, and what there is not."""

    embedder: Embedder | None
    """Describes who a face is."""
    landmarker: Landmarker | None
    """Sees what a face does."""
    lacking: tuple[str, ...]
    """Why something is not there, a clause each."""


def lend(context: Context) -> Lent:
    """The networks that are on this machine; nothing is fetched."""
    lacking: list[str] = []
    embedder = landmarker = None
    settings = EMBEDDERS[EMBEDDER]()
    if missing := missing_weights([settings]):
        lacking.append(f"identity (weights {', '.join(missing)} are not on this machine)")
    else:
        embedder = settings.build(context)
    try:
        finder = LANDMARKERS[LANDMARKER]()
    except ImportError as error:
        lacking.append(f"pose and expression ({error.name or error} is not installed)")
    else:
        if missing := missing_weights([finder]):
            lacking.append(f"pose and expression (weights {', '.join(missing)} are not on this machine)")
        else:
            landmarker = finder.build(context)
    return Lent(embedder=embedder, landmarker=landmarker, lacking=tuple(lacking))


def make_meter(
    lent: Lent,
    source: FaceSet,
    target: FaceSet,
    records: Sequence[FaceRecord],
    model: ModelSettings,
    spread: Float[np.ndarray, "11"],
) -> SwapMeter | None:
    """The meter of a run; None when there is nothing to measure with.

    Args:
        lent: networks.
        source: faces of the person who is put in.
        target: faces of the footage.
        records: held-out faces of the target.
        model: says how its square lies in a face.
        spread: see ``SwapMeter``.
    """
    persons = _persons(source, target, lent.embedder)
    embedder = lent.embedder if persons else None
    if embedder is None and lent.landmarker is None:
        return None
    return SwapMeter(
        [View.of(target, record, model) for record in records],
        embedder=embedder,
        persons=persons,
        landmarker=lent.landmarker,
        spread=spread,
    )


def _persons(
    source: FaceSet, target: FaceSet, embedder: Embedder | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Identity vectors of both, as extraction described them; None where it did not, or by another length."""
    if embedder is None:
        return None
    found = [list(_vectors(faces, embedder.dimension)) for faces in (source, target)]
    if not all(found):
        return None
    first, second = (np.mean(vectors, axis=0) for vectors in found)
    return first, second


def _vectors(faces: FaceSet, dimension: int) -> Iterator[np.ndarray]:
    for person in faces.chosen:
        vector = faces.person_identity(person)
        if vector is not None and len(vector) == dimension:
            yield vector
