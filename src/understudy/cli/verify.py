"""``understudy verify FILE…``: what is this file, who says so, and is it as it was signed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from understudy.provenance.answer import HEADLINES, facts
from understudy.provenance.audit import note
from understudy.provenance.legible import legible
from understudy.provenance.verify import Answer, Look, gravest, verify

USAGE = """usage: understudy verify FILE [FILE …] [--json] [--quick]

Says what a picture, a video, a folder of images or an exported model is: who signed it, whether it is as it
was signed, what was done to it, from which plate, with which consent, whether the plate itself was whole
and who signed that, and whether our invisible mark is in it. A file that has lost its manifest is found again
by its mark in the store of this machine. Needs no network.

  --json   one JSON document for scripts, on the standard output
  --quick  look for the mark in whole pictures only; without it a file that nothing else tells about is
           searched for a part of a marked picture, which takes seconds

exit codes, of several files that of the gravest, which is the last in this list:
  0  as it was signed, by this installation or by somebody whom you trust (understudy keys trust FILE)
  3  as it was signed, by somebody unknown here
  8  no manifest, but our invisible mark: a copy of a result of this installation
  4  neither manifest nor mark: nothing tells where it comes from
  9  as it was signed, but who signed it, or something that it was made from, is no longer believed: the
     certificate was revoked or has ended, the key was declared lost (understudy keys --help)
  5  as it was signed, but what it was made from had been altered
  6  damaged: cannot be read
  7  not as it was signed
  1  no such file        2  wrong flag
"""
COLOURS = {"intact": "green", "stranger": "yellow", "recovered": "yellow", "unsigned": "yellow"}
"""Of the headlines; all others are red."""


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
        data = json.dumps([answer.as_data() for answer in answers], indent=2, ensure_ascii=False)
        sys.stdout.write(data.encode("utf-8", "backslashreplace").decode() + "\n")  # names that are no text
    else:
        console = Console(highlight=False, soft_wrap=True)  # the answer is the output: not to the errors
        for answer in answers:
            console.print(shown(answer))
    return gravest(answers)


def _logged(answer: Answer) -> str:
    """Puts the verification into the audit log; says why not where that cannot be."""
    _, remark = note("verify", {"file": Path(answer.path).name, "verdict": answer.verdict})
    return remark


def shown(answer: Answer) -> str:
    """The answer with the markup of ``rich``."""
    headline = f"[bold {COLOURS.get(answer.verdict, 'red')}]{HEADLINES[answer.verdict]}[/]"
    lines = [f"{headline}  [bold]{escape(legible(answer.path))}[/]"]
    lines += [f"  {escape(legible(reason))}" for reason in answer.reasons]
    lines += [f"  [dim]{escape(name):<11}[/] {escape(text)}" for name, text in facts(answer)]
    return "\n".join(lines)
