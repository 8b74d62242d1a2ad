"""No enhancer: the face is brought to its size by cubic interpolation."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.contracts import Context
from understudy.enhancers import ENHANCERS, Enhancer


@ENHANCERS.register("none")
@dataclass(frozen=True, kw_only=True)
class NoEnhancer(Enhancer):
    """No enhancer: the face is brought to its size by cubic interpolation."""

    def build(self, context: Context) -> None:
        """Nothing."""
