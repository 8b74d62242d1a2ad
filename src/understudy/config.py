"""Settings: frozen dataclasses of defaults, recipes in TOML, the command line, and back to one file.

``defaults < recipes, left to right < command line`` gives one frozen config; ``dump`` writes it as plain
data and ``merge`` reads it back equal. A field that holds a plugin is made by ``slot``, a table of plugins
by ``plugins``: a newly chosen plugin brings its own defaults. Every error names the full dotted path. tyro
is imported here only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import tomli_w

from understudy.errors import ConfigError, PluginError
from understudy.registry import Plugin, Registry

C = TypeVar("C")


def slot(registry: Registry[Any], name: str, **settings: Any) -> Any:
    """A dataclass field that holds the plugin ``name``; its file is imported on construction."""
    return dataclasses.field(default_factory=lambda: registry[name](**settings))


def plugins(registry: Registry[Any], **chosen: Mapping[str, Any]) -> Any:
    """A dataclass field that holds several plugins by name: ``plugins(LOSSES, dssim={"weight": 10.0})``."""
    return dataclasses.field(default_factory=lambda: {n: registry[n](**s) for n, s in chosen.items()})


def merge(base: C, changes: Mapping[str, Any], path: str = "", *, edit: bool = False) -> C:
    """``base`` with ``changes`` applied.

    Args:
        base: a frozen dataclass.
        changes: plain data as TOML gives it; ``name`` in a plugin's table chooses another, with its defaults.
        path: dotted path of ``base``, for messages.
        edit: a table of plugins is changed entry by entry (command line) instead of replaced (recipe).

    Raises:
        ConfigError: a setting that does not exist or does not fit.
    """
    if not isinstance(changes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # TOML of a user's
        raise ConfigError(f"{path}: wanted a table of settings, got {changes!r}")
    changes = dict(changes)
    if isinstance(base, Plugin) and "name" in changes:
        wanted = changes.pop("name")
        if wanted != base.name:
            base = cast("C", _plugin(type(base).registry, wanted, f"{path}.name"))
    hints = typing.get_type_hints(type(base))
    known = [f.name for f in dataclasses.fields(cast("Any", base))]
    new: dict[str, Any] = {}
    for key, value in changes.items():
        full = f"{path}.{key}".lstrip(".")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(f"{full}: no such setting" + (f"; did you mean {near[0]!r}?" if near else ""))
        old = getattr(base, key)
        if dataclasses.is_dataclass(old):
            if isinstance(value, str) and isinstance(old, Plugin):
                value = {"name": value}
            if not isinstance(value, Mapping):
                raise ConfigError(f"{full}: wanted a table of settings, got {value!r}")
            new[key] = merge(old, cast("Mapping[str, Any]", value), full, edit=edit)
        elif registry := _table_registry(hints[key]):
            kept = old if edit else {k: v for k, v in old.items() if k in value}
            new[key] = _merge_table(registry, kept, value, full)
        else:
            new[key] = _convert(value, hints[key], full)
    try:
        return dataclasses.replace(cast("Any", base), **new)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path else str(error)) from None


def _plugin(registry: Registry[Any], name: Any, path: str) -> Plugin:
    if not isinstance(name, str):
        raise ConfigError(f"{path}: wanted a name, got {name!r}")
    try:
        return registry[name]()
    except PluginError as error:
        raise ConfigError(f"{path}: {error}") from None


def _table_registry(hint: Any) -> Registry[Any] | None:
    """``dict[str, Loss]`` gives the registry of losses; any other hint None."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is dict and isinstance(args[1], type) and issubclass(args[1], Plugin):
        return args[1].registry
    return None


