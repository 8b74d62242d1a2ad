"""What the loop can train: a task turns a step's number into named losses, figures and a preview."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from understudy.learning import (
    Batch,
    Drawing,
    KeepsIdentity,
    Outcome,
    PictureTerm,
    Reconstruction,
    Sample,
    StepTerm,
    SwapModel,
)
from understudy.nn.window import soft_mask
from understudy.training.batches import SwapFeed
from understudy.training.held_out import HeldOut
from understudy.training.preview import contact_sheet
from understudy.training.rundir import SwapperFiles, save_swapper

B = TypeVar("B")
"""What a task's step learns from."""
R = TypeVar("R")


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

    @property
    def critics(self) -> nn.Module | None:
        """What learns against the module, with an optimiser of its own; None for nothing."""
        ...

    def critic_losses(self) -> dict[str, Tensor]:
        """Named terms of the critics, of what ``losses`` saw last; their sum is made smaller."""
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
class Prepared(Protocol):
    """A task that has something to do once the optimiser knows every weight."""

    def prepare(self) -> None:
        """Called once, before the first step."""
        ...


@dataclass(frozen=True, eq=False)
class Weighted:
    """A built loss and its factor in the sum."""

    weight: float
    """Factor in the sum."""
    term: PictureTerm | StepTerm
    """A picture's term is taken for each person, a step's once."""
    of_pictures: bool
    """Whether it compares pictures."""


@dataclass(frozen=True, kw_only=True)
class SwapTaskSettings:
    """What a swap model is asked to get right."""

    masked: bool = True
    """Only the face counts: losses fall off to nothing outside the mask's softened edge."""
    mask_weight: float = 10.0
    """Weight of the mask's squared error; 0 for none."""
    freeze_identity: bool = True
    """While faces are not warped, what a model keeps of who somebody is (LIAE's inter_AB) stays as it is."""
    preview_faces: int = 6
    """Rows of a preview."""
    preview_held_out: int = 2
    """Rows of held-out faces below them, where faces are held out."""


class Adversaries(nn.ModuleDict):
    """Adversaries by name; one that is new in a phase of a run begins fresh, one that is gone is dropped."""

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:  # noqa: ANN401  # as torch has it
        """Take over what a checkpoint holds of the adversaries that are here."""
        saved = {name.partition(".")[0] for name in state_dict}
        for name, adversary in self.items():
            if name in saved:
                own = {
                    key.partition(".")[2]: value
                    for key, value in state_dict.items()
                    if key.partition(".")[0] == name
                }
                adversary.load_state_dict(own)


