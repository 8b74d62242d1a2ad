"""The task of an enhancer: to draw a face as it was before it was made small and bad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from understudy.errors import FaceSetError
from understudy.nn.similarity import dissimilarity
from understudy.training.degrade import Degradation, degrade
from understudy.training.held_out import PREFIX
from understudy.training.preview import contact_sheet
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.sampling import faces_of_step

FIGURE = "heldout/gain"
"""The figure that says how good the network is: decibels above cubic interpolation."""
MOST_HELD_OUT = 48
"""Faces that a figure is taken of, spread over all that are held out."""
_WINDOW = 11
_AT_ONCE = 4
_TINT = 0.15
"""Largest change of a colour channel: a network that has seen few skins shall not rely on them."""


class EnhanceFeed:
    """Patches of faces for an enhancer, as they are and as it is shown them.

    Args:
        faces: RGB, as sharp as they are to become.
        factor: how many times smaller the network's pictures are.
        patch: side of a patch, pixels of the small picture.
        batch: patches a step.
        degradation: how the small picture comes about.
        device: where batches are wanted.
        seed: of the run.
    """

    def __init__(
        self,
        faces: UInt8[np.ndarray, "n 3 s s"],
        *,
        factor: int,
        patch: int,
        batch: int,
        degradation: Degradation,
        device: torch.device,
        seed: int,
    ) -> None:
        if not len(faces):
            raise FaceSetError("there is no face to learn from; extract some, or undo some rejections")
        self.faces, self.factor, self.batch_size = faces, factor, batch
        self.side = min(patch, faces.shape[-1] // factor) * factor
        self.degradation, self.device, self.seed = degradation, device, seed

    def batch(self, step: int) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 3 t t"]]:
        """What the network is shown in a step, from 0, and what it should have drawn."""
        random = np.random.default_rng([self.seed, 5, step])
        chosen = faces_of_step(self.seed, 0, step, len(self.faces), self.batch_size)
        last = self.faces.shape[-1] - self.side
        places = random.integers(0, last + 1, (len(chosen), 2))
        patches = np.stack(
            [
                self.faces[number][:, y : y + self.side, x : x + self.side]
                for number, (x, y) in zip(chosen, places, strict=True)
            ]
        )
        truth = torch.from_numpy(patches).to(self.device).float() / 255
        mirrored = torch.from_numpy(random.random(len(chosen)) < 0.5).to(self.device)
        truth = torch.where(mirrored.view(-1, 1, 1, 1), truth.flip(-1), truth)
        gain = 1.0 + _TINT * random.uniform(-1.0, 1.0, (len(chosen), 3, 1, 1))
        truth = (truth * torch.from_numpy(gain).to(truth)).clamp(0.0, 1.0)
        return degrade(truth, self.factor, random, self.degradation), truth

    def whole(
        self, faces: UInt8[np.ndarray, "n 3 s s"], count: int
    ) -> tuple[Float[Tensor, "b 3 t t"], Float[Tensor, "b 3 u u"]]:
        """At most ``count`` whole faces, evenly spread, and always equally bad."""
        spread = np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(np.int64)
        side = faces.shape[-1] // self.factor * self.factor
        truth = torch.from_numpy(faces[spread][..., :side, :side]).to(self.device).float() / 255
        random = np.random.default_rng([self.seed, 6])
        small = [degrade(row, self.factor, random, self.degradation) for row in truth.split(1)]
        return torch.cat(small), truth


class EnhanceTask:
    """A network that learns to draw faces larger and sharper; implements ``task.Task``.

    The loss is the mean absolute error (Lim et al. 2017, section 4.2) and a little structural dissimilarity.

    Args:
        network: small pictures to large ones.
        feed: where batches come from.
        held_out: faces that are never learned from; may be none.
        name: the enhancer plugin's name, for the file of weights.
        settings: its settings as plain data, for the file of weights.
        structure: weight of the structural dissimilarity.
        preview_faces: rows of a preview.
    """

    def __init__(
        self,
        network: nn.Module,
        feed: EnhanceFeed,
        held_out: UInt8[np.ndarray, "n 3 s s"],
        *,
        name: str,
        settings: Mapping[str, Any],
        structure: float = 0.1,
        preview_faces: int = 5,
    ) -> None:
        self.module = network
        self.feed = feed
        self.held_out = held_out
        self.name = name
        self.settings = dict(settings)
        self.structure = structure
        self.preview_faces = preview_faces

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Patches of a step."""
        return self.feed.batch(step)

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Absolute error and structure."""
        small, truth = batch
        drawn = self.module(small)
        with torch.autocast(drawn.device.type, enabled=False):
            drawn = drawn.float()
            terms = {"l1": (drawn - truth).abs().mean()}
            if self.structure:
                window = min(_WINDOW, truth.shape[-1])
                terms["dssim"] = self.structure * dissimilarity(drawn, truth, window)
        return terms

    @property
    def critics(self) -> None:
        """Nothing learns against it."""
        return

    def critic_losses(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def figures(self) -> dict[str, float]:
        """PSNR and SSIM of held-out faces, of the network and of cubic interpolation, and what is gained."""
        if not len(self.held_out):
            return {}
        small, truth = self.feed.whole(self.held_out, MOST_HELD_OUT)
        window = min(_WINDOW, truth.shape[-1])
        out: dict[str, float] = {}
        for name, drawn in (("", self.predict(small)), ("_cubic", interpolated(small, truth.shape[-1]))):
            errors = (drawn - truth).square().flatten(1).mean(1).clamp(min=1e-10)
            out[f"{PREFIX}psnr{name}"] = float((-10.0 * errors.log10()).mean())
            out[f"{PREFIX}ssim{name}"] = 1.0 - 2.0 * float(dissimilarity(drawn, truth, window))
        return {FIGURE: out[f"{PREFIX}psnr"] - out[f"{PREFIX}psnr_cubic"], **out}

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """Faces as they are shown, interpolated, drawn by the network, and as they were."""
        faces = self.held_out if len(self.held_out) else self.feed.faces
        small, truth = self.feed.whole(faces, self.preview_faces)
        side = truth.shape[-1]
        return contact_sheet(
            {
                "shown": F.interpolate(small, (side, side), mode="nearest"),
                "cubic": interpolated(small, side),
                "network": self.predict(small),
                "truth": truth,
            }
        )

    def predict(self, pictures: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 t t"]:
        """Drawn under the weights that the network has now, in [0, 1]."""
        self.module.eval()
        try:
            with torch.no_grad():
                rows = [self.module(part).float() for part in pictures.split(_AT_ONCE)]
        finally:
            self.module.train()
        return torch.cat(rows).clamp(0.0, 1.0)

    def deliver(self, folder: Path, step: int) -> None:
        """The file of weights that the enhancer plugin loads."""
        weights = dict(self.module.state_dict())
        save_swapper(
            folder, SwapperFiles(model=self.name, settings=self.settings, weights=weights, step=step)
        )


def interpolated(pictures: Float[Tensor, "b 3 s s"], side: int) -> Float[Tensor, "b 3 t t"]:
    """What there is without a network."""
    return F.interpolate(pictures, (side, side), mode="bicubic", antialias=True).clamp(0.0, 1.0)
