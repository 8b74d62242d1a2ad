"""What finds masks in a crop.

To add one: a new file here, named as the plugin is named, holding one ``SegmenterSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from understudy.contracts import Context, Segmenter
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class SegmenterSettings(Plugin):
    """Settings of a segmenter."""

    @abstractmethod
    def build(self, context: Context) -> Segmenter:
        """Make it: load its weights onto the context's device."""


SEGMENTERS: Registry[SegmenterSettings] = Registry("segmenter", __name__)
SegmenterSettings.registry = SEGMENTERS
