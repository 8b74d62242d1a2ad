"""What ``provenance.verify`` found, in words for a person: one headline, its reasons, every fact below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from understudy.provenance.claim import VOCABULARY
from understudy.provenance.history import Origin, Signer
from understudy.provenance.legible import legible
from understudy.provenance.verify import Answer, Verdict

HEADLINES: dict[Verdict, str] = {
    "intact": "INTACT",
    "stranger": "INTACT, SIGNER UNKNOWN HERE",
    "recovered": "NOT SIGNED, OUR MARK IN IT",
    "unsigned": "NOT SIGNED",
    "doubtful": "INTACT, A SIGNER IS NO LONGER BELIEVED",
    "origin": "MADE FROM SOMETHING ALTERED",
    "unreadable": "CANNOT BE READ",
    "changed": "CHANGED",
}
SIDECARS = {
    "fits": "fits the file",
    "of another file": "of another file, or the file was changed",
    "damaged": "damaged",
}


def facts(answer: Answer) -> list[tuple[str, str]]:
    """Names and texts of everything below the reasons, in the order in which they are read."""
    return [(name, legible(text)) for name, text in _facts(answer)]


def _facts(answer: Answer) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    if answer.signer is not None:
        out.append(("signed by", _signed_by(answer.signer)))
    if answer.actions:
        out.append(("done", _done(answer)))
    if answer.source_type:
        out.append(("kind", answer.source_type.rpartition("/")[2]))
    out += [line for origin in answer.origins for line in _origin(origin, 0)]
    if answer.consent is not None:
        out.append(("consent", _consent(answer.consent)))
        if audit := answer.consent.get("audit"):
            out.append(("audit log", f"line {str(audit)[:16]}…"))
    out += [("mark", line) for line in _mark(answer)]
    if answer.metadata:
        said = dict.fromkeys(answer.metadata.values())
        short = "; ".join(text.replace(VOCABULARY, "") for text in said)
        out.append(("metadata", f"{short} (anyone can write or remove that)"))
    if answer.sidecar != "none":
        out.append(("sidecar", SIDECARS[answer.sidecar]))
    return out


def _consent(said: Mapping[str, Any]) -> str:
    records = ", ".join(f"{str(each)[:16]}…" for each in said.get("records", []))
    on = {
        "record": f"record {records}",
        "performer": "a synthetic person",
        "research": "a public data set, for research",
        "none": "no record",
    }.get(str(said.get("lane")), "it does not say")
    if said.get("master"):
        return f"{on}; a master without label and mark, owed at delivery: {said.get('owed')}"
    return f"{on}; label in the picture: {said.get('label')}"


def _mark(answer: Answer) -> list[str]:
    if (found := answer.found) is not None:
        chance = f"p = {found.p_value:.0e} in {found.frames} frames"
        of = f", of {found.result}" if found.result else ""
        part = ", a part of the picture" if found.cropped else ""
        lines = [f"found, {chance}: number {found.number or 'not legible'}{of}{part}"]
        if (consent := found.consent) and answer.consent is None:
            records = ", ".join(str(each)[:16] for each in consent.get("records", [])) or "no record"
            lines.append(
                f"  the kept manifest of that: signed by {found.signer}, {consent.get('lane')}: {records}"
            )
        return lines
    if answer.mark is not None:
        seen = "not found" if answer.looked else "not looked for"
        return [f"{answer.mark.get('alg')}, as the manifest says; {seen}"]
    return []


def _done(answer: Answer) -> str:
    steps: list[str] = []
    for action in answer.actions:
        word = str(action["action"]).removeprefix("c2pa.")
        said = action.get("description")
        steps.append(f"{word} ({said})" if said else word)
    return " → ".join(steps)


def _origin(origin: Origin, depth: int) -> list[tuple[str, str]]:
    what = {"parentOf": "made from", "componentOf": "put in"}.get(origin.relation, origin.relation)
    states = {
        "intact": "its own manifest was whole",
        "unsigned": "not signed",
        "doubtful": "its own manifest was whole, but who signed it is NO LONGER BELIEVED",
        "changed": "ALTERED within this file" if origin.late else "ALTERED before",
    }
    if origin.relation == "componentOf" and origin.state == "unsigned":
        states["unsigned"] = "known by its hash only"
    digest = f", sha256 {origin.hash[:16]}…" if origin.hash else ""
    indent = "  " * depth
    lines = [(f"{indent}{what}", f"{origin.title}: {states[origin.state]}{digest}")]
    if origin.signer is not None:
        lines.append((f"{indent}  by", _signed_by(origin.signer)))
    return [*lines, *(line for each in origin.origins for line in _origin(each, depth + 1))]


def _signed_by(signer: Signer) -> str:
    who = " ".join(filter(None, (signer.name, f"({signer.organisation})" if signer.organisation else "")))
    root = f"vouched for by {signer.root}" if signer.root else signer.revoked or "unknown here"
    if not signer.time:
        when = "time not confirmed by anybody"
    elif signer.time_root:
        when = f"time confirmed: {signer.time}, by {signer.time_by}, vouched for by {signer.time_root}"
    else:
        when = f"time not confirmed: {signer.time}, says {signer.time_by or 'a service'}, unknown here"
    return f"{who}, {root}, {when}"
