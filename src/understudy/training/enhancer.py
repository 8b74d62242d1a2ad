"""What the enhancers that a user trains have in common: settings, a file of weights, how they are asked.

The plugins themselves live in ``enhancers``; they inherit from ``TrainableEnhancer``.
"""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import understudy
from understudy import config, durable
from understudy.contracts import Context
from understudy.errors import CheckpointError, ConfigError, WeightsError
from understudy.training import rundir
from understudy.training.process import resolve_precision
from understudy.training.rundir import FORMAT, SwapperFiles, load_swapper_files
from understudy.training.tensors import write_tensors

ASSET = "enhancer.safetensors"
"""Our own network among the assets of the package."""


@dataclass(frozen=True, kw_only=True)
class TrainableEnhancer:
    """Settings of an enhancer that a user trains.

    What describes the network is for training one; a file says these things itself, and it is believed.
    """

    name: ClassVar[str]
    file: Path | None = None
    """Its weights: what understudy enhance train wrote, or its run. None: the network that comes with the
    package, trained on performers. In training: what a new run starts from."""
    factor: int = 4
    """How many times as large faces become, 2 or 4."""

    def __post_init__(self) -> None:
        if self.factor not in (2, 4):
            raise ConfigError(f"factor: wanted 2 or 4, got {self.factor}")

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network: RGB in [0, 1] to RGB so many times as large."""

    def load(self, context: Context, amount: float = 1.0) -> TrainedEnhancer:
        """The enhancer that the file holds.

        Args:
            context: where it runs.
            amount: see ``TrainedEnhancer``.

        Raises:
            WeightsError: no file was given and none comes with the package.
            CheckpointError: it is damaged, or of another enhancer.
        """
        file = weights_file(self.file)
        settings, files = self._read(file)
        network = settings.network()
        try:
            network.load_state_dict(dict(files.weights))
        except RuntimeError as error:
            raise CheckpointError(f"{file}: not weights that this version can use ({error})") from None
        return TrainedEnhancer(network.to(context.device), settings.factor, amount)

    def start(self, network: nn.Module) -> int:
        """Give a new network the weights of ``file``; steps that those were trained, 0 without a file.

        Raises:
            CheckpointError: the file is damaged, or its network is another one.
        """
        if self.file is None:
            return 0
        file = weights_file(self.file)
        _, files = self._read(file)
        try:
            network.load_state_dict(dict(files.weights))
        except RuntimeError as error:
            raise CheckpointError(
                f"{file}: weights of another network ({dict(files.settings)}); start with the same settings, "
                f"or without enhancer.file ({error})"
            ) from None
        return files.step

    def _read(self, file: Path) -> tuple[TrainableEnhancer, SwapperFiles]:
        """What a file says its network is, and its weights."""
        files = load_swapper_files(file)
        if files.model != self.name:
            raise CheckpointError(f"{file}: weights of {files.model!r}, wanted those of {self.name!r}")
        plain = {key: value for key, value in dict(files.settings).items() if key != "name"}
        try:
            return config.merge(type(self)(), plain), files
        except ConfigError as error:
            raise CheckpointError(f"{file}: not weights that this version can use ({error})") from None

    def described(self) -> dict[str, Any]:
        """What a file of weights says of its network: the settings without places on this machine."""
        return config.dump(dataclasses.replace(self, file=None))


class TrainedEnhancer:
    """Draws faces larger; see ``enhancers.Enlarge``.

    Args:
        network: on its device, with its weights.
        factor: how many times as large faces become.
        amount: share of what it adds to the interpolated face.
    """

    def __init__(self, network: nn.Module, factor: int, amount: float = 1.0) -> None:
        self.network = network.eval().requires_grad_(False)
        self.factor, self.amount = factor, amount
        self.device = next(network.parameters()).device
        self._bf16 = resolve_precision("auto", self.device.type) == "bf16"

    def __call__(self, faces: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """RGB in [0, 1] to the same faces so many times as large, in [0, 1]; no gradient."""
        pictures = faces.detach().to(self.device, torch.float32)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            drawn = self.network(pictures.contiguous(memory_format=torch.channels_last)).float()
        if self.amount < 1.0:
            size = [side * self.factor for side in pictures.shape[-2:]]
            plain = F.interpolate(pictures, size, mode="bicubic", antialias=True)
            drawn = torch.lerp(plain, drawn, self.amount)
        return drawn.clamp(0.0, 1.0).to(faces).contiguous()


def weights_file(place: Path | None) -> Path:
    """The file of weights of a run, of the folder in it, or the file itself; of None the package's own.

    Raises:
        WeightsError: the package has none.
    """
    if place is None:
        own = Path(str(resources.files("understudy") / "assets" / ASSET))
        if not own.is_file():
            raise WeightsError(
                "superres: no network comes with this installation; train one (understudy enhance train) and "
                "give its file"
            )
        return own
    return rundir.weights_file(place)


def write_enhancer(run: Path, file: Path) -> None:
    """Write what a run has learned into one small file, in half precision.

    Raises:
        CheckpointError: the run has delivered nothing yet, or is of something else.
        OutputError: no space, no permission.
    """
    files = load_swapper_files(weights_file(run))
    about = {
        "format": FORMAT,
        "model": files.model,
        "step": files.step,
        "understudy": understudy.__version__,
        "settings": dict(files.settings),
    }
    with durable.explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: weight.half() for name, weight in files.weights.items()}
    write_tensors(file, halves, {"swapper": json.dumps(about)})
