"""Plugins by name: one base class of settings, one decorator, one look-up, one listing.

A plugin is a frozen, keyword-only dataclass of its settings in a file named as a person types it. Looking a
name up imports that file only; listing names imports nothing. Installed packages join through the
entry-point group ``understudy.<kind>`` (``understudy.blend``), whose entry names are plugin names.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from understudy.errors import PluginError


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Settings of one plugin. A kind's base class sets ``registry``; registration sets ``name``."""

    name: ClassVar[str] = ""
    weights: ClassVar[tuple[str, ...]] = ()
    """Declared names of the weight files that it needs; whoever builds it fetches them first."""
    registry: ClassVar[Registry[Any]]


P = TypeVar("P", bound=Plugin)
Q = TypeVar("Q", bound=Plugin)


class Registry(Generic[P]):
    """Plugins of one kind, by name.

    Args:
        kind: word used in messages ("blend") and in the entry-point group ``understudy.<kind>``.
        package: package whose modules register the built-in plugins when they are imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, type[P]] = {}

    def register(self, name: str) -> Callable[[type[Q]], type[Q]]:
        """Class decorator that files a settings class under ``name``.

        Raises:
            PluginError: the name is taken.
        """

        def add(settings: type[Q]) -> type[Q]:
            if name in self._entries:
                other = self._entries[name]
                raise PluginError(f"two {self.kind}s are named {name!r}: {other} and {settings}")
            self._entries[name] = cast("type[P]", settings)
            settings.name = name
            return settings

        return add

    def __getitem__(self, name: str) -> type[P]:
        """The settings class of that name; imports its file.

        Raises:
            PluginError: no such plugin; the message names the nearest.
        """
        if name not in self._entries:
            self._import(name)
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.names())
            raise PluginError(f"no {self.kind} is named {name!r}{hint} (there are: {known})") from None

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def names(self) -> list[str]:
        """Names of built-in plugins (their files; nothing is imported) and of installed packages, sorted."""
        package = importlib.import_module(self.package)
        modules = pkgutil.iter_modules(package.__path__)
        built_in = {module.name for module in modules if not module.name.startswith("_")}
        return sorted(built_in | {point.name for point in self._points()} | self._entries.keys())

    def source(self, name: str) -> Path | None:
        """The file of a built-in plugin, found without importing it; None for a foreign one."""
        package = importlib.import_module(self.package)
        for folder in package.__path__:
            if (file := Path(folder) / f"{name}.py").is_file():
                return file
        return None

    def _import(self, name: str) -> None:
        if name.isidentifier() and self.source(name):
            importlib.import_module(f"{self.package}.{name}")
        for point in self._points():
            if point.name == name:
                point.load()

    def _points(self) -> list[importlib.metadata.EntryPoint]:
        return list(importlib.metadata.entry_points(group=f"understudy.{self.kind}"))
