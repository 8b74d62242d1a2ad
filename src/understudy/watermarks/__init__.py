"""Invisible marks that lead from a picture back to its manifest.

To add one: a new file here, named as the mark is named, holding one ``WatermarkSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry. What ``build`` gives is a
``provenance.marker.Marker``: it marks frames one after another and reads frames together, and its answer is a
p-value. Our own method lies below (``provenance.spread``), since ``verify`` looks for it without being told.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from understudy.contracts import Context
from understudy.registry import Plugin, Registry

if TYPE_CHECKING:
    from understudy.provenance.marker import Marker


@dataclass(frozen=True, kw_only=True)
class WatermarkSettings(Plugin):
    """Settings of an invisible mark."""

    @abstractmethod
    def build(self, context: Context) -> Marker:
        """Make it. ``context.given["mark_key"]`` is the secret; without it, this installation's."""


WATERMARKS: Registry[WatermarkSettings] = Registry("watermark", __name__)
WatermarkSettings.registry = WATERMARKS
