"""What the segmenters that a user trains have in common: settings, a file of weights, how they are asked.

The plugins themselves live in ``segmenters``; they inherit from ``TrainableSegmenter``.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from understudy import config
from understudy.contracts import Context, CropMode
from understudy.errors import CheckpointError, ConfigError, WeightsError
from understudy.training.process import resolve_precision
from understudy.training.rundir import load_swapper_files, weights_file

LEAST = 0.1
"""Probabilities below count as 0: a network's background is never quite empty."""


@dataclass(frozen=True, kw_only=True)
class TrainableSegmenter:
    """Settings of a segmenter that a user trains.

    What describes the network is for training one; a file says these things itself, and it is believed.
    """

    name: ClassVar[str]
    file: Path | None = None
    """Its weights: a run of understudy mask train, or the weights.safetensors in it. In training: what a new
    run starts from."""
    resolution: int = 256
    """Side of the pictures that the network sees, pixels."""
    crop: CropMode = "whole"
    """How much of the head they show."""

    def __post_init__(self) -> None:
        if self.resolution < self.step or self.resolution % self.step:
            raise ConfigError(
                f"resolution: {self.name} wants a multiple of {self.step}, got {self.resolution}"
            )

    @property
    @abstractmethod
    def step(self) -> int:
        """What the resolution must be a multiple of."""

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network: RGB in [0, 1] at the resolution to logits, ``(b, 1, r, r)``."""

    def build(self, context: Context) -> TrainedSegmenter:
        """Load the network from its file.

        Raises:
            WeightsError: no file was given.
            CheckpointError: it is damaged, or of another segmenter.
        """
        if self.file is None:
            raise WeightsError(
                f"{self.name}: wanted a file of weights, got none; train one (understudy mask train) and "
                "give its run"
            )
        return self.load(self.file, context)

    @classmethod
    def load(cls, place: Path, context: Context) -> TrainedSegmenter:
        """The segmenter that a file holds; see ``build``.

        Args:
            place: see ``weights_file``.
            context: where it runs.
        """
        file = weights_file(place)
        files = load_swapper_files(file)
        if files.model != cls.name:
            raise CheckpointError(f"{file}: weights of {files.model!r}, wanted those of {cls.name!r}")
        plain = {key: value for key, value in dict(files.settings).items() if key != "name"}
        try:
            settings = config.merge(cls(), plain)
            network = settings.network()
            network.load_state_dict(dict(files.weights))
        except (ConfigError, RuntimeError) as error:
            raise CheckpointError(f"{file}: not weights that this version can use ({error})") from None
        return TrainedSegmenter(network.to(context.device), settings)

    def start(self, network: nn.Module) -> int:
        """Give a new network the weights of ``file``; steps that those were trained, 0 without a file.

        Raises:
            CheckpointError: the file is damaged, or its network is another one.
        """
        if self.file is None:
            return 0
        file = weights_file(self.file)
        files = load_swapper_files(file)
        mine = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        theirs = {name: tuple(value.shape) for name, value in files.weights.items()}
        wrong = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        if files.model != self.name or wrong:
            shown = f"{wrong[0]} is {theirs.get(wrong[0])}, wanted {mine.get(wrong[0])}" if wrong else ""
            raise CheckpointError(
                f"{file}: weights of another network ({files.model}, {dict(files.settings)}; {shown}); start "
                "with the same segmenter and settings, or without segmenter.file"
            )
        network.load_state_dict(dict(files.weights))
        return files.step

    def described(self) -> dict[str, Any]:
        """What a file of weights says of its network: the settings without places on this machine."""
        defaults = type(self)()
        local = {
            item.name: getattr(defaults, item.name)
            for item in dataclasses.fields(self)
            if isinstance(getattr(self, item.name), Path)
        }
        return config.dump(dataclasses.replace(self, **local))


class TrainedSegmenter:
    """Probability of the face, nothing before it; see ``contracts.Segmenter``.

    Args:
        network: on its device, with its weights.
        settings: what the network is.
    """

    def __init__(self, network: nn.Module, settings: TrainableSegmenter) -> None:
        self.network = network.eval()
        self.settings = settings
        self.device = next(network.parameters()).device
        self._bf16 = resolve_precision("auto", self.device.type) == "bf16"

    def __call__(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1 s s"]:
        """Probability that a pixel shows the face; RGB in [0, 1] framed as ``settings.crop``, no gradient."""
        side, own = crops.shape[-1], self.settings.resolution
        pictures = _resize(crops.detach().to(self.device, torch.float32), own)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self.network(pictures.contiguous(memory_format=torch.channels_last))
        masks = torch.sigmoid(logits.float())
        return _resize(masks * (masks >= LEAST), side).clamp(0, 1).to(crops).clone()


def _resize(pictures: Tensor, side: int) -> Tensor:
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
