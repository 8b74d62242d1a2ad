"""``merge.toml``: settings that change over time and from face to face, as text that can be compared.

    version = 1
    [settings]      colour, mask and blend of every face, over what the command says
    [[person]]      of one person, or of one track
    [[range]]       in a stretch of frames
    [[key]]         at one frame; numbers go from key to key, everything else stays until the next
    [[cast]]        another swapper for a person, or for a track

Later kinds count over earlier ones, and within a kind later entries over earlier ones. Frames are counted
from 0 in display order, the end of a stretch is excluded.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import tomllib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from understudy import config, durable
from understudy.errors import ConfigError
from understudy.faces.records import FaceRecord
from understudy.pipelines.compositing.compositor import reach_of
from understudy.pipelines.compositing.settings import CompositeSettings
from understudy.pipelines.merging.settings import parse_frames

PLAN_NAME = "merge.toml"
"""The plan of a project lies in its folder under this name."""
VERSION = 1
_TABLES = ("version", "settings", "person", "range", "key", "cast")

H = TypeVar("H")


@dataclass(frozen=True, kw_only=True)
class _Whom:
    """What an entry begins with: whose faces it is for."""

    person: int | None = None
    """Group of the face set; none: everybody's."""
    track: int | None = None
    """Track of the face set; none: all."""

    def fits(self, record: FaceRecord) -> bool:
        """Whether a face is meant."""
        return self.person in (None, record.person) and self.track in (None, record.track)


@dataclass(frozen=True, kw_only=True)
class _RangeHead(_Whom):
    frames: str = ":"


@dataclass(frozen=True, kw_only=True)
class _KeyHead(_Whom):
    frame: int = -1
    interpolation: Literal["linear", "smooth", "hold"] = "linear"


@dataclass(frozen=True, kw_only=True)
class _CastHead(_Whom):
    swapper: Path = Path()


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Changes for some faces in some frames."""

    place: str
    """Where it stands, for messages."""
    whom: _Whom
    changes: Mapping[str, Any]
    start: int = 0
    stop: int | None = None

    def holds(self, record: FaceRecord) -> bool:
        """Whether it is for this face."""
        after = self.stop is not None and record.frame >= self.stop
        return self.start <= record.frame and not after and self.whom.fits(record)


@dataclass(frozen=True, kw_only=True)
class _Key:
    """Settings at one frame, by dotted path."""

    place: str
    head: _KeyHead
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CastEntry:
    """Another swapper for some of the faces."""

    swapper: Path
    """Its folder, or its weight file."""
    person: int | None
    """Group of the face set; None: any."""
    track: int | None
    """Track of the face set; None: any."""

    def fits(self, record: FaceRecord) -> bool:
        """Whether a face is this swapper's."""
        return self.person in (None, record.person) and self.track in (None, record.track)


