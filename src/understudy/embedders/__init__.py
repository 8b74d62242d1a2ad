"""What describes who a face is.

To add one: a new file here, named as the plugin is named, holding one ``EmbedderSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from understudy.contracts import Context, Embedder
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class EmbedderSettings(Plugin):
    """Settings of a embedder."""

    @abstractmethod
    def build(self, context: Context) -> Embedder:
        """Make it: load its weights onto the context's device."""


EMBEDDERS: Registry[EmbedderSettings] = Registry("embedder", __name__)
EmbedderSettings.registry = EMBEDDERS
