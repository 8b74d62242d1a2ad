"""The numbers that a step is computed in: bfloat16, float16 with scaled losses, or single precision.

Weights, their memory in the optimiser and the losses are single precision in all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Arithmetic:
    """How products are taken, and how gradients are kept from vanishing in float16.

    float16 ends at 6e-8: losses are multiplied by a scale that grows while all gradients are numbers and is
    halved when one is not; such a step is left out (Micikevicius et al. 2018, "Mixed precision training",
    section 3.2). Fused Adam leaves it out by itself; before the step of another optimiser the processor waits
    for the GPU to know.

    Args:
        name: ``bf16``, ``fp16`` or ``fp32``, see ``process.resolve_precision``.
        device: where the step is computed.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Convolutions and products in the block are taken in fewer bits, where that was chosen."""
        if self.name in _TYPES:
            return torch.autocast(self.device.type, dtype=_TYPES[self.name])
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, scaled where they need it."""
        torch.autograd.backward(self.scaler.scale(loss) if self.scaler else loss)

    def end_step(self) -> None:
        """Adapt the scale to what the step's gradients were; after the optimisers."""
        if self.scaler:
            self.scaler.update()

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint; empty where nothing is scaled."""
        return self.scaler.state_dict() if self.scaler else {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` gave; a run that was not scaled before begins with the usual scale."""
        if self.scaler and state:
            self.scaler.load_state_dict(dict(state))


def settle_products(device: torch.device, *, tf32: bool) -> None:
    """Say for the whole process how a GPU multiplies single precision.

    Args:
        device: nothing is done for a processor.
        tf32: round factors to TensorFloat-32 (10 bits of mantissa), far faster on Ampere and newer.
    """
    if device.type != "cuda":
        return
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = (
        True  # a run's shapes stay the same: the fastest algorithm is worth finding
    )
