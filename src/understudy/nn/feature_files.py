"""Networks that see features, from files of the user's: VGG19 in torchvision's naming, or ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor

from understudy.errors import WeightsError
from understudy.nn.features import Features, from_state
from understudy.nn.vgg import read_vgg19


def read_network(path: Path, layers: int = 5) -> tuple[Features, str]:
    """The network of a file, frozen, and its name.

    Args:
        path: .safetensors or .pth.
        layers: how many layers of VGG19 to make.

    Raises:
        WeightsError: the file is neither network.
    """
    state = read_state(path)
    begins = {name.partition(".")[0] for name in state}
    if not begins & {"stages", "features"}:
        raise WeightsError(
            f"{path}: these are no weights of VGG19 in torchvision's naming, nor of our feature network"
        )
    try:
        if "stages" in begins:
            return from_state(state), path.stem
        return read_vgg19(state, layers), "vgg19"
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name from a user's file; nothing in it is run.

    Raises:
        WeightsError: it cannot be read as such.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as weights ({error})") from error
    except Exception as error:  # torch names no kinds: whatever a broken or foreign file makes it raise
        raise WeightsError(
            f"{path}: not a file of plain tensors, as torch.save writes them ({str(error).partition('.')[0]})"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: wanted tensors by name (a state_dict), got {type(state).__name__}")
    return state