def _merge_table(
    registry: Registry[Any], old: Mapping[str, Plugin], changes: Mapping[str, Any], path: str
) -> Any:
    """A new key adds a plugin with its own defaults, the word ``off`` drops one."""
    if not isinstance(changes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # TOML of a user's
        raise ConfigError(f"{path}: wanted a table of plugins, got {changes!r}")
    table = dict(old)
    for name, change in changes.items():
        if change == "off":
            table.pop(name, None)
            continue
        base = table.get(name) or _plugin(registry, name, f"{path}.{name}")
        table[name] = merge(base, change, f"{path}.{name}")
    return table


def _convert(value: Any, hint: Any, path: str) -> Any:
    """A TOML value as the type that ``hint`` asks for. Raises ``ConfigError``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if type(None) in args and value in (None, "none"):
            return None
        for option in args:
            if option is not type(None):
                try:
                    return _convert(value, option, path)
                except ConfigError:
                    continue  # the next member of the union may fit; the last word is below
        raise ConfigError(f"{path}: wanted {_say(hint)}, got {value!r}")
    if origin is Literal:
        if value in args:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in args], n=1)
        hint_text = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{path}: wanted {_say(hint)}, got {value!r}{hint_text}")
    if origin is tuple and isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(item, args[0], f"{path}[{i}]") for i, item in enumerate(items))
        if len(items) == len(args):
            pairs = enumerate(zip(items, args, strict=True))
            return tuple(_convert(item, arg, f"{path}[{i}]") for i, (item, arg) in pairs)
    elif origin is Mapping and isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    elif hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint in (bool, int, str) and type(value) is hint:  # true is no whole number
        return value
    raise ConfigError(f"{path}: wanted {_say(hint)}, got {value!r}")


def _say(hint: Any) -> str:
    """A type as a person reads it."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else _say(a) for a in args)
    if origin is tuple:
        return "a list of " + _say(args[0]) if args[-1] is Ellipsis else f"{len(args)} values"
    if origin is Mapping:
        return "a table"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    return names.get(hint, str(hint))


def dump(config: Any) -> dict[str, Any]:
    """Gives a config as plain data for TOML; merged over a fresh one it equals this one.

    None is written as the word ``none``.
    """
    out: dict[str, Any] = {"name": config.name} if isinstance(config, Plugin) else {}
    for item in dataclasses.fields(config):
        out[item.name] = _plain(getattr(config, item.name))
    return out


def base_of(config: Any, base: type[Any]) -> dict[str, Any]:
    """The part of a config that belongs to a class it inherits from, as plain data."""
    names = {item.name for item in dataclasses.fields(base)}
    return {key: value for key, value in dump(config).items() if key in names}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return dump(value)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return {key: _entry(entry) for key, entry in table.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    if value is None:
        return "none"
    return str(value) if isinstance(value, Path) else value


def _entry(value: Any) -> Any:
    """An entry of a table: a plugin is named by its key."""
    if isinstance(value, Plugin):
        return {key: setting for key, setting in dump(value).items() if key != "name"}
    return _plain(value)


def to_toml(data: Mapping[str, Any]) -> str:
    """TOML text of plain data."""
    return tomli_w.dumps(data)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("understudy.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe as plain data: one that comes with the package by name, or a TOML file by path.

    Raises:
        ConfigError: there is none, or it is not TOML.
    """
    if re.fullmatch(r"[\w-]+", name):
        file = resources.files("understudy.recipes") / f"{name}.toml"
        if not file.is_file():
            near = difflib.get_close_matches(name, recipe_names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"no recipe is named {name!r}{hint} (there are: {', '.join(recipe_names())}); "
                "a file of yours is given with its .toml"
            )
        text = file.read_text("utf-8")
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"recipe {name}: cannot be read ({error})") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {name}: not valid TOML ({error})") from None


def slots(config: Any, path: str = "") -> Iterator[tuple[str, Plugin]]:
    """Every plugin in the tree that stands in a slot of its own, with its dotted path."""
    for item in dataclasses.fields(config):
        value, full = getattr(config, item.name), f"{path}.{item.name}".lstrip(".")
        if isinstance(value, Plugin):
            yield full, value
        if dataclasses.is_dataclass(value):
            yield from slots(value, full)


def tables(config: Any, path: str = "") -> Iterator[tuple[str, Registry[Any]]]:
    """Dotted path and registry of every table of plugins in the tree."""
    hints = typing.get_type_hints(cast("type[Any]", type(config)))
    for item in dataclasses.fields(config):
        value, full = getattr(config, item.name), f"{path}.{item.name}".lstrip(".")
        if registry := _table_registry(hints[item.name]):
            yield full, registry
        elif dataclasses.is_dataclass(value):
            yield from tables(value, full)


SHORT = {"-o": "--output", "-s": "--source", "-t": "--target"}
"""Short flags of every command."""


def parse(
    default: C,
    arguments: Sequence[str],
    *,
    prog: str,
    description: str,
    sections: Mapping[str, str] | None = None,
) -> C:
    """The command line over recipes over ``default``.

    ``--<slot> NAME`` chooses a plugin and shows its settings as further flags; ``--<table>.<name> off``
    drops an entry of a table, ``--<table>.<name> on`` or any of its settings adds it.

    Args:
        default: the command's settings; a field ``recipe`` is taken from ``--recipe NAME…`` first.
        arguments: the words after the command's name.
        prog: how the command is called, for the help.
        description: what it does, for the help.
        sections: which table of a recipe goes where, others being for other commands: ``{"train": "",
            "merge": "merge"}`` puts ``[train]`` over the root and ``[merge]`` over the field ``merge``; the
            list ``[[phase]]`` becomes the field ``phases`` of where ``[train]`` goes.

    Raises:
        SystemExit: 0 after ``--help``; 2 after a wrong flag, which is named with the nearest right one.
        ConfigError: a plugin that does not exist, a value that does not fit, or a number that is none.
    """
    import tyro

    words = [SHORT.get(word, word) for word in arguments]
    for name in _recipes(words, getattr(default, "recipe", ())):
        default = _apply(default, read_recipe(name), sections or {}, name)
    config, rest = _choose(default, words)
    choices = [
        f"--{path.replace('_', '-')} NAME: {', '.join(plugin.registry.names())} (now {plugin.name})"
        for path, plugin in slots(config)
    ]
    choices += [f"--{path}.NAME on|off: {', '.join(registry.names())}" for path, registry in tables(config)]
    if choices:
        description += "\n\nPlugins to choose; each brings its own settings:\n" + "\n".join(choices)
    shown: Any = {"prog": prog, "description": description, "config": (tyro.conf.AvoidSubcommands,)}
    read = functools.partial(tyro.cli, type(config), default=config, args=rest, **shown)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            out = read()
    except SystemExit as ended:
        _raise_ours(ended)
        if not ended.code:
            raise
        out = read()  # says what is wrong, and ends
    for path in _no_numbers(dump(out)):
        raise ConfigError(f"{path}: wanted a number, got nan")
    return out


def _raise_ours(ended: SystemExit) -> None:
    """Raises the ``ConfigError`` for which tyro ended, which it says as "Error parsing Command"."""
    place, error = "", ended.__context__
    while error is not None and not isinstance(error, ConfigError):
        place, error = getattr(error, "arg", ""), error.__context__
    if error is not None:
        raise ConfigError(f"{place}: {error}" if place else str(error)) from None


def _no_numbers(data: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of what is NaN: no check of a range would find it."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _no_numbers(cast("Mapping[str, Any]", value), f"{path}{key}.")
        elif isinstance(value, float) and math.isnan(value):
            yield f"{path}{key}"


def _recipes(words: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
    """What stands behind ``--recipe``, or the default."""
    for index, word in enumerate(words):
        if word.startswith("--recipe="):
            return (word.partition("=")[2],)
        if word == "--recipe":
            return tuple(itertools.takewhile(lambda w: not w.startswith("-"), words[index + 1 :]))
    return default


def _apply(config: C, recipe: Mapping[str, Any], sections: Mapping[str, str], name: str) -> C:
    """A recipe's tables over the parts of a command that they are for."""
    known = ("extract", "train", "pretrain", "merge", "phase")
    for section in recipe:
        if section not in known:
            raise ConfigError(f"recipe {name}: wanted the tables {', '.join(known)}, got {section!r}")
    for section in known:  # phases last: they change what the rest of the recipe says
        place = sections.get("train" if section == "phase" else section)
        if section not in recipe or place is None:
            continue
        changes = {"phases": recipe[section]} if section == "phase" else recipe[section]
        try:
            for part in reversed(place.split(".") if place else []):
                changes = {part: changes}
            config = merge(config, changes)
        except ConfigError as error:
            raise ConfigError(f"recipe {name}: {error}") from None
    return config


def _choose(config: C, arguments: list[str]) -> tuple[C, list[str]]:
    """Takes the plugin choices out of the arguments and makes them."""
    rest: list[str] = []
    while arguments:
        word = arguments.pop(0)
        flag, equals, value = word.partition("=")
        dotted = flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""
        change: Any = None
        if dotted in dict(slots(config)):
            change = {"name": value if equals else (arguments.pop(0) if arguments else "")}
        elif table := next((t for t, _ in tables(config) if dotted.startswith(t + ".")), None):
            name, _, setting = dotted.removeprefix(table + ".").partition(".")
            dotted, change = f"{table}.{name}", {}
            if setting:
                rest.append(word)
            elif (value if equals else arguments.pop(0) if arguments else "") == "off":
                change = "off"
        else:
            rest.append(word)
        if change is not None:
            for part in reversed(dotted.split(".")):
                change = {part: change}
            config = merge(config, change, edit=True)
    return config, rest
