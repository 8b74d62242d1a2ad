"""What every pipeline needs first: the device, the weight files, the networks that find faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import torch

from understudy.contracts import Context, Detector, Embedder, Landmarker
from understudy.detectors import DetectorSettings
from understudy.embedders import EmbedderSettings
from understudy.errors import ConfigError
from understudy.events import Event
from understudy.landmarkers import LandmarkerSettings
from understudy.registry import Plugin
from understudy.weights import WeightStore


@dataclass(frozen=True, kw_only=True, eq=False)
class Finders:
    """The built networks of extraction."""

    detector: Detector
    """Finds faces in a frame."""
    landmarker: Landmarker
    """Finds landmarks in regions."""
    embedder: Embedder
    """Describes who a face is."""


def one_thread() -> None:
    """One thread of computation: decoder and encoder use the other cores, and starve beside more."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:1`` as a device that is there.

    Raises:
        ConfigError: the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: wanted auto, cpu, cuda or cuda:N, got {name!r}") from None
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        count = torch.cuda.device_count()
        raise ConfigError(
            f"device: {name!r} was wanted and torch sees {count} CUDA devices; see understudy doctor"
        )
    return device


def make_context(device: str | torch.device) -> Context:
    """A context without given plugins."""
    chosen = choose_device(device) if isinstance(device, str) else device
    return Context(device=chosen, weights=WeightStore())


def missing_weights(plugins: Iterable[Plugin]) -> list[str]:
    """Declared names of the weight files that these plugins need and this machine lacks."""
    store = WeightStore()
    names = dict.fromkeys(name for plugin in plugins for name in plugin.weights)
    return [name for name in names if not store.has(name)]


def fetch_weights(plugins: Iterable[Plugin]) -> Iterator[Event]:
    """Fetches what is missing; nothing happens when nothing is."""
    if missing := missing_weights(plugins):
        yield from WeightStore().fetch(missing)


def build_finders(
    detector: DetectorSettings, landmarker: LandmarkerSettings, embedder: EmbedderSettings, context: Context
) -> Finders:
    """Builds the networks of extraction.

    Raises:
        WeightsError: a weight file is missing; the message says how to get it.
    """
    return Finders(
        detector=detector.build(context),
        landmarker=landmarker.build(context),
        embedder=embedder.build(context),
    )
