"""``understudy consent new | sign | show | list | attach | withdraw | purge``: who agreed to what."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from understudy import config
from understudy.cli.show import follow
from understudy.errors import ConfigError, ConsentError
from understudy.provenance import references, standing
from understudy.provenance.consent import ConsentStore, load_key, make_key, new_record, sign
from understudy.provenance.labels import file_hash
from understudy.provenance.legible import legible
from understudy.provenance.purge import derived, remove
from understudy.provenance.record import Agreement, Disclosure, Permission, Record, Role
from understudy.provenance.store import ManifestStore

USAGE = """usage: understudy consent new --person NAME --projects NAME --until DAY --references PICTURE …
       understudy consent sign RECORD --role person|representative|producer [--key FILE] [--evidence FILE …]
       understudy consent show RECORD
       understudy consent list
       understudy consent attach FACES --record RECORD [--references PICTURE …]
       understudy consent attach FACES --performer SEED [--truth FOLDER]
       understudy consent attach FACES --research NAME --licence NAME
       understudy consent withdraw RECORD [--reason WORDS]
       understudy consent purge RECORD [--folder FOLDER] [--yes]

A record says what a person agreed to: which use, for which project, from when to when. First the person signs
it, then the producer. A face set that is bound to it follows it; one without a record can be used too, and
every frame of the result then carries the label AI MODIFIED.

  new       write a record (consent new --help); it names a code to be spoken in the person's video statement
  sign      sign it; --key is the signer's own key file, made if it is not there; --evidence comes before that
  show      what it says, and whether it holds
  list      all records on this machine
  attach    bind a face set to a record: its crops are compared with the record's reference pictures, and
            strangers are named and left out. Or put it into a lane: a synthetic person (frames are drawn
            again from the seed and compared), a public data set
  withdraw  for good: its face sets and models refuse to load from now on
  purge     list what derives from it below a folder (here), and the manifests of results that this machine
            keeps; --yes deletes both

RECORD is an id, its beginning, or a file. Names stay in the record: models and results carry its hash only.
"""


@dataclass(frozen=True, kw_only=True)
class New:
    """What the record says."""

    person: str = ""
    """Name or pseudonym."""
    pseudonym: bool = False
    """It is not the person's own name."""
    minor: bool = False
    """The person is not of age; a representative answers for them."""
    representative: str = ""
    """Who answers for the person, and as what."""
    permits: tuple[Permission, ...] = ("replacement",)
    """What may be done: replacement, reenactment, editing, dataset (give the faces on), release (give the
    model on)."""
    projects: tuple[str, ...] = ()
    """For which projects."""
    media: tuple[str, ...] = ("any",)
    """In which media."""
    territory: tuple[str, ...] = ("any",)
    """In which countries."""
    start: str = ""
    """First day, YYYY-MM-DD; today."""
    until: str = ""
    """Last day, YYYY-MM-DD."""
    references: tuple[Path, ...] = ()
    """Pictures and clips of the person; their hashes are kept."""
    disclosure: Disclosure = "eu-modified"
    """How results must say that they are not real."""
    statement: str = ""
    """The text that the person reads."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How it is signed."""

    role: Role = "person"
    """Who signs."""
    key: Path | None = None
    """The signer's own key file; none: one that is kept on this machine."""
    evidence: tuple[Path, ...] = ()
    """Video statement and signed papers; only before the first signature."""


@dataclass(frozen=True, kw_only=True)
class Attach:
    """On what the face set stands."""

    record: str | None = None
    """A consent record."""
    references: tuple[Path, ...] = ()
    """The record's reference pictures, where they are not where they were when it was made."""
    performer: int | None = None
    """Seed of the synthetic person that it shows."""
    truth: Path | None = None
    """What understudy performers wrote beside the footage; none: known from the extraction."""
    research: str | None = None
    """Name of the public data set that it is of."""
    licence: str = ""
    """The data set's licence."""


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Why."""

    reason: str = ""
    """For the list of withdrawn records."""


@dataclass(frozen=True, kw_only=True)
class Purge:
    """Where, and whether to delete."""

    folder: Path = Path()
    """Where to look."""
    yes: bool = False
    """Delete what is found, for good."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    action, *words = arguments
    commands: dict[str, Callable[[list[str]], int]] = {
        "new": _new,
        "sign": _sign,
        "show": _show,
        "list": _list,
        "attach": _attach,
        "withdraw": _withdraw,
        "purge": _purge,
    }
    if action not in commands:
        sys.stderr.write(USAGE)
        return 2
    return commands[action](words)


