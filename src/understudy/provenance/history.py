"""Who signed a file, and what it was made from, as its manifests tell.

A manifest brings those of its ingredients along. Each has a signer of its own, who is looked up as the file's
own is: under the trusted roots, in the lists of revoked certificates, among the keys that were declared lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from understudy.provenance.keys import KeyStore, pem_text
from understudy.provenance.reading import DOUBTS, UNTRUSTED, codes_of, since, trusted
from understudy.provenance.revocation import revoked

OWN = "this installation"
"""What stands for our own roots."""


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
    """When, as a timestamp service says; empty without one."""
    time_by: str = ""
    """The service's name; it is its own word, unless a root below vouches for it."""
    time_root: str = ""
    """The name of the trusted root's file that vouches for the service, or empty: anybody can be one."""
    revoked: str = ""
    """Why the certificate is no longer believed: its issuer revoked it, or its key was lost; or empty."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Something that the file was made from, as the manifest has it."""

    title: str
    relation: str
    """parentOf: the plate; componentOf: put in; inputTo: used otherwise."""
    state: Literal["intact", "unsigned", "doubtful", "changed"]
    """When it was taken in; ``unsigned`` things can be told by their hash only. ``doubtful``: intact, but who
    signed it is no longer believed."""
    hash: str
    """SHA-256 that the manifest gives for it; empty when it gives none."""
    codes: tuple[str, ...]
    """What was wrong with it, in the library's codes."""
    late: tuple[str, ...]
    """Those of them that came after it was taken in: its manifest was changed within this file."""
    origins: tuple[Origin, ...]
    """What it was made from in turn."""
    signer: Signer | None = None
    """Who signed it; None for what is not signed."""


class History:
    """The manifests of one file.

    Args:
        found: what the library says under all trusted roots, those of timestamp services among them.
        read_under: reads the file again under some roots only.
        store: the trusted roots, and the keys that were lost.

    Raises:
        ConfigError: a list of revoked certificates is damaged.
    """

    def __init__(
        self,
        found: Mapping[str, Any],
        read_under: Callable[[str], Mapping[str, Any] | None],
        store: KeyStore,
    ) -> None:
        self.manifests: Mapping[str, Any] = found["manifests"]
        self.active: str = found["active_manifest"]
        self._stamps: Mapping[str, Any] = found.get("stamps", {})
        self._since = [
            (label, code)
            for label, code, outcome in since(found)
            if outcome == "failure" and code != UNTRUSTED
        ]
        self._lost = store.lost()
        self._vouched: dict[str, str] = {}
        self._timed: dict[str, str] = {}
        self._revoked: dict[str, str] = {}
        if trusted(found, "signingCredential") or self._stamps:
            self._ask(found, read_under, store)
        if found.get("validation_state") == "Invalid":  # whoever is vouched for did not sign it as it is
            self._vouched.pop(self.active, None)

    def _ask(
        self,
        found: Mapping[str, Any],
        read_under: Callable[[str], Mapping[str, Any] | None],
        store: KeyStore,
    ) -> None:
        """Which root vouches for whom: the library does not say it, so it is asked under each alone."""

        def under(roots: Sequence[Path], what: Literal["signingCredential", "timeStamp"]) -> set[str]:
            text = pem_text(roots)
            if text not in answers:
                answers[text] = read_under(text)
            answer = answers[text]
            return trusted(answer, what) if answer else set[str]()

        answers: dict[str, Mapping[str, Any] | None] = {}
        own, services = store.own_roots(), store.time_roots()
        ours = {file.read_bytes() for file in own}
        below: set[str] = set()
        for root in services:
            self._timed |= dict.fromkeys(under([root], "timeStamp"), root.name)
            below |= under([root], "signingCredential")
        left = trusted(found, "signingCredential")
        for root in (each for each in store.roots() if each.read_bytes() not in ours):
            labels = under([root], "signingCredential")
            if self._timed and left - labels:  # a timestamp outlives a certificate
                labels |= under([root, *services], "signingCredential") - below
            for label in labels:
                self._vouched[label] = root.name
                if why := revoked(root, self._serial(label)):
                    self._revoked[label] = why
            left -= labels
        if left and answers:  # a timestamp of one and a certificate of another would do together
            left &= under([*own, *services], "signingCredential") - below
        self._vouched |= dict.fromkeys(left, OWN)

    def signer(self, label: str) -> Signer:
        """Who signed a manifest."""
        about = self._about(label)
        serial = self._serial(label)
        gone = self._revoked.get(label, "")
        if day := self._lost.get(serial):
            gone = f"it was signed with a key of yours that you declared lost on {day}"
        return Signer(
            name=about.get("common_name", ""),
            organisation=about.get("issuer", ""),
            serial=serial,
            root="" if gone else self._vouched.get(label, ""),
            time=about.get("time") or "",
            time_by=_named(self._stamps.get(label, {}).get("certificateInfo", {}).get("subject", {})),
            time_root=self._timed.get(label, ""),
            revoked=gone,
        )

    def origins(self) -> tuple[Origin, ...]:
        """What the file was made from, and that in turn."""
        return tuple(self._origins(self.active, {self.active}))

    def _origins(self, above: str, seen: set[str]) -> Iterator[Origin]:
        """One that was told already is not entered again, so that nobody can make this endless."""
        for each in self.manifests[above].get("ingredients", []):
            label = each.get("active_manifest") or ""
            results = each.get("validation_results") or {}
            codes = codes_of(results.get("activeManifest"))
            for delta in results.get("ingredientDeltas", []):
                codes += codes_of(delta.get("validationDeltas"))
            late = [code for place, code in self._since if label and place == label]
            known = label in self.manifests
            below: tuple[Origin, ...] = ()
            if known and label not in seen:
                seen.add(label)
                below = tuple(self._origins(label, seen))
            signer = self.signer(label) if known else None
            wrong = [code for code in dict.fromkeys((*codes, *late)) if code != UNTRUSTED]
            state = _state(wrong, signer)
            if signer is not None and state == "changed":
                signer = replace(signer, root="")
            name = str(each.get("instance_id", ""))
            yield Origin(
                title=each.get("title", ""),
                relation=each.get("relationship", ""),
                state=state if label or wrong else "unsigned",
                hash=name.removeprefix("sha256:") if name.startswith("sha256:") else "",
                codes=tuple(wrong),
                late=tuple(dict.fromkeys(late)),
                origins=below,
                signer=signer,
            )

    def _about(self, label: str) -> Mapping[str, Any]:
        return self.manifests.get(label, {}).get("signature_info") or {}

    def _serial(self, label: str) -> str:
        return self._about(label).get("cert_serial_number") or ""


def _named(subject: Mapping[str, str]) -> str:
    """A certificate's common name and organisation."""
    name, organisation = subject.get("CN", ""), subject.get("O", "")
    return f"{name} ({organisation})" if name and organisation else name or organisation


def _state(wrong: Sequence[str], signer: Signer | None) -> Literal["intact", "doubtful", "changed"]:
    if set(wrong) - DOUBTS:
        return "changed"
    return "doubtful" if wrong or (signer is not None and signer.revoked) else "intact"


def every(origins: Sequence[Origin]) -> Iterator[Origin]:
    """Everything that a file was made from, near and far."""
    for origin in origins:
        yield origin
        yield from every(origin.origins)
