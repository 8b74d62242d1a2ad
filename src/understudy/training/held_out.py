"""Faces that are never learned from, and what a swap model makes of them.

Neighbouring frames of footage are nearly the same picture: a face whose neighbour was learned from is not
new. So whole stretches of time are kept out, and what is measured lies in their middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from understudy.learning import Batch, Drawing, Reconstruction, Sample, SwapModel
from understudy.nn.similarity import similarity_maps
from understudy.training.augment import plain
from understudy.training.store import FaceStore

STRETCH = 8
"""Neighbouring faces that are kept out together; the inner half of them is measured."""
PREFIX = "heldout/"
"""What the names of these figures begin with."""
_WINDOW = 11


@runtime_checkable
class Meter(Protocol):
    """What else can be said about swapped faces: whose they are, what they do."""

    def __call__(self, swapped: Drawing) -> Mapping[str, float]:
        """Figures by name.

        Args:
            swapped: all held-out faces of the target, in order. The masks are the target's own: a model that
                draws no mask yet must not pass for one that leaves the expression as it was.
        """
        ...


def keep_out(
    count: int, wanted: int, *, seed: int, person: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " m"]]:
    """Chooses which faces are not learned from.

    Args:
        count: faces of the person, in order of time.
        wanted: faces to measure on.
        seed: of the run.
        person: ``batches.SOURCE`` or ``TARGET``.

    Returns:
        Places of the faces that are kept out, at most a tenth of all and twice ``wanted``; and of those among
        them that are measured. Both rise. Nothing of a set of fewer than ten.
    """
    kept = min(2 * wanted, count // 10)
    if not kept:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    stretches = max(1, round(kept / STRETCH))
    random = np.random.default_rng([seed, person, 3])
    out: list[np.ndarray] = []
    inner: list[np.ndarray] = []
    for part, places in enumerate(np.array_split(np.arange(count), stretches)):
        length = kept * (part + 1) // stretches - kept * part // stretches
        start = places[0] + random.integers(0, len(places) - length + 1)
        out.append(np.arange(start, start + length))
        inner.append(out[-1][length // 4 : length - length // 4])
    return np.concatenate(out), np.concatenate(inner)[:wanted]


class HeldOut:
    """The held-out faces of both persons, framed for one model.

    Args:
        source: faces of the person who is put in.
        target: faces of the footage that receives them.
        device: where the model is.
        chunk: faces that go through the model at once.
        meters: what else is measured on the swapped target.
    """

    def __init__(
        self,
        source: FaceStore,
        target: FaceStore,
        *,
        device: torch.device,
        chunk: int = 8,
        meters: Sequence[Meter] = (),
    ) -> None:
        self.stores = (source, target)
        self.device = device
        self.chunk = chunk
        self.meters = tuple(meters)

    def __len__(self) -> int:
        return max(map(len, self.stores))

    def batch(self, model: SwapModel, places: Int[np.ndarray, " b"]) -> Batch:
        """Faces by place, as they are; beyond a person's last one their first comes again."""
        source, target = (self._sample(store, model, places) for store in self.stores)
        return Batch(source=source, target=target)

    def _sample(self, store: FaceStore, model: SwapModel, places: Int[np.ndarray, " b"]) -> Sample:
        rows = store.rows(places % len(store), self.device)
        return plain(rows, margin=store.margin, size=model.resolution, truth_size=model.output_resolution)

    def figures(self, model: SwapModel) -> dict[str, float]:
        """How well faces come back inside their mask, and what the meters say; takes no gradient.

        PSNR is that of the mean square over all faces, in decibels; SSIM the mean of the faces'.
        """
        sums: dict[str, list[Tensor]] = {}
        swaps: list[Drawing] = []
        for start in range(0, len(self), self.chunk):
            places = np.arange(start, min(start + self.chunk, len(self)))
            batch = self.batch(model, places)
            made = model.reconstruct(batch.source.input, batch.target.input)
            for name, values in self._structure(batch, made, places).items():
                sums.setdefault(name, []).append(values)
            if self.meters and start < len(self.stores[1]):
                face, _ = model.swap(batch.target.input)
                swaps.append(Drawing(face.float(), batch.target.mask))
        columns = {name: torch.cat(values).double().sum(0).cpu() for name, values in sums.items()}
        figures: dict[str, float] = {}
        for name, (square, weight, similarity, faces) in columns.items():
            mean = float(square / weight.clamp(min=1.0))
            figures[f"{PREFIX}psnr_{name}"] = -10 * float(np.log10(max(mean, 1e-10)))
            figures[f"{PREFIX}ssim_{name}"] = float(similarity / faces)
        if swaps:
            count = len(self.stores[1])
            whole = Drawing(
                torch.cat([drawn.face for drawn in swaps])[:count],
                torch.cat([drawn.mask for drawn in swaps])[:count],
            )
            for meter in self.meters:
                figures.update({PREFIX + name: value for name, value in meter(whole).items()})
        return {name: value for name, value in figures.items() if np.isfinite(value)}

    def _structure(
        self, batch: Batch, made: Reconstruction, places: Int[np.ndarray, " b"]
    ) -> dict[str, Float[Tensor, "_ 4"]]:
        """Squared error, its weight, similarity and a one, of every face that has not come before."""
        out: dict[str, Tensor] = {}
        pairs = (("source", batch.source, made.source), ("target", batch.target, made.target))
        for (name, sample, drawn), store in zip(pairs, self.stores, strict=True):
            new = int((places < len(store)).sum())
            if new:
                out[name] = structure(drawn.face[:new], sample.truth[:new], sample.mask[:new])
        return out


def structure(
    picture: Float[Tensor, "b 3 s s"], truth: Float[Tensor, "b 3 s s"], mask: Float[Tensor, "b 1 s s"]
) -> Float[Tensor, "b 4"]:
    """What PSNR and SSIM inside a mask are made of, for every picture.

    Returns:
        The sum of squared errors inside the mask, the mask's values (three channels), SSIM (Wang et al. 2004,
        equation 13, mean inside the mask of the places where the window fits), and one.
    """
    picture, truth = picture.float(), truth.float()
    square = ((picture - truth).square() * mask).sum((1, 2, 3))
    weight = 3 * mask.sum((1, 2, 3))
    luminance, rest = similarity_maps(picture, truth, _WINDOW)
    half = _WINDOW // 2
    inside = mask[..., half:-half, half:-half]
    similarity = (luminance * rest * inside).sum((1, 2, 3)) / (3 * inside.sum((1, 2, 3))).clamp(min=1.0)
    return torch.stack([square, weight, similarity, torch.ones_like(square)], dim=1)
