"""On what a result stands: everybody who is seen in it, taken together; and what a model says of that.

A swapper carries the standing of both face sets it was trained on (``consent`` in its header): lane, hash of
the record, label that is owed, hash of the face set. Never a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from understudy.errors import CheckpointError, ConsentError
from understudy.provenance.consent import ConsentStore
from understudy.provenance.proof import proved
from understudy.provenance.record import Permission
from understudy.provenance.standing import Lane, Standing, refusal_of, require_usable, without_record
from understudy.provenance.visible import PRESETS

Label = Literal["record", "eu-modified", "eu-modified-always", "gb45438", "research"]
"""The visible label that is asked for: what the records owe, or that and one more."""
_WEIGHT: tuple[Lane, ...] = ("none", "research", "record", "performer")
_COVERED = {
    "credits-only": {"eu-modified", "eu-modified-always", "gb45438", "research"},
    "eu-modified": {"eu-modified-always", "research"},
    "eu-modified-always": {"research"},
}
"""Labels that say nothing which one of the others does not say."""


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What may be done with a result, and what it owes."""

    standings: tuple[Standing, ...]
    """Of the source and of the target, then of the sources of further swappers."""
    references: tuple[str, ...] = ()
    """Hashes of the source's face sets: the identity reference."""

    @property
    def lane(self) -> Lane:
        """The weakest one."""
        return next(lane for lane in _WEIGHT if any(each.lane == lane for each in self.standings))

    @property
    def records(self) -> tuple[str, ...]:
        """Hashes of the consent records, each once."""
        return tuple(dict.fromkeys(each.record for each in self.standings if each.record))

    @property
    def sentence(self) -> str:
        """For a person, at the start of a run, one line."""
        return "; ".join(dict.fromkeys(each.sentence for each in self.standings if each.lane == "none"))

    def labels(self, asked: Label = "record") -> tuple[str, ...]:
        """Presets of the visible labels that are drawn: what is owed, and what is asked for besides.

        Args:
            asked: a label for a country or a channel; it adds and never takes away.
        """
        every = dict.fromkeys(each.label for each in self.standings)
        if asked != "record":
            every[asked] = None
        return tuple(name for name in every if not _COVERED.get(name, set[str]()) & set(every))

    def require_master(self) -> None:
        """Refuses a master for further work: unmarked pictures need a record of everybody in them.

        Raises:
            ConsentError: somebody is seen without one.
        """
        lacking = [each for each in self.standings if each.lane not in ("record", "performer")]
        if lacking:
            raise ConsentError(
                "master: a master carries neither label nor mark, so everybody in it needs a consent record. "
                + "; ".join(each.sentence for each in lacking)
            )


def label_texts(labels: Iterable[str]) -> str:
    """What the labels say, for a person."""
    texts = [f"{PRESETS[name].text!r}" for name in labels if PRESETS[name].text]
    return " and ".join(texts) or "none"


# ------------------------------------------------------------------------------------------------ face sets


def usable(
    face_set: Path, permission: Permission = "replacement", *, project: str = "", home: Path | None = None
) -> Standing:
    """The standing of a face set that may be used so, performers proved.

    Raises:
        ConsentError: see ``standing.require_usable``.
    """
    standing = require_usable(face_set, permission, project=project, home=home)
    return proved(face_set, standing, home=home)


def one_line(standings: Iterable[Standing], folders: Iterable[Path]) -> str:
    """A sentence about the face sets without a record, with the command that mends it; empty for none."""
    pairs = [pair for pair in zip(standings, folders, strict=True) if pair[0].lane == "none"]
    plain = [folder for standing, folder in pairs if standing == without_record(folder)]
    if len(plain) < 2:
        return "; ".join(standing.sentence for standing, _ in pairs)
    names = " and ".join(folder.name for folder in plain)
    commands = " && ".join(f"understudy consent attach {folder} --record ID" for folder in plain)
    return (
        f"{names} have no consent record: every frame of the result will carry the label AI MODIFIED. "
        f"To change that: {commands}"
    )


# --------------------------------------------------------------------------------------------------- models


def told(standing: Standing, digest: str) -> dict[str, str]:
    """What a model says about one of its face sets.

    Args:
        standing: of the face set.
        digest: hash of the face set.
    """
    return {
        "lane": standing.lane,
        "record": standing.record,
        "id": standing.id,
        "label": standing.label,
        "faces": digest,
    }


def said_by_model(weights: Path) -> dict[str, dict[str, str]]:
    """What a swapper's weight file says about its face sets; empty when it says nothing.

    Raises:
        CheckpointError: it is no safetensors file.
    """
    said: Any = _header(weights).get("consent", {})
    return {name: dict(said[name]) for name in ("source", "target") if name in said}


def name_of_model(weights: Path) -> str:
    """Kind of a swapper's model; empty when the file does not say."""
    return str(_header(weights).get("model", ""))


def _header(weights: Path) -> dict[str, Any]:
    """What ``training.rundir.save_swapper`` put into the header."""
    if not weights.is_file():
        raise CheckpointError(
            f"{weights}: there is no such file; wanted a run that has saved a swapper, the swapper folder in "
            "it, or its weights.safetensors"
        )
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head: Any = json.loads(file.read(min(length, 100_000_000)))
        return dict(json.loads(head.get("__metadata__", {}).get("swapper", "{}")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{weights}: cannot be read ({error}); bring it back from a copy") from None


def records_of_model(weights: Path) -> tuple[str, ...]:
    """Hashes of the consent records that a model carries."""
    found = [each.get("record", "") for each in said_by_model(weights).values()]
    return tuple(dict.fromkeys(filter(None, found)))


def standing_of_model(said: Mapping[str, str] | None, place: Path, *, home: Path | None = None) -> Standing:
    """On what a model's source stands, by what it says.

    Args:
        said: ``said_by_model(…)["source"]``; None when it says nothing.
        place: the model, for the sentence.
        home: state folder; None for ``understudy_home()``.

    Raises:
        ConsentError: its record was withdrawn, has ended, or was altered.
    """
    lane = (said or {}).get("lane", "none")
    if said is None or lane not in ("record", "performer", "research"):
        return Standing(
            lane="none",
            label="eu-modified-always",
            sentence=f"the model {place.name} says of no consent record of its source: every frame of the "
            "result will carry the label AI MODIFIED. To change that: understudy consent attach FACES "
            "--record ID, then merge with --source-faces FACES",
        )
    label = said.get("label", "")
    if lane == "record":
        store = ConsentStore(home)
        digest, name = said.get("record", ""), said.get("id", "")
        agreement = store.by_hash(digest)
        if (agreement or digest in store.withdrawn()) and (
            refusal := refusal_of(digest, agreement, name, store)
        ):
            raise ConsentError(f"{place}: {refusal}. What derives from it: understudy consent purge {name}")
        label = agreement.record.disclosure if agreement else label
        sentence = f"the model stands on consent record {name}"
        label = label if label in PRESETS else "eu-modified-always"
        return Standing(lane="record", label=label, sentence=sentence, record=digest, id=name)
    label = {"performer": "credits-only", "research": "research"}[lane]
    return Standing(lane=cast("Lane", lane), label=label, sentence=f"the model is of the lane {lane}")
