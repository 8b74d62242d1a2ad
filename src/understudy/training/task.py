"""What the loop can train: a task turns a step's number into named losses, figures and a preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from understudy.contracts import Batch, SwapModel
from understudy.nn.window import gaussian_blur
from understudy.training.batches import SwapFeed
from understudy.training.preview import contact_sheet
from understudy.training.rundir import SwapperFiles, save_swapper

B = TypeVar("B")
"""What a task's step learns from."""


@runtime_checkable
class Task(Protocol[B]):
    """What the loop drives. Everything random must follow from the step and from torch's global generator."""

    module: nn.Module
    """What learns; its ``state_dict`` is what a checkpoint keeps."""

    def batch(self, step: int) -> B:
        """What the step learns from, on the device."""
        ...

    def losses(self, batch: B) -> dict[str, Tensor]:
        """Named terms, weighted already; their sum is made smaller."""
        ...

    def figures(self) -> dict[str, float]:
        """Figures of quality, under the weights that the module has now; may be empty."""
        ...

    def preview(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """A picture for a person, under the weights that the module has now; None for none."""
        ...

    def deliver(self, folder: Path, step: int) -> None:
        """Write what the run is for, with the weights that the module has now."""
        ...


@runtime_checkable
class LossTerm(Protocol):
    """A loss plugin, as ``losses.Loss`` is."""

    @property
    def weight(self) -> float:
        """Factor in the sum."""
        ...

    def __call__(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """The unweighted term."""
        ...


@dataclass(frozen=True, kw_only=True)
class SwapTaskSettings:
    """What a swap model is asked to get right."""

    masked: bool = True
    """Only the face counts: losses fall off to nothing outside the mask's softened edge."""
    mask_weight: float = 10.0
    """Weight of the mask's squared error; 0 for none."""
    preview_faces: int = 6
    """Rows of a preview."""


class SwapTask:
    """Two persons, each reconstructed through a decoder of their own.

    Losses as in DeepFaceLab (reference implementation of arXiv 2005.05535): terms of the picture inside the
    blurred mask, and the squared error of the mask; the sum over both persons.

    Args:
        model: built by a plugin of ``models``, and an ``nn.Module``.
        feed: where batches come from.
        losses: terms of the picture by name.
        settings: how they are combined.
        name: the model plugin's name, for the swapper.
        model_settings: its settings as plain data, for the swapper.
    """

    def __init__(
        self,
        model: SwapModel,
        feed: SwapFeed,
        losses: Mapping[str, LossTerm],
        settings: SwapTaskSettings,
        *,
        name: str,
        model_settings: Mapping[str, Any],
    ) -> None:
        assert isinstance(model, nn.Module), "a swap model is an nn.Module"
        self.model = cast("SwapModel", model)
        self.module: nn.Module = model
        self.feed = feed
        self.terms = dict(losses)
        self.settings = settings
        self.name = name
        self.model_settings = dict(model_settings)

    def batch(self, step: int) -> Batch:
        """Both persons' faces of a step."""
        return self.feed.batch(step)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every term for every person, as ``dssim_source``."""
        face_s, mask_s, face_t, mask_t = self.model.reconstruct(batch.source_input, batch.target_input)
        out: dict[str, Tensor] = {}
        with torch.autocast(face_s.device.type, enabled=False):
            self._add(out, "source", face_s.float(), mask_s.float(), batch.source, batch.source_mask)
            self._add(out, "target", face_t.float(), mask_t.float(), batch.target, batch.target_mask)
        return out

    def _add(
        self, out: dict[str, Tensor], person: str, face: Tensor, mask: Tensor, truth: Tensor, where: Tensor
    ) -> None:
        if self.settings.masked:
            soft = soft_mask(where)
            face, truth = face * soft, truth * soft
        for name, term in self.terms.items():
            out[f"{name}_{person}"] = term.weight * term(face, truth)
        if self.settings.mask_weight:
            out[f"mask_{person}"] = self.settings.mask_weight * nn.functional.mse_loss(mask, where)

    def figures(self) -> dict[str, float]:
        """Peak signal-to-noise ratio of unwarped faces inside the mask, decibels."""
        batch = self.feed.plain(8)
        face_s, _, face_t, _ = self._quietly(
            lambda: self.model.reconstruct(batch.source_input, batch.target_input)
        )
        return {
            "psnr_source": psnr(face_s, batch.source, batch.source_mask),
            "psnr_target": psnr(face_t, batch.target, batch.target_mask),
        }

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """Each person and their reconstruction, and the swap."""
        batch = self.feed.plain(self.settings.preview_faces)
        face_s, _, face_t, _ = self._quietly(
            lambda: self.model.reconstruct(batch.source_input, batch.target_input)
        )
        swapped, mask = self._quietly(lambda: self.model.swap(batch.target_input))
        pasted = torch.lerp(batch.target, swapped.float(), mask.float())
        return contact_sheet(
            {
                "source": batch.source,
                "again": face_s,
                "target": batch.target,
                "again ": face_t,
                "swap": swapped,
                "in place": pasted,
            }
        )

    def _quietly(self, call: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        self.module.eval()
        try:
            with torch.no_grad():
                return call()
        finally:
            self.module.train()

    def deliver(self, folder: Path, step: int) -> None:
        """The swapper: weights and settings."""
        files = SwapperFiles(
            model=self.name,
            settings=self.model_settings,
            weights=dict(self.module.state_dict()),
            step=step,
        )
        save_swapper(folder, files)


def soft_mask(mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """1 inside the mask, falling to 0 just outside: blurred by 1/32 of the side, doubled, cut at 1."""
    return gaussian_blur(mask, float(max(1, mask.shape[-1] // 32))).clamp(0, 0.5) * 2


def psnr(
    picture: Float[Tensor, "b 3 s s"], truth: Float[Tensor, "b 3 s s"], mask: Float[Tensor, "b 1 s s"]
) -> float:
    """Peak signal-to-noise ratio where the mask is, decibels; the mean square is over all faces."""
    square = ((picture.float() - truth) ** 2 * mask).sum() / (3 * mask.sum()).clamp(min=1.0)
    return float(-10 * torch.log10(square.clamp(min=1e-10)))
