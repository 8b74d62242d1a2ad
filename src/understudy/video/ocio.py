"""OpenColorIO configurations: from the colour space of a file to the one that a view's curve is meant for.

The package ``opencolorio`` is optional. Transforms run on the processor in 32-bit floats, without 8- or
16-bit steps between; one that the configuration cannot invert exactly is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import ConfigError

BUILT_IN = "ocio://default"
"""A configuration that comes with the library (ACES)."""

SCENE_LINEAR = "scene_linear"
"""The role whose colour space is worked in."""

INVERTIBLE = 1e-3
"""Largest relative error that there and back may leave."""


@dataclass(frozen=True)
class OcioTransform:
    """A transform between two colour spaces of a configuration; an ``image.view.Transform``.

    Args:
        config: a file, or the name of a built-in configuration.
        space: the file's colour space, or a role.
        working: the space that the view's curve is meant for, or a role.
    """

    config: str
    space: str
    working: str = SCENE_LINEAR

    def forward(self, rgb: np.ndarray) -> np.ndarray:
        """From the file's samples."""
        return _applied(_processor(self.config, self.space, self.working), rgb)

    def backward(self, rgb: np.ndarray) -> np.ndarray:
        """To the file's samples."""
        return _applied(_processor(self.config, self.working, self.space), rgb)

    def check(self) -> None:
        """Find out before any work whether the transform is there and can be undone.

        Raises:
            ConfigError: OpenColorIO is not installed, the configuration or a space is not there, or what
                goes there does not come back.
        """
        steps = np.linspace(0.02, 0.9, 64, dtype=np.float32)
        sample = np.stack([steps, steps[::-1], np.roll(steps, 20)], axis=-1)[None]
        came = self.backward(self.forward(sample))
        error = float(np.abs(came / sample - 1.0).max())
        if not error <= INVERTIBLE:
            raise ConfigError(
                f"color_space: {self.space!r} to {self.working!r} and back is off by {error:.1%}; "
                "choose a colour space without a look or a display transform in it"
            )


def _applied(processor: Any, rgb: np.ndarray) -> np.ndarray:  # noqa: ANN401  # PyOpenColorIO has no types
    out = np.array(rgb, np.float32, order="C")
    processor.applyRGB(out)
    return out


@lru_cache(maxsize=16)
def _processor(config: str, source: str, target: str) -> Any:  # noqa: ANN401  # PyOpenColorIO has no types
    try:
        ocio: Any = import_module("PyOpenColorIO")  # has no types
    except ImportError as error:
        raise ConfigError(
            "ocio: colour configurations need OpenColorIO, which is not installed; install it with: "
            "pip install 'understudy[ocio]'"
        ) from error
    try:
        if "://" not in config and not Path(config).is_file():
            raise ConfigError(f"ocio: there is no file {config}; name a .ocio file or {BUILT_IN}")
        known = ocio.Config.CreateFromFile(config)
        for name in (source, target):
            if known.getColorSpace(name) is None:
                spaces = ", ".join(list(known.getColorSpaceNames())[:12])
                raise ConfigError(f"color_space: {config} has no {name!r}; it has {spaces}…")
        processor = known.getProcessor(source, target)
        return processor.getDefaultCPUProcessor()
    except ocio.Exception as error:
        raise ConfigError(f"ocio: {config}: {str(error).strip()}") from error