class SwapTask:
    """Two persons, each reconstructed through a decoder of their own.

    Losses as in DeepFaceLab (reference implementation of arXiv 2005.05535): terms of the picture inside the
    blurred mask, and the squared error of the mask; the sum over both persons.

    Args:
        model: built by a plugin of ``models``, and an ``nn.Module``.
        feed: where batches come from.
        losses: built terms by name.
        settings: how they are combined.
        name: the model plugin's name, for the swapper.
        model_settings: its settings as plain data, for the swapper.
        held_out: faces that no step sees, on which figures are taken; None: on faces that steps see.
    """

    def __init__(
        self,
        model: SwapModel,
        feed: SwapFeed,
        losses: Mapping[str, Weighted],
        settings: SwapTaskSettings,
        *,
        name: str,
        model_settings: Mapping[str, Any],
        held_out: HeldOut | None = None,
    ) -> None:
        assert isinstance(model, nn.Module), "a swap model is an nn.Module"
        self.model = cast("SwapModel", model)
        self.module: nn.Module = model
        self.feed = feed
        self.pictures = {name: loss for name, loss in losses.items() if loss.of_pictures}
        self.steps = {name: loss for name, loss in losses.items() if not loss.of_pictures}
        adversaries = {
            name: loss.term
            for name, loss in self.steps.items()
            if isinstance(loss.term, nn.Module) and hasattr(loss.term, "critic")
        }
        self._critics = Adversaries(adversaries) if adversaries else None
        self._outcome: Outcome | None = None
        self.settings = settings
        self.name = name
        self.model_settings = dict(model_settings)
        self.held_out = held_out
        if isinstance(model, KeepsIdentity):
            model.freeze_identity(False)  # an earlier phase may have frozen it; the optimiser is to know it

    def prepare(self) -> None:
        """Freezes what the model keeps of identity where nothing is warped."""
        if isinstance(self.model, KeepsIdentity):
            self.model.freeze_identity(
                self.settings.freeze_identity and self.feed.augmentation.warp == "none"
            )

    def batch(self, step: int) -> Batch:
        """Both persons' faces of a step."""
        return self.feed.batch(step)

    def batch_share(self, step: int, rank: int, world: int) -> Batch:
        """The ``rank``-th of ``world`` equal slices of ``batch(step)``, without the others."""
        return self.feed.batch(step, rank=rank, world=world)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every picture's term for every person, as ``dssim_source``, and every step's term."""
        made = self.model.reconstruct(batch.source.input, batch.target.input)
        made = dataclasses.replace(made, source=_wide(made.source), target=_wide(made.target))
        out: dict[str, Tensor] = {}
        with torch.autocast(made.source.face.device.type, enabled=False):
            self._add_pictures(out, "source", made.source, batch.source)
            self._add_pictures(out, "target", made.target, batch.target)
        self._outcome = Outcome(batch=batch, made=made)
        if self._critics:
            self._critics.requires_grad_(False)
        for name, loss in self.steps.items():
            out[name] = loss.weight * cast("StepTerm", loss.term)(self._outcome)
        return out

    def _add_pictures(self, out: dict[str, Tensor], person: str, drawn: Drawing, wanted: Sample) -> None:
        face, truth = drawn.face, wanted.truth
        if self.settings.masked:
            soft = soft_mask(wanted.mask)
            face, truth = face * soft, truth * soft
        for name, loss in self.pictures.items():
            out[f"{name}_{person}"] = loss.weight * cast("PictureTerm", loss.term)(face, truth)
        if self.settings.mask_weight:
            out[f"mask_{person}"] = self.settings.mask_weight * nn.functional.mse_loss(
                drawn.mask, wanted.mask
            )

    @property
    def critics(self) -> nn.Module | None:
        """Every adversary among the losses, by name."""
        return self._critics

    def pulse(self) -> float:
        """Contrast of what was drawn for the target last, as a share of the contrast that it should have."""
        assert self._outcome is not None, "losses come first"
        drawn, wanted = self._outcome.made.target.face, self._outcome.batch.target.truth
        contrast = drawn.detach().std((1, 2, 3)) / wanted.std((1, 2, 3)).clamp(min=1e-6)
        return float(contrast.mean())

    def critic_losses(self) -> dict[str, Tensor]:
        """What each adversary learns from, of the outcome that ``losses`` saw last."""
        assert self._critics is not None, "no loss has a critic"
        assert self._outcome is not None, "losses come first"
        self._critics.requires_grad_(True)
        seen = _detached(self._outcome)
        return {f"critic_{name}": cast("Any", critic).critic(seen) for name, critic in self._critics.items()}

    def figures(self) -> dict[str, float]:
        """What ``held_out`` measures; without it the PSNR of training faces inside their mask, decibels."""
        held_out = self.held_out
        if held_out is not None:
            return self._quietly(lambda: held_out.figures(self.model))
        batch = self.feed.plain(8)
        made = self._quietly(lambda: self.model.reconstruct(batch.source.input, batch.target.input))
        return {
            "psnr_source": psnr(made.source.face, batch.source.truth, batch.source.mask),
            "psnr_target": psnr(made.target.face, batch.target.truth, batch.target.mask),
        }

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """Each person and their reconstruction, and the swap; then some held-out faces, marked as such."""
        parts = [("", self.feed.plain(self.settings.preview_faces))]
        if self.held_out is not None and self.settings.preview_held_out:
            spread = np.linspace(0, len(self.held_out) - 1, self.settings.preview_held_out).round()
            parts.append(("held out", self.held_out.batch(self.model, spread.astype(np.int64))))
        columns: dict[str, list[Tensor]] = {}
        for _, batch in parts:
            for heading, pictures in self._preview_columns(batch).items():
                columns.setdefault(heading, []).append(pictures)
        labels = [label for label, batch in parts for _ in range(len(batch.source.truth))]
        return contact_sheet(
            {heading: torch.cat(pictures) for heading, pictures in columns.items()},
            labels=labels if any(labels) else (),
        )

    def _preview_columns(self, batch: Batch) -> dict[str, Tensor]:
        source, target = batch.source.truth, batch.target.truth
        made = self._quietly(lambda: self.model.reconstruct(batch.source.input, batch.target.input))
        swapped, mask = self._quietly(lambda: self.model.swap(batch.target.input))
        return {
            "source": source,
            "again": made.source.face,
            "target": target,
            "again ": made.target.face,
            "swap": swapped,
            "in place": torch.lerp(target, swapped.float(), mask.float()),
        }

    def _quietly(self, call: Callable[[], R]) -> R:
        self.module.eval()
        try:
            with torch.no_grad():
                return call()
        finally:
            self.module.train()

    def close(self) -> None:
        """Nothing more will be asked for: the feed's thread ends."""
        self.feed.close()

    def deliver(self, folder: Path, step: int) -> None:
        """The swapper: weights and settings."""
        files = SwapperFiles(
            model=self.name,
            settings=self.model_settings,
            weights=dict(self.module.state_dict()),
            step=step,
        )
        save_swapper(folder, files)


def _wide(drawn: Drawing) -> Drawing:
    """In single precision, in which losses are taken."""
    return Drawing(drawn.face.float(), drawn.mask.float())


def _detached(outcome: Outcome) -> Outcome:
    """The same pictures and codes, out of reach of the model's gradients."""
    made = outcome.made
    return Outcome(
        batch=outcome.batch,
        made=Reconstruction(
            source=Drawing(made.source.face.detach(), made.source.mask.detach()),
            target=Drawing(made.target.face.detach(), made.target.mask.detach()),
            codes=(made.codes[0].detach(), made.codes[1].detach()),
            draw_swap=made.draw_swap,
        ),
    )


def psnr(
    picture: Float[Tensor, "b 3 s s"], truth: Float[Tensor, "b 3 s s"], mask: Float[Tensor, "b 1 s s"]
) -> float:
    """Peak signal-to-noise ratio where the mask is, decibels; the mean square is over all faces."""
    square = ((picture.float() - truth) ** 2 * mask).sum() / (3 * mask.sum()).clamp(min=1.0)
    return float(-10 * torch.log10(square.clamp(min=1e-10)))
