"""What finds faces in a picture.

To add one: a new file here, named as the plugin is named, holding one ``DetectorSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from understudy.contracts import Context, Detector
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class DetectorSettings(Plugin):
    """Settings of a detector."""

    @abstractmethod
    def build(self, context: Context) -> Detector:
        """Make it: load its weights onto the context's device."""


DETECTORS: Registry[DetectorSettings] = Registry("detector", __name__)
DetectorSettings.registry = DETECTORS
