"""``understudy verify FILE…``: what is this file, who says so, and is it as it was signed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from understudy.provenance.verify import EXIT, Answer, Origin, verify

USAGE = """usage: understudy verify FILE [FILE …] [--json]

Says what a picture, a video or a folder of images is: who signed it, whether it is as it was signed, what was
done to it, from which plate, with which consent, and whether the plate itself was whole. Needs no network.

  --json  one JSON document for scripts, on the standard output

exit codes, of several files the highest:
  0  as it was signed, by this installation or by somebody whom you trust (understudy keys trust FILE)
  3  as it was signed, by somebody unknown here
  4  no manifest: nothing tells where it comes from
  5  as it was signed, but what it was made from had been altered
  6  damaged: cannot be read
  7  not as it was signed
  1  no such file        2  wrong flag
"""
HEADINGS = {
    "intact": "[bold green]INTACT[/]",
    "stranger": "[bold yellow]INTACT, SIGNER UNKNOWN HERE[/]",
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
    if not names or set(flags) - {"--json"}:
        sys.stderr.write(USAGE)
        return 2
    answers = [verify(Path(name)) for name in names]
    if "--json" in flags:
        data = [answer.as_data() for answer in answers]
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        console = Console(highlight=False, soft_wrap=True)  # the answer is the output: not to the errors
        for answer in answers:
            console.print("\n".join(_lines(answer)))
    return max(EXIT[answer.verdict] for answer in answers)


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
    if (consent := answer.consent) is not None:
        records = ", ".join(str(each)[:16] for each in consent.get("records", [])) or "no record"
        lines.append(
            escape(f"  consent     {consent.get('lane')}: {records}; visible label: {consent.get('label')}")
        )
    if (mark := answer.mark) is not None:
        lines.append(escape(f"  mark        {mark.get('alg')}, as the manifest says; not looked for"))
    if answer.metadata:
        lines.append("  metadata    " + escape("; ".join(f"{k}: {v}" for k, v in answer.metadata.items())))
    if answer.sidecar != "none":
        lines.append(f"  sidecar     {SIDECARS[answer.sidecar]}")
    return lines


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
    line = f"{'  ' * depth}{what:<11} {origin.title}: {states[origin.state]}{digest}"
    return [escape(line), *(line for each in origin.origins for line in _origin(each, depth + 1))]
