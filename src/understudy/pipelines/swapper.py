"""The one place where a swap happens: crops of the target in, the source's face and its mask out.

Merge, the training preview, a studio and the metrics are given a ``Swapper`` and call the same lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from understudy import config
from understudy.contracts import Alignment, Context, CropMode
from understudy.errors import CheckpointError, ConfigError, PluginError, ShapeError
from understudy.image.geometry import align
from understudy.learning import HasCode, MasksTarget, SwapModel
from understudy.models import MODELS, ModelSettings
from understudy.provenance.rights import records_of_model
from understudy.provenance.standing import require_not_withdrawn
from understudy.training.process import resolve_precision
from understudy.training.rundir import load_swapper_files


class Swapper:
    """A trained swapper on a device.

    Args:
        model: the built network, with its weights.
        settings: the model's settings; they say how much of the head a crop shows.
        step: steps it was trained.
    """

    def __init__(self, model: SwapModel, settings: ModelSettings, *, step: int = 0) -> None:
        assert isinstance(model, nn.Module), "a swap model is an nn.Module"
        self.model = cast("SwapModel", model)
        self.settings = settings
        self.step = step
        model.eval()
        self.device = next(model.parameters()).device
        self._bf16 = resolve_precision("auto", self.device.type) == "bf16"

    @classmethod
    def load(cls, folder: Path, context: Context) -> Swapper:
        """Loads the ``swapper`` folder of a run, or its weight file.

        Raises:
            CheckpointError: missing, altered, or of a model that this version does not have.
            ConsentError: a consent record that it was trained under was withdrawn or has ended.
        """
        files = load_swapper_files(folder)
        require_not_withdrawn(records_of_model(weights_of(folder)), folder)
        try:
            settings = config.merge(MODELS[files.model](), settings_without_name(files.settings))
        except (ConfigError, PluginError) as error:
            raise CheckpointError(
                f"{folder}: a swapper of a model that cannot be built here ({error})"
            ) from None
        model = settings.build(context)
        assert isinstance(model, nn.Module)
        try:
            model.load_state_dict(dict(files.weights))
        except RuntimeError as error:
            raise CheckpointError(
                f"{folder}: weights do not fit the model {files.model!r}: {error}"
            ) from None
        model.to(context.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # its stubs lack this
        return cls(cast("SwapModel", model), settings, step=files.step)

    @property
    def resolution(self) -> int:
        """Side of the crops it takes, pixels."""
        return self.model.resolution

    @property
    def output_resolution(self) -> int:
        """Side of the crops it gives, pixels."""
        return self.model.output_resolution

    @property
    def mode(self) -> CropMode:
        """How much of the head its crops show."""
        return self.settings.crop

    def alignment(self, points: Float[np.ndarray, "n d"]) -> Alignment:
        """The alignment in its crop mode of a face with these landmarks in frame pixels."""
        return align(points, self.settings.crop)

    def crop_matrix(self, points: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "2 3"]:
        """Frame pixels to pixels of the crop that it takes."""
        return self.alignment(points).crop_matrix(self.resolution, self.settings.coverage)

    def __call__(
        self, crops: Float[Tensor, "b 3 s s"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Swaps faces.

        Args:
            crops: faces of the target, RGB in [0, 1], framed by ``crop_matrix``; on any device.

        Returns:
            The source's faces with the target's expression, and their masks, both float32 in [0, 1] on the
            swapper's device.
        """
        inputs = self._checked(crops)
        with self._computing():
            face, mask = self.model.swap(inputs)
        return face.float().clamp(0, 1), mask.float().clamp(0, 1)

    def code(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b n"]:
        """The few numbers a face from which its swap is drawn, float32; averages of them can be drawn too.

        Args:
            crops: as for a swap.

        Raises:
            ConfigError: the model has none.
        """
        model, inputs = self.require_code(), self._checked(crops)
        with self._computing():
            return model.code(inputs).float()

    def draw(self, codes: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Faces and masks from codes: of ``code(crops)`` the very swaps of ``crops``.

        Raises:
            ConfigError: the model has no codes.
        """
        model = self.require_code()
        with self._computing():
            face, mask = model.draw(codes.to(self.device))
        return face.float().clamp(0, 1), mask.float().clamp(0, 1)

    def target_masks(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1 r r"]:
        """Where the target's own faces are, as the network draws it with them; float32 in [0, 1].

        Args:
            crops: as for a swap.

        Raises:
            ConfigError: the model does not say so.
        """
        model, inputs = self.require_target_masks(), self._checked(crops)
        with self._computing():
            return model.target_mask(inputs).float().clamp(0, 1)

    def require_code(self) -> HasCode:
        """The model, if its swap is drawn from a code alone.

        Raises:
            ConfigError: it is not.
        """
        if isinstance(self.model, HasCode):
            return self.model
        raise ConfigError(
            f"temporal.code: wanted 0 with a swapper of the model {self.settings.name!r}, whose faces are "
            "not drawn from a code alone; nothing of it can be averaged"
        )

    def require_target_masks(self) -> MasksTarget:
        """The model, if it says where the target's own face is.

        Raises:
            ConfigError: it does not.
        """
        if isinstance(self.model, MasksTarget):
            return self.model
        raise ConfigError(
            f"mask.source: a swapper of the model {self.settings.name!r} does not say where the target's "
            "own face is; choose hull, learned, product or union"
        )

    def _checked(self, crops: Tensor) -> Tensor:
        """Crops as the network wants them."""
        if crops.ndim != 4 or crops.shape[1:] != (3, self.resolution, self.resolution):
            raise ShapeError("crops", f"(B, 3, {self.resolution}, {self.resolution})", tuple(crops.shape))
        return crops.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)

    @contextlib.contextmanager
    def _computing(self) -> Generator[None]:
        """Without gradients, in the device's precision."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            yield


def weights_of(folder: Path) -> Path:
    """The weight file of a ``swapper`` folder, or the file itself."""
    return folder / "weights.safetensors" if folder.is_dir() else folder


def settings_without_name(settings: Any) -> dict[str, Any]:  # noqa: ANN401  # plain data as TOML or JSON gives it
    """A plugin's settings without the entry that names the plugin."""
    return {key: value for key, value in dict(settings).items() if key != "name"}
