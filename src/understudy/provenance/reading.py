"""What the library finds out about a file's manifests, and its codes in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from understudy.provenance.manifest import media_type
from understudy.provenance.signer import quiet_context

Outcome = Literal["success", "informational", "failure"]
OUTCOMES: tuple[Outcome, ...] = ("success", "informational", "failure")
UNTRUSTED = "signingCredential.untrusted"
WORDS = {
    "assertion.dataHash.mismatch": "the picture or its metadata was changed after signing",
    "assertion.bmffHash.mismatch": "picture, sound or metadata was changed after signing",
    "assertion.boxesHash.mismatch": "the picture or its metadata was changed after signing",
    "assertion.hashedURI.mismatch": "the manifest was changed after signing",
    "assertion.missing": "a part of the manifest is missing",
    "claim.hardBindings.missing": "the manifest is bound to no picture",
    "claimSignature.mismatch": "the signature does not fit the manifest",
    "claimSignature.outsideValidity": "it was signed outside the certificate's dates",
    "claimSignature.missing": "the signature is missing",
    "signingCredential.expired": "the certificate has ended, and no timestamp tells when it was used",
    "signingCredential.invalid": "the certificate is not one for signing",
    "signingCredential.revoked": "the certificate was revoked",
    "ingredient.manifest.mismatch": "the manifest of what it was made from was exchanged",
    "ingredient.manifest.missing": "the manifest of what it was made from is missing",
}
"""The library's codes in plain words."""
DOUBTS = {"claimSignature.outsideValidity", "signingCredential.expired", "signingCredential.revoked"}
"""Codes of a file that is as it was signed, by somebody who can no longer be believed."""


def read(path: Path, beside: bytes | None, roots: str) -> dict[str, Any] | None:
    """The manifests with what the library found out about them; None when there is none.

    Args:
        path: the file.
        beside: its manifest, if that is not in the file.
        roots: trusted certificates, PEM.

    Returns:
        The library's answer, and besides, as ``stamps``, the timestamp of each manifest by its label.
    """
    from c2pa import Reader

    kind = media_type(path)
    if beside is None and kind not in Reader.get_supported_mime_types():
        return None
    with quiet_context(roots) as context, path.open("rb") as file:
        reader = Reader.try_create(kind, file, beside, context=context)
        if reader is None:
            return None
        with reader:
            found = json.loads(reader.json())
            every = json.loads(reader.crjson()).get("manifests", [])
    stamps = {each["label"]: (each.get("signature") or {}).get("timeStampInfo") for each in every}
    return {**found, "stamps": {label: stamp for label, stamp in stamps.items() if stamp}}


def codes_of(results: Mapping[str, Any] | None) -> list[str]:
    """Codes of what is wrong."""
    return [each["code"] for each in (results or {}).get("failure", [])]


def since(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Outcome]]:
    """What is otherwise with things it was made from than whoever took them in has written down.

    Yields:
        Label of a manifest, a code, and what kind of code that is. The library found these out now; what was
        written down is the signer's word.
    """
    for delta in (found.get("validation_results") or {}).get("ingredientDeltas", []):
        yield from _labelled(delta.get("validationDeltas"))


def trusted(found: Mapping[str, Any], what: Literal["signingCredential", "timeStamp"]) -> set[str]:
    """Labels of the manifests whose signer, or timestamp, one of the roots that were given vouches for.

    The library says it of the file's own manifest, and of others only where the signer of the manifest above
    wrote down otherwise. What was written down counts where nothing speaks against it.

    Args:
        found: what the library says under these roots.
        what: the signer or the timestamp.
    """
    results = found.get("validation_results") or {}
    now = [*_labelled(results.get("activeManifest")), *since(found)]
    told: list[tuple[str, str, Outcome]] = []
    for manifest in found["manifests"].values():
        for each in manifest.get("ingredients", []):
            written = each.get("validation_results") or {}
            told += _labelled(written.get("activeManifest"))
            for delta in written.get("ingredientDeltas", []):
                told += _labelled(delta.get("validationDeltas"))
    yes, no = f"{what}.trusted", f"{what}.untrusted"
    proved = {label for label, code, outcome in now if (code, outcome) == (yes, "success")}
    said = {label for label, code, outcome in told if (code, outcome) == (yes, "success")}
    return proved | (said - {label for label, code, _ in (*now, *told) if code == no})


def _labelled(results: Mapping[str, Any] | None) -> Iterator[tuple[str, str, Outcome]]:
    for outcome in OUTCOMES:
        for each in (results or {}).get(outcome, []):
            yield _label(str(each.get("url", ""))), each["code"], outcome


def _label(url: str) -> str:
    """The manifest that a JUMBF address leads into: ``self#jumbf=/c2pa/LABEL/…``."""
    parts = url.rpartition("jumbf=")[2].split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "c2pa" else ""