C = TypeVar("C")


def _parse(default: C, words: list[str], action: str, what: str = "RECORD") -> tuple[str, C]:
    """The word after the action, and the flags."""
    named = bool(words) and not words[0].startswith("-")
    prog = f"understudy consent {action} {what}"
    flags = config.parse(
        default, words[named:], prog=prog, description=f"See understudy consent --help; {prog}"
    )
    if not named:
        raise ConfigError(f"consent {action}: wanted {what}; see understudy consent --help")
    return words[0], flags


def _new(words: list[str]) -> int:
    flags = config.parse(
        New(),
        words,
        prog="understudy consent new",
        description="Write what a person agreed to, ready for signing.",
    )
    record = new_record(
        Record(
            person=flags.person,
            pseudonym=flags.pseudonym,
            adult=not flags.minor,
            representative=flags.representative,
            permits=flags.permits,
            projects=flags.projects,
            media=flags.media,
            territory=flags.territory,
            start=flags.start or datetime.datetime.now(datetime.UTC).date().isoformat(),
            until=flags.until,
            references=_hashes(flags.references),
            disclosure=flags.disclosure,
            statement=flags.statement,
        )
    )
    path = ConsentStore().save(Agreement(record=record))
    references.remember(dict(zip(record.references, flags.references, strict=True)), ConsentStore())
    role = "representative" if record.representative else "person"
    sys.stdout.write(
        f"record {record.id}: {path}\n"
        f"code to be spoken in the video statement: {record.code}\n"
        f"next: understudy consent sign {record.id} --role {role} --evidence STATEMENT.mp4\n"
        f"then: understudy consent sign {record.id} --role producer\n"
    )
    return 0


def _hashes(files: Sequence[Path]) -> tuple[str, ...]:
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file}: no such file")
    return tuple(file_hash(file) for file in files)


def _sign(words: list[str]) -> int:
    name, flags = _parse(Sign(), words, "sign")
    store = ConsentStore()
    agreement = store.find(name)
    if flags.evidence:
        if agreement.signatures:
            raise ConsentError(
                f"record {agreement.record.id} is signed; evidence belongs into it before that"
            )
        agreement = Agreement(record=replace(agreement.record, evidence=_hashes(flags.evidence)))
    if flags.key is None:
        key = store.key("producer" if flags.role == "producer" else agreement.record.id)
    else:
        if not flags.key.exists():
            make_key(flags.key)
        key = load_key(flags.key)
    path = store.save(sign(agreement, flags.role, key))
    wrong = store.read(path).damage
    sys.stdout.write(
        f"signed as {flags.role}; " + (f"still open: {wrong}\n" if wrong else "the record holds\n")
    )
    return 0


def _show(words: list[str]) -> int:
    if len(words) != 1:
        sys.stderr.write(USAGE)
        return 2
    store = ConsentStore()
    agreement = store.find(words[0])
    record = agreement.record
    lines = [f"{name:<15}{_shown(value)}" for name, value in vars(record).items() if value not in ("", ())]
    lines.append(f"{'hash':<15}{record.hash}")
    lines += [f"{'signed by':<15}{each.role}, key {each.key[:12]}…" for each in agreement.signatures]
    refusal = standing.refusal_of(record.hash, agreement, record.id, store)
    lines.append(f"{'now':<15}{refusal or 'it holds'}")
    sys.stdout.write("\n".join(map(legible, lines)) + "\n")
    return 0 if not refusal else 1


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _list(words: list[str]) -> int:
    if words:
        sys.stderr.write(USAGE)
        return 2
    store = ConsentStore()
    agreements = list(store.all())
    if not agreements:
        sys.stdout.write("no consent records yet; understudy consent new --help tells how to write one\n")
    for agreement in agreements:
        record = agreement.record
        refusal = standing.refusal_of(record.hash, agreement, record.id, store)
        what = f"{record.person}: {', '.join(record.permits)} for {', '.join(record.projects)}"
        line = f"{record.id}  {what}, {record.start} to {record.until}  {refusal or 'holds'}"
        sys.stdout.write(legible(line) + "\n")
    return 0


