"""A stand-in for torch while help is printed.

Plugin files define their networks at the top and therefore import torch there, which takes seconds. Help
needs only their settings, so ``--help`` puts a hollow ``torch`` in its place first: every name in it is a
class that accepts everything and does nothing. It is never used for work: the process prints and ends.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any


class _Anything(type):
    """Metaclass whose classes answer every attribute, call, index and operator with another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Hollow

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        # used bare as a decorator it must give back what it was put on
        return args[0] if len(args) == 1 and callable(args[0]) else Hollow

    def __getitem__(cls, key: Any) -> Any:
        return Hollow

    def __or__(cls, other: Any) -> Any:
        return Hollow

    __ror__ = __add__ = __radd__ = __sub__ = __mul__ = __rmul__ = __truediv__ = __or__

    def __iter__(cls) -> Any:
        return iter(())


class Hollow(metaclass=_Anything):
    """Every name of the stand-in."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()


class _HollowModule(types.ModuleType):
    __version__ = "0 (stand-in)"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Hollow


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in ("torch", "safetensors", "scipy"):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _HollowModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def install() -> None:
    """Puts the stand-in in torch's place, unless torch is loaded already."""
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _Finder())