class MergePlan:
    """A plan that was read and checked.

    Args:
        data: content of the file.
        path: the file, for messages; swappers are named from its folder.

    Raises:
        ConfigError: something in it does not exist or does not fit.
    """

    def __init__(self, data: Mapping[str, Any], path: Path) -> None:
        self.data, self.path = dict(data), path
        self._check_tables()
        self.settings: Mapping[str, Any] = self._table("settings")
        self.rules: list[_Rule] = []
        self.keys: list[_Key] = []
        self.cast: list[CastEntry] = []
        for place, entry in self._entries("person"):
            whom, changes = self._head(_Whom(), entry, place)
            if whom == _Whom():
                raise ConfigError(f"{place}: wanted person or track, the number of one")
            self.rules.append(_Rule(place=place, whom=whom, changes=changes))
        for place, entry in self._entries("range"):
            head, changes = self._head(_RangeHead(), entry, place)
            start, stop = _located(f"{place}: frames", head.frames)
            self.rules.append(_Rule(place=place, whom=head, changes=changes, start=start, stop=stop))
        for place, entry in self._entries("key"):
            key, changes = self._head(_KeyHead(), entry, place)
            if key.frame < 0:
                raise ConfigError(f"{place}: frame: wanted the number of a frame, from 0, got {key.frame}")
            self.keys.append(_Key(place=place, head=key, values=dict(_flat(changes))))
        for place, entry in self._entries("cast"):
            self.cast.append(self._cast_entry(place, entry))

    @classmethod
    def read(cls, path: Path) -> MergePlan:
        """Reads a file.

        Raises:
            ConfigError: it cannot be read, or something in it does not fit.
        """
        try:
            return cls(tomllib.loads(path.read_text("utf-8")), path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the plan cannot be read ({error})") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not valid TOML ({error})") from None

    def _check_tables(self) -> None:
        for name in self.data:
            if name not in _TABLES:
                near = difflib.get_close_matches(name, _TABLES, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"{self.path}: {name}: wanted one of {', '.join(_TABLES)}{hint}")
        version = self.data.get("version")
        if version != VERSION:
            raise ConfigError(
                f"{self.path}: version: wanted {VERSION}, the one that this program reads, got {version!r}"
            )

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self.data.get(name, {})
        if not isinstance(table, Mapping):
            raise ConfigError(f"{self.path}: {name}: wanted a table, [{name}], got {table!r}")
        return cast("Mapping[str, Any]", table)

    def _entries(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        entries = self.data.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
            raise ConfigError(f"{self.path}: {name}: wanted a list of tables, [[{name}]], got {entries!r}")
        for number, entry in enumerate(cast("list[Mapping[str, Any]]", entries), 1):
            yield f"{self.path}: [[{name}]] {number}", dict(entry)

    @staticmethod
    def _head(head: H, entry: dict[str, Any], place: str) -> tuple[H, dict[str, Any]]:
        """What an entry begins with, and the settings that are the rest of it."""
        mine = {key: entry.pop(key) for key in config.dump(head) if key in entry}
        with _named(place):
            return config.merge(head, mine), entry

    def _cast_entry(self, place: str, entry: dict[str, Any]) -> CastEntry:
        head, rest = self._head(_CastHead(), entry, place)
        if rest:
            raise ConfigError(f"{place}: {min(rest)}: wanted person, track and swapper only")
        if head.swapper == Path() or (head.person is None and head.track is None):
            raise ConfigError(
                f"{place}: wanted swapper, a run's folder, and whose faces it is for, person or track"
            )
        return CastEntry(swapper=self.path.parent / head.swapper, person=head.person, track=head.track)

    def swapper_of(self, record: FaceRecord) -> Path | None:
        """The further swapper that a face is for; None: the one of the command."""
        return next((entry.swapper for entry in reversed(self.cast) if entry.fits(record)), None)

    def for_faces(self, common: CompositeSettings) -> PlannedSettings:
        """The settings of every face.

        Args:
            common: what the command says.

        Raises:
            ConfigError: a setting that does not exist or does not fit where it is used.
        """
        return PlannedSettings(self, common)


class PlannedSettings:
    """Says how each face is put in; see ``faces.FaceSettings``."""

    def __init__(self, plan: MergePlan, common: CompositeSettings) -> None:
        self.plan = plan
        with _named(f"{plan.path}: settings"):
            self.common = config.merge(common, plan.settings)
        self._known: dict[str, CompositeSettings] = {}
        possible = [self.common, *(self.of(record) for record in self._corners())]
        self.reach = max(map(reach_of, possible))
        self.persons = any(settings.mask.person for settings in possible)
        self.code = max(settings.temporal.code for settings in possible)
        self.target_masks = any(settings.mask.asks_target for settings in possible)

    def of(self, record: FaceRecord) -> CompositeSettings:
        """Of one face."""
        changes = [(rule.place, rule.changes) for rule in self.plan.rules if rule.holds(record)]
        keyed = _at(self.plan.keys, record)
        key = json.dumps([changes, keyed])
        if key not in self._known:
            out = self.common
            for place, change in changes:
                with _named(place):
                    out = config.merge(out, change)
            plain = config.dump(out)
            # the choice of a plugin comes before its settings
            for path in sorted(keyed, key=lambda path: (path.count("."), not path.endswith(".name"))):
                place, value = keyed[path]
                with _named(place):
                    out = config.merge(out, _nested(path, _fitting(plain, path, value)))
            self._known[key] = out
        return self._known[key]

    def _corners(self) -> Iterator[FaceRecord]:
        """A face for every combination of rules and keys that can occur, so that nothing fails later."""
        plan = self.plan
        frames = {0}
        for rule in plan.rules:
            frames |= {rule.start, *([rule.stop] if rule.stop is not None else [])}
        for key in plan.keys:
            frames |= {key.head.frame, key.head.frame + 1}
        whoms = [rule.whom for rule in plan.rules] + [key.head for key in plan.keys]
        persons = {-1} | {whom.person for whom in whoms if whom.person is not None}
        tracks = {-1} | {whom.track for whom in whoms if whom.track is not None}
        for frame in sorted(frames):
            for person in sorted(persons):
                for track in sorted(tracks):
                    yield FaceRecord({"frame": frame, "track": track}, person)


def _at(keys: Sequence[_Key], record: FaceRecord) -> dict[str, tuple[str, Any]]:
    """What the keys say of a face: by dotted path, the key that says it and the value."""
    curves: dict[tuple[_Whom, str], list[_Key]] = {}
    for key in sorted(keys, key=lambda key: key.head.frame):
        if key.head.fits(record):
            whom = _Whom(person=key.head.person, track=key.head.track)
            for path in key.values:
                curves.setdefault((whom, path), []).append(key)
    return {path: _on_curve(curve, path, record.frame) for (_, path), curve in curves.items()}


def _on_curve(curve: Sequence[_Key], path: str, frame: int) -> tuple[str, Any]:
    """The value at a frame; before the first key and after the last one it is theirs."""
    before = [key for key in curve if key.head.frame <= frame]
    after = [key for key in curve if key.head.frame > frame]
    last = before[-1] if before else after[0]
    value = last.values[path]
    if not before or not after or last.head.interpolation == "hold":
        return last.place, value
    following = after[0].values[path]
    if not (_is_number(value) and _is_number(following)):
        return last.place, value
    share = (frame - last.head.frame) / (after[0].head.frame - last.head.frame)
    if last.head.interpolation == "smooth":
        share = share * share * (3.0 - 2.0 * share)
    return last.place, value + share * (following - value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fitting(plain: Mapping[str, Any], path: str, value: object) -> object:
    """A value between two whole numbers as a whole number, where the setting is one."""
    old: Any = plain
    for part in path.split("."):
        old = old.get(part) if isinstance(old, Mapping) else None
    whole = isinstance(old, int) and not isinstance(old, bool)
    return round(value) if whole and isinstance(value, float) else value


def _flat(changes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted path."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _nested(path: str, value: object) -> dict[str, Any]:
    """``{"mask": {"erode": 1}}`` from ``mask.erode`` and 1."""
    first, *rest = path.split(".")
    return {first: _nested(".".join(rest), value) if rest else value}


def _located(place: str, frames: str) -> tuple[int, int | None]:
    with _named(place):
        return parse_frames(frames)


@contextlib.contextmanager
def _named(place: str) -> Generator[None]:
    """An error of settings says where they stand."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


# ---------------------------------------------------------------------------------------------------- writing

_EXAMPLE = """
# What follows is an example: take away the marks where you want it.

# [[person]]                      # settings of one person of the face set (or track = 3)
# person = 1
# color_transfer = "sot"
# mask.erode = 0.03

# [[range]]                       # settings of some frames; the end is excluded: 120 to 179
# frames = "120:180"              # also "120:" and ":180"; person or track, where not everybody's
# blend = "poisson"

# [[key]]                         # settings at a frame; numbers go from key to key
# frame = 0
# mask.blur = 0.03
# [[key]]
# frame = 48
# interpolation = "smooth"        # from here to the next key: linear, smooth, hold
# mask.blur = 0.08

# [[cast]]                        # another swapper for a person (or a track)
# person = 1
# swapper = "../runs/another/swapper"
"""


def plan_text(settings: CompositeSettings) -> str:
    """A plan with these settings, and the rest as an example in comments."""
    head = (
        "# How the faces are put into the footage: understudy merge --plan FILE\n"
        "# A file merge.toml in the project folder (RESULT.understudy/) is found by itself.\n"
        "# Frames are counted from 0. What stands here counts over the command line.\n\n"
    )
    return head + config.to_toml({"version": VERSION, "settings": config.dump(settings)}) + _EXAMPLE


def write_plan(path: Path, settings: CompositeSettings) -> None:
    """Writes a plan to begin with.

    Raises:
        ConfigError: there is one.
        OutputError: it cannot be written.
    """
    if path.exists():
        raise ConfigError(f"{path}: there is a plan already; edit it, or name another file with --plan")
    with durable.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_text(path, plan_text(settings))


def find_plan(folders: Iterable[Path]) -> Path | None:
    """The first plan that lies in one of these folders under its usual name."""
    return next((folder / PLAN_NAME for folder in folders if (folder / PLAN_NAME).is_file()), None)
