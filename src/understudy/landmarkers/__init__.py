"""What finds the landmarks of a face in a region.

To add one: a new file here, named as the plugin is named, holding one ``LandmarkerSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from understudy.contracts import Context, Landmarker
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class LandmarkerSettings(Plugin):
    """Settings of a landmarker."""

    @abstractmethod
    def build(self, context: Context) -> Landmarker:
        """Make it: load its weights onto the context's device."""


LANDMARKERS: Registry[LandmarkerSettings] = Registry("landmarker", __name__)
LandmarkerSettings.registry = LANDMARKERS
