"""Who signed a file, and what it was made from, as its manifests tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from understudy.provenance.keys import KeyStore
from understudy.provenance.manifest import manifest_path
from understudy.provenance.reading import UNTRUSTED, codes_of, read
from understudy.provenance.revocation import revoked

OWN = "this installation"
"""What stands for our own roots."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Something that the file was made from, as the manifest has it."""

    title: str
    relation: str
    """parentOf: the plate; componentOf: put in; inputTo: used otherwise."""
    state: Literal["intact", "unsigned", "changed"]
    """When it was taken in; ``unsigned`` things can be told by their hash only."""
    hash: str
    """SHA-256 that the manifest gives for it; empty when it gives none."""
    codes: tuple[str, ...]
    """What was wrong with it, in the library's codes."""
    origins: tuple[Origin, ...]
    """What it was made from in turn."""


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Who signed."""

    name: str
    """The certificate's name; it is the signer's word, unless a root below vouches for it."""
    organisation: str
    serial: str
    """The certificate's number."""
    root: str
    """``this installation``, the name of a trusted root's file, or empty."""
    time: str
    """By a timestamp service; empty without one."""
    revoked: str = ""
    """Why the certificate is no longer believed: its issuer revoked it, or its key was lost; or empty."""


def signer_of(
    path: Path, found: dict[str, Any], active: dict[str, Any], where: str, store: KeyStore
) -> Signer:
    """Who signed the file itself."""
    about = active.get("signature_info") or {}
    serial = about.get("cert_serial_number", "")
    root, day = "", store.lost().get(serial)
    gone = f"it was signed with a key of yours that you declared lost on {day}" if day else ""
    if found.get("validation_state") == "Trusted":
        own = store.own_roots()
        others = [each for each in store.roots() if each not in own]
        beside = manifest_path(path).read_bytes() if where == "beside" else None
        root = OWN
        for each in others:  # which of them it was, the library does not say
            again = read(path, beside, each.read_text("utf-8"))
            if again and again.get("validation_state") == "Trusted":
                root, gone = each.name, revoked(each, serial)
    return Signer(
        name=about.get("common_name", ""),
        organisation=about.get("issuer", ""),
        serial=serial,
        root="" if gone else root,
        time=about.get("time") or "",
        revoked=gone,
    )


def origins_of(manifest: Mapping[str, Any], manifests: Mapping[str, Any], seen: set[str]) -> Iterator[Origin]:
    """What a manifest was made from, and that in turn; one that names itself is not entered again."""
    for each in manifest.get("ingredients", []):
        results = each.get("validation_results") or {}
        codes = [code for code in codes_of(results.get("activeManifest")) if code != UNTRUSTED]
        for delta in results.get("ingredientDeltas", []):
            codes += [code for code in codes_of(delta.get("validationDeltas")) if code != UNTRUSTED]
        label = each.get("active_manifest")
        below: tuple[Origin, ...] = ()
        if label in manifests and label not in seen:
            below = tuple(origins_of(manifests[label], manifests, seen | {label}))
        name = str(each.get("instance_id", ""))
        yield Origin(
            title=each.get("title", ""),
            relation=each.get("relationship", ""),
            state="changed" if codes else "intact" if label else "unsigned",
            hash=name.removeprefix("sha256:") if name.startswith("sha256:") else "",
            codes=tuple(codes),
            origins=below,
        )


def every(origins: Sequence[Origin]) -> Iterator[Origin]:
    """Everything that a file was made from, near and far."""
    for origin in origins:
        yield origin
        yield from every(origin.origins)
