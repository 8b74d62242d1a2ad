"""Network weight files: declared, fetched once with a checked hash, cached, or imported by the user."""

from __future__ import annotations

from understudy.weights.home import understudy_home
from understudy.weights.sources import WEIGHTS, PipArchive, WebFile, WeightFile, WeightTable, declared
from understudy.weights.store import WeightStore

__all__ = [
    "WEIGHTS",
    "PipArchive",
    "WebFile",
    "WeightFile",
    "WeightStore",
    "WeightTable",
    "declared",
    "understudy_home",
]
