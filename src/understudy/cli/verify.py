"""``understudy verify FILE…``: what is this file, who says so, and is it as it was signed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from understudy.provenance.audit import note
from understudy.provenance.claim import VOCABULARY
from understudy.provenance.verify import Answer, Look, Origin, gravest, verify

USAGE = """usage: understudy verify FILE [FILE …] [--json] [--quick]

Says what a picture, a video, a folder of images or an exported model is: who signed it, whether it is as it
was signed, what was done to it, from which plate, with which consent, whether the plate itself was whole, and
whether our invisible mark is in it. A file that has lost its manifest is found again by its mark in the store
of this machine. Needs no network.

  --json   one JSON document for scripts, on the standard output
  --quick  look for the mark in whole pictures only; without it a file that nothing else tells about is
           searched for a part of a marked picture, which takes seconds

exit codes, of several files that of the gravest, which is the last in this list:
  0  as it was signed, by this installation or by somebody whom you trust (understudy keys trust FILE)
  3  as it was signed, by somebody unknown here
  8  no manifest, but our invisible mark: a copy of a result of this installation
  4  neither manifest nor mark: nothing tells where it comes from
  5  as it was signed, but what it was made from had been altered
  6  damaged: cannot be read
  7  not as it was signed
  1  no such file        2  wrong flag
"""
HEADINGS = {
    "intact": "[bold green]INTACT[/]",
    "stranger": "[bold yellow]INTACT, SIGNER UNKNOWN HERE[/]",
    "recovered": "[bold yellow]NOT SIGNED, OUR MARK IN IT[/]",
    "unsigned": "[bold yellow]NOT SIGNED[/]",
    "origin": "[bold red]MADE FROM SOMETHING ALTERED[/]",
    "unreadable": "[bold red]CANNOT BE READ[/]",
    "changed": "[bold red]CHANGED[/]",
}
SIDECARS = {
    "fits": "fits the file",
    "of another file": "of another file, or the file was changed",
    "damaged": "damaged",
}


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if not arguments or "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    names = [word for word in arguments if not word.startswith("-")]
    flags = [word for word in arguments if word.startswith("-")]
    if not names or set(flags) - {"--json", "--quick"}:
        sys.stderr.write(USAGE)
        return 2
    how: Look = "whole pictures" if "--quick" in flags else "as needed"
    answers = [verify(Path(name), mark=how) for name in names]
    for remark in dict.fromkeys(_logged(answer) for answer in answers):
        if remark:
            sys.stderr.write(f"{remark}\n")
    if "--json" in flags:
        data = [answer.as_data() for answer in answers]
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        console = Console(highlight=False, soft_wrap=True)  # the answer is the output: not to the errors
        for answer in answers:
            console.print("\n".join(_lines(answer)))
    return gravest(answers)


def _logged(answer: Answer) -> str:
    """Puts the verification into the audit log; says why not where that cannot be."""
    _, remark = note("verify", {"file": Path(answer.path).name, "verdict": answer.verdict})
    return remark


def _lines(answer: Answer) -> list[str]:
    lines = [f"{HEADINGS[answer.verdict]}  [bold]{escape(answer.path)}[/]"]
    lines += [f"  {escape(reason)}" for reason in answer.reasons]
    if (signer := answer.signer) is not None:
        when = f", time confirmed: {signer.time}" if signer.time else ", time not confirmed by anybody"
        root = f", vouched for by {signer.root}" if signer.root else ""
        lines.append(escape(f"  signed by   {signer.name} ({signer.organisation}){root}{when}"))
    if answer.actions:
        lines.append(f"  done        {escape(_done(answer))}")
    if answer.source_type:
        lines.append(f"  kind        {escape(answer.source_type.rpartition('/')[2])}")
    lines += [f"  {line}" for origin in answer.origins for line in _origin(origin, 0)]
    if answer.consent is not None:
        lines.append(escape(f"  consent     {_consent(answer.consent)}"))
    lines += [f"  mark        {escape(line)}" for line in _mark(answer)]
    if answer.metadata:
        said = dict.fromkeys(answer.metadata.values())
        short = "; ".join(text.removeprefix(VOCABULARY) for text in said)
        lines.append(escape(f"  metadata    {short} (anyone can write or remove that)"))
    if answer.sidecar != "none":
        lines.append(f"  sidecar     {SIDECARS[answer.sidecar]}")
    return lines


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


def _origin(origin: Origin, depth: int) -> list[str]:
    what = {"parentOf": "made from", "componentOf": "put in"}.get(origin.relation, origin.relation)
    states = {"intact": "its own manifest was whole", "unsigned": "not signed", "changed": "ALTERED before"}
    digest = f", sha256 {origin.hash[:16]}…" if origin.hash else ""
    if origin.relation == "componentOf" and origin.state == "unsigned":
        states["unsigned"] = "known by its hash only"
    line = f"{'  ' * depth}{what:<11} {origin.title}: {states[origin.state]}{digest}"
    return [escape(line), *(line for each in origin.origins for line in _origin(each, depth + 1))]