def _attach(words: list[str]) -> int:
    name, flags = _parse(Attach(), words, "attach", "FACES")
    chosen = [each for each in (flags.record, flags.performer, flags.research) if each is not None]
    if len(chosen) != 1:
        raise ConfigError("consent attach: wanted one of --record, --performer and --research")
    faces = Path(name)
    if flags.record is not None:
        agreement = ConsentStore().find(flags.record)
        given = _known_references(agreement, flags.references)
        standing.attach(faces, agreement)
        return _compare(faces, given)
    if flags.performer is not None:
        _prove(faces, flags.performer, flags.truth)
    else:
        if not flags.licence:
            raise ConfigError("consent attach: wanted the data set's licence; add --licence NAME")
        about = {"lane": "research", "dataset": flags.research, "licence": flags.licence}
        standing.declare(faces, about)
    sys.stdout.write(standing.consent_of(faces).sentence + "\n")
    return 0


def _known_references(agreement: Agreement, given: Sequence[Path]) -> list[Path]:
    """The reference pictures, if they are those of the record."""
    for path, digest in zip(given, _hashes(given), strict=True):
        if digest not in agreement.record.references:
            raise ConfigError(
                f"{path}: not a reference picture of record {agreement.record.id}; give those that it was "
                "made with"
            )
    if given:
        references.remember(dict(zip(_hashes(given), given, strict=True)), ConsentStore())
    return list(given)


def _compare(faces: Path, given: Sequence[Path]) -> int:
    """Leaves strangers out of a face set that was bound to a record, and says how it stands."""
    from understudy.faces.faceset import FaceSet
    from understudy.pipelines.extract import ExtractSettings, describe_picture
    from understudy.pipelines.likeness import leave_strangers_out
    from understudy.pipelines.setup import build_finders, fetch_weights, make_context

    now = standing.consent_of(faces)
    sys.stdout.write(now.sentence + "\n")
    if not FaceSet.open(faces).identities:
        return 0
    settings = ExtractSettings()
    plugins = (settings.detector, settings.landmarker, settings.embedder)
    follow(fetch_weights(plugins))
    finders = build_finders(*plugins, make_context("cpu"))
    same = finders.embedder.same_person
    follow(leave_strangers_out(faces, now, lambda path: describe_picture(path, finders), same, given))
    return 0


def _prove(faces: Path, seed: int, truth: Path | None) -> None:
    """Puts a face set into the lane of performers if it can be proved."""
    from understudy.faces.faceset import FaceSet
    from understudy.provenance.proof import declare_drawn

    why = declare_drawn(FaceSet.open(faces), seed, truth)
    if why:
        raise ConsentError(
            f"{faces} cannot be shown to be performer {seed}: {why}. Give what understudy performers wrote "
            "beside the footage: --truth FOLDER"
        )


def _withdraw(words: list[str]) -> int:
    name, flags = _parse(Withdraw(), words, "withdraw")
    store = ConsentStore()
    agreement = store.find(name)
    store.withdraw(agreement, flags.reason)
    sys.stdout.write(
        f"withdrawn: {agreement.record.id}; its face sets and models refuse to load\n"
        f"what derives from it: understudy consent purge {agreement.record.id} --folder FOLDER\n"
    )
    return 0


def _purge(words: list[str]) -> int:
    name, flags = _parse(Purge(), words, "purge")
    agreement = ConsentStore().find(name)
    found = list(derived(agreement.record.hash, flags.folder))
    store = ManifestStore()
    filed = store.derived(agreement.record.hash)
    verb = "deleted " if flags.yes else ""
    for each in found:
        if flags.yes:
            remove(each)
        sys.stdout.write(f"{verb}{each.kind}: {each.path}\n")
    if flags.yes:
        store.forget({entry.number for entry in filed})
    for entry in filed:
        sys.stdout.write(f"{verb}kept manifest: of {entry.path}, {entry.date[:10]}\n")
    if not found:
        sys.stdout.write(f"nothing below {flags.folder.resolve()} carries record {agreement.record.id}\n")
    if not flags.yes and (found or filed):
        sys.stdout.write(
            "add --yes to delete these for good; copies elsewhere and models given on are not found\n"
        )
    return 0
