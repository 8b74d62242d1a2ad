"""What a manifest of ours says about a result: the words, without any signing.

*opened* (the plate), *placed* (the identity reference: a hash, never a picture or a name), *edited* with
IPTC's ``compositeWithTrainedAlgorithmicMedia``; then the invisible mark, C2PA's disclosure of the model,
CAWG's rules for training, and the hash of the consent record. Specification: C2PA 2.4, "Standard assertions".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from understudy import __version__
from understudy.provenance.labels import DIGITAL_SOURCE_TYPE

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = VOCABULARY + "trainedAlgorithmicMedia"
"""IPTC's term for what a trained algorithm made wholly."""
NAMESPACE = "org.understudy"
"""Prefix of what we say in words of our own."""
DATA = "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData"
"""C2PA's term for what training gives that is no picture: weights."""
Operation = Literal["replacement", "reenactment", "editing", "synthesis", "model"]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An invisible watermark that leads from the picture back to its manifest (C2PA soft binding)."""

    algorithm: str
    """Name of the method, reverse-DNS unless it is on C2PA's list: ``org.understudy.spread.1``."""
    value: str
    """What the mark says, as text."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What was done to make a result. Nothing in it names a person."""

    operation: Operation = "replacement"
    """What was done to the face; ``synthesis`` without a plate is a picture that was wholly generated,
    ``model`` no picture at all but weights."""
    plate: Path | None = None
    """The footage that was worked on, a file or folder; its own manifest comes along if it has one."""
    plate_hash: str = ""
    """SHA-256 of the footage where it is known already; empty: it is taken when signing."""
    references: Sequence[str] = ()
    """SHA-256 of the identity references, in hexadecimal: the face set, or the pictures of the record."""
    model: str = ""
    """Kind of model."""
    model_hash: str = ""
    """SHA-256 of its weights."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings, as plain data."""
    frames: Sequence[tuple[int, int]] = ()
    """First and last frame of every stretch that was changed; empty: all of it."""
    consent: Sequence[str] = ()
    """Hashes of the consent records."""
    lane: Literal["record", "performer", "research", "none"] = "none"
    """On what the work rests: a consent record, a synthetic person, a public data set, or nothing."""
    label: str = "none"
    """Presets of the visible labels in the picture, with commas between them."""
    owed: str = ""
    """Labels that a master leaves to whoever delivers it; empty: nothing is owed."""
    oversight: Literal["fully_autonomous", "prompt_guided", "human_validated"] = "prompt_guided"
    """How far a person looked after it; ``human_validated`` only if one has approved the result."""
    mark: Mark | None = None
    """The invisible watermark in the picture."""
    audit: str = ""
    """Hash of the last line of the audit log."""


def source_type(edit: Edit) -> str:
    """IPTC's term for the result."""
    if edit.operation == "model":
        return DATA
    return GENERATED if edit.plate is None else DIGITAL_SOURCE_TYPE


def definition(edit: Edit, title: str, kind: str, *, parent_by_hash: bool = False) -> dict[str, Any]:
    """The manifest as the library takes it; the first action is added by it.

    Args:
        edit: what was done.
        title: the file's name.
        kind: its media type.
        parent_by_hash: name the plate by its hash alone; otherwise the library is given the file itself.
    """
    agent = {"name": "understudy", "version": __version__}
    references = [
        {
            "title": "identity reference",
            "format": "application/octet-stream",
            "relationship": "componentOf",
            "label": f"reference{number}",
            "instance_id": f"sha256:{digest}",
        }
        for number, digest in enumerate(edit.references)
    ]
    parents = [plate(edit)] if parent_by_hash and edit.plate is not None else []
    return {
        "claim_generator_info": [agent],
        "title": title,
        "format": kind,
        "ingredients": [*references, *parents],
        "assertions": list(_assertions(edit, agent, [each["label"] for each in references])),
    }


def plate(edit: Edit) -> dict[str, str]:
    """The plate as an ingredient, by name and hash."""
    assert edit.plate is not None
    about = {"title": edit.plate.name, "relationship": "parentOf", "label": "plate"}
    return {**about, "instance_id": f"sha256:{edit.plate_hash}"} if edit.plate_hash else about


def _assertions(edit: Edit, agent: dict[str, str], references: list[str]) -> Iterator[dict[str, Any]]:
    actions: list[dict[str, Any]] = []
    if references:
        actions.append(
            {
                "action": "c2pa.placed",
                "softwareAgent": agent,
                "description": "identity reference, known by its hash only",
                "parameters": {"ingredientIds": references},
            }
        )
    if edit.plate is not None:
        actions.append(_edited(edit, agent))
    if edit.mark is not None:
        actions.append({"action": "c2pa.watermarked.bound", "softwareAgent": agent})
        blocks = [{"scope": {}, "value": edit.mark.value}]
        yield {"label": "c2pa.soft-binding", "data": {"alg": edit.mark.algorithm, "blocks": blocks}}
    if actions:
        yield {"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}}
    disclosure: dict[str, Any] = {
        "modelType": "c2pa.types.model",
        "modelName": edit.model or "understudy",
        "contentProfile": {"humanOversightLevel": edit.oversight},
    }
    if edit.model_hash:
        disclosure["modelIdentifier"] = f"sha256:{edit.model_hash}"
    yield {"label": "c2pa.ai-disclosure", "data": disclosure}
    detection = {"use": "constrained", "constraint_info": "research on the detection of manipulation only"}
    kinds = ("data_mining", "ai_inference", "ai_generative_training")
    entries = {f"cawg.{kind}": {"use": "notAllowed"} for kind in kinds}
    yield {"label": "cawg.training-mining", "data": {"entries": {**entries, "cawg.ai_training": detection}}}
    consent = {"lane": edit.lane, "records": list(edit.consent), "label": edit.label, "audit": edit.audit}
    if edit.owed:
        consent |= {"master": True, "owed": edit.owed}
    yield {"label": f"{NAMESPACE}.consent", "data": consent}


def _edited(edit: Edit, agent: dict[str, str]) -> dict[str, Any]:
    words = {
        "replacement": "a face was replaced by a trained model",
        "reenactment": "a face's expression was driven by a trained model",
        "editing": "a face was changed by a trained model",
        "synthesis": "a face was generated by a trained model",
        "model": "a model was trained",
    }
    action: dict[str, Any] = {
        "action": "c2pa.edited",
        "softwareAgent": agent,
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "description": words[edit.operation],
        "parameters": {
            f"{NAMESPACE}.operation": f"face.{edit.operation}",
            f"{NAMESPACE}.settings": json.dumps(dict(edit.parameters), sort_keys=True, default=str),
        },
    }
    if edit.frames:
        action["changes"] = [
            {"region": [{"type": "frame", "frame": {"start": first, "end": last}}]}
            for first, last in edit.frames
        ]
    return action


def aigc_label(edit: Edit) -> dict[str, str] | None:
    """The implicit label of GB 45438-2025: 1 says that the content certainly was generated."""
    if "gb45438" not in f"{edit.label}, {edit.owed}".split(", "):
        return None
    empty = ("ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
    filled = {"Label": "1", "ContentProducer": f"understudy {__version__}", "ProduceID": edit.audit}
    return {**filled, **dict.fromkeys(empty, "")}
