"""The task of the feature network: to see who a face is, what it does, where it is and what was done to it.

Four readings are learned from the network's stages at once, so that none of them may forget texture for
meaning or the reverse: the person (cross-entropy over the crowd), the eleven numbers of the expression, where
face and features are, and how much blur, noise and coarseness was added to the picture. The readings are
thrown away; the stages are what ``losses.perceptual`` and the perceptual distance compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from understudy.image.expression import mirrored
from understudy.nn.features import WIDTHS, FeatureNetwork
from understudy.training.augment import Augmentation, augment, draw, plain
from understudy.training.held_out import PREFIX
from understudy.training.preview import contact_sheet
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.sampling import faces_of_step
from understudy.training.store import FaceStore

FIGURE = f"{PREFIX}expression"
"""The figure by which a plateau is seen."""
DAMAGES = ("blur", "noise", "coarseness")
"""What is done to pictures, each in [0, 1]."""
_BLUR, _NOISE, _COARSE = 2.5, 0.12, 0.25
"""The most of each: standard deviation in pixels, of the range; smallest size kept."""
_EXPRESSIONS = 11
_SHOWN = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureBatch:
    """Pictures and all that is known of them."""

    picture: Float[Tensor, "b 3 s s"]
    """RGB in [0, 1], damaged."""
    person: Int[Tensor, " b"]
    """Number of the person in the crowd."""
    expression: Float[Tensor, "b 11"]
    """In standard deviations of the crowd."""
    parts: Float[Tensor, "b 2 s s"]
    """Where the face is, where eyes and mouth are."""
    damage: Float[Tensor, "b 3"]
    """How much of each of ``DAMAGES`` was added, in [0, 1]."""


class Readings(nn.Module):
    """The network with what is read off its stages.

    Args:
        persons: how many there are in the crowd.
    """

    def __init__(self, persons: int) -> None:
        super().__init__()
        self.features = FeatureNetwork()
        self.person = nn.Linear(WIDTHS[-1], persons)
        self.expression = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(),
            nn.Linear(32 * 36, _EXPRESSIONS),
        )  # fmt: skip
        self.parts = nn.ModuleList(nn.Conv2d(width, 2, 1) for width in WIDTHS[1:])
        self.damage = nn.ModuleList(nn.Linear(width, len(DAMAGES)) for width in WIDTHS)

    def forward(self, pictures: Float[Tensor, "b 3 s s"]) -> dict[str, list[Tensor]]:
        """What each reading says, stage by stage where there are several."""
        stages = self.features(pictures)
        means = [stage.mean((2, 3)) for stage in stages]
        return {
            "person": [self.person(means[-1])],
            "expression": [self.expression(stages[-1])],
            "parts": [read(stage) for read, stage in zip(self.parts, stages[1:], strict=True)],
            "damage": [read(mean) for read, mean in zip(self.damage, means, strict=True)],
        }


class FeatureTask:
    """Trains the feature network on a crowd; implements ``task.Task``.

    Args:
        crowd: the faces that are learned from, their persons numbered from 0.
        persons: number of each face's person.
        held_out: faces of other persons, for the figures.
        side: of the pictures, pixels.
        batch: faces a step.
        device: where it learns.
        seed: of the run.
    """

    def __init__(
        self,
        crowd: FaceStore,
        persons: Int[np.ndarray, " n"],
        held_out: FaceStore,
        *,
        side: int,
        batch: int,
        device: torch.device,
        seed: int,
    ) -> None:
        self.readings = Readings(int(persons.max()) + 1).to(device)
        self.module: nn.Module = self.readings
        self.crowd, self.persons, self.held_out = crowd, persons, held_out
        self.side, self.batch_size, self.device, self.seed = side, batch, device, seed
        self._middle = crowd.expressions.mean(0)
        self._spread = np.maximum(crowd.expressions.std(0), 1e-3)
        self._change = Augmentation(rotation=12.0, scale=0.15, shift=0.06, warp="none", color=0.1)

    def batch(self, step: int) -> FeatureBatch:
        """Faces of a step, turned, moved, mirrored, tinted and damaged."""
        indices = faces_of_step(self.seed, 0, step, len(self.crowd), self.batch_size)
        random = np.random.default_rng([self.seed, 5, step])
        draws = draw(random, self.batch_size, self._change, flip=0.5)
        rows = self.crowd.rows(indices, self.device)
        sample = augment(rows, draws, margin=self.crowd.margin, size=self.side, truth_size=self.side)
        seen = self.crowd.expressions[indices]
        wears = np.where(draws.mirrored[:, None], mirrored(seen), seen)
        amounts = random.random((self.batch_size, 3)) * (random.random((self.batch_size, 3)) < 0.5)
        return self._batch(sample.input, sample.mask, sample.features, wears, amounts, random, indices)

    def _batch(
        self,
        pictures: Float[Tensor, "b 3 s s"],
        masks: Float[Tensor, "b 1 s s"],
        features: Float[Tensor, "b 1 s s"],
        expressions: Float[np.ndarray, "b 11"],
        amounts: Float[np.ndarray, "b 3"],
        random: np.random.Generator,
        indices: Int[np.ndarray, " b"] | None = None,
    ) -> FeatureBatch:
        damage = torch.as_tensor(amounts.astype(np.float32), device=self.device)
        noise = random.standard_normal((len(pictures), 3, self.side, self.side), np.float32)
        scaled = np.clip((expressions - self._middle) / self._spread, -4, 4).astype(np.float32)
        persons = np.zeros(len(pictures), np.int64) if indices is None else self.persons[indices]
        return FeatureBatch(
            picture=damaged(pictures, damage, torch.as_tensor(noise, device=self.device)),
            person=torch.as_tensor(persons.astype(np.int64), device=self.device),
            expression=torch.as_tensor(scaled, device=self.device),
            parts=torch.cat([masks, features], 1),
            damage=damage,
        )

    def losses(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """One term a reading; those of several stages are averaged."""
        said = self.module(batch.picture)
        parts = [
            F.binary_cross_entropy_with_logits(at.float(), F.adaptive_avg_pool2d(batch.parts, at.shape[-1]))
            for at in said["parts"]
        ]
        damage = [F.mse_loss(at.float(), batch.damage) for at in said["damage"]]
        return {
            "person": 0.2 * F.cross_entropy(said["person"][0].float(), batch.person),
            "expression": F.mse_loss(said["expression"][0].float(), batch.expression),
            "parts": torch.stack(parts).mean(),
            "damage": 10.0 * torch.stack(damage).mean(),
        }

    @property
    def critics(self) -> None:
        """Nothing learns against it."""
        return

    def critic_losses(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def figures(self) -> dict[str, float]:
        """Pearson correlation of what is read and what is true, on persons never learned from."""
        batch = self._held_out()
        with torch.no_grad():
            said = self.module(batch.picture)
        expression = _correlation(said["expression"][0], batch.expression)
        damage = _correlation(torch.stack(said["damage"]).mean(0), batch.damage)
        return {FIGURE: float(expression.mean())} | {
            f"{PREFIX}{name}": float(value) for name, value in zip(DAMAGES, damage, strict=True)
        }

    def _held_out(self) -> FeatureBatch:
        count = min(_SHOWN, len(self.held_out))
        spread = np.linspace(0, len(self.held_out) - 1, count).round().astype(np.int64)
        rows = self.held_out.rows(spread, self.device)
        sample = plain(rows, margin=self.held_out.margin, size=self.side, truth_size=self.side)
        random = np.random.default_rng([self.seed, 6])
        amounts = random.random((count, 3))
        expressions = self.held_out.expressions[spread]
        return self._batch(sample.truth, sample.mask, sample.features, expressions, amounts, random)

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """Held-out faces, damaged, and the parts that the finest reading sees."""
        batch = self._held_out()
        with torch.no_grad():
            seen = torch.sigmoid(self.module(batch.picture)["parts"][0].float())
        wide = F.interpolate(seen, batch.picture.shape[-2:])
        shown = {
            "held out": batch.picture,
            "face": wide[:, :1].expand(-1, 3, -1, -1),
            "eyes, mouth": wide[:, 1:].expand(-1, 3, -1, -1),
        }
        return contact_sheet({name: pictures[:6] for name, pictures in shown.items()})

    def deliver(self, folder: Path, step: int) -> None:
        """The stages alone, as ``nn.features.read_features`` takes them."""
        weights = dict(self.readings.features.state_dict())
        save_swapper(folder, SwapperFiles(model="features", settings={}, weights=weights, step=step))


def damaged(
    pictures: Float[Tensor, "b 3 s s"], amounts: Float[Tensor, "b 3"], noise: Float[Tensor, "b 3 s s"]
) -> Float[Tensor, "b 3 s s"]:
    """Pictures made blurred, coarse and noisy, each by its own amounts.

    Args:
        pictures: RGB in [0, 1].
        amounts: of ``DAMAGES``, in [0, 1]; 0 leaves a picture as it is.
        noise: normal, standard deviation 1.
    """
    side = pictures.shape[-1]
    blur, grain, coarse = amounts.unbind(1)
    sigma = (blur * _BLUR).clamp(min=1e-3)[:, None]
    places = torch.arange(-7, 8, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    flat = F.pad(pictures.reshape(1, -1, side, side), (7, 7, 7, 7), mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=len(kernel))
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=len(kernel))
    out = flat.view_as(pictures)
    sizes = [max(8, round(side * (1 - float(amount) * (1 - _COARSE)))) for amount in coarse]
    out = torch.cat([_coarse(one, size) for one, size in zip(out.split(1), sizes, strict=True)])
    return (out + noise * (grain * _NOISE)[:, None, None, None]).clamp(0, 1)


def _coarse(picture: Float[Tensor, "1 3 s s"], size: int) -> Float[Tensor, "1 3 s s"]:
    side = picture.shape[-1]
    if size == side:
        return picture
    small = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
    return F.interpolate(small, (side, side), mode="bilinear")


def _correlation(first: Float[Tensor, "b k"], second: Float[Tensor, "b k"]) -> Float[Tensor, " k"]:
    a, b = (x.float() - x.float().mean(0) for x in (first, second))
    return (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt().clamp(min=1e-9)
