"""``understudy audit show | check``: what was trained, merged, exported and verified on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from understudy.errors import ConfigError
from understudy.provenance.audit import OWN, AuditLog, Entry
from understudy.provenance.legible import legible

USAGE = """usage: understudy audit show [NUMBER]
       understudy audit check [FILE …]

Every training, merge, export and verification on this machine leaves a line that is bound to the one before.

  show   the last 20 lines, or the last NUMBER
  check  goes through all of them and names a line that was edited, left out or put in; for each FILE, a
         signed result, also whether the line that its manifest names is there: that finds a log written anew

exit codes: 0 whole, 1 an error, 2 a wrong word, 7 changed
"""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if not arguments or "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    log = AuditLog()
    match list(arguments):
        case ["show"]:
            return _show(log, 20)
        case ["show", number] if number.isdigit():
            return _show(log, int(number))
        case ["check", *files] if not any(word.startswith("-") for word in files):
            return _check(log, [Path(file) for file in files])
        case _:
            sys.stderr.write(USAGE)
            return 2


def _show(log: AuditLog, number: int) -> int:
    entries = list(log.entries())
    for entry in entries[len(entries) - min(number, len(entries)) :]:
        sys.stdout.write(_line(entry) + "\n")
    if not entries:
        sys.stdout.write(f"nothing yet in {log.path}\n")
    return 0


def _line(entry: Entry) -> str:
    data = entry.data
    facts = ", ".join(
        f"{name} {_short(value)}"
        for name, value in sorted(data.items())
        if name not in OWN and value not in ("", [])
    )
    line = f"{data.get('number')}  {data.get('time')}  {data['what']:<7} {entry.hash[:12]}  {facts}"
    return legible(line)


def _short(value: object) -> str:
    text = ", ".join(map(_short, value)) if isinstance(value, list) else str(value)
    return f"{text[:16]}…" if len(text) == 64 and " " not in text else text


def _check(log: AuditLog, files: list[Path]) -> int:
    found = log.check()
    wrong = list(found.wrong)
    for file in files:
        wrong += _missing(log, file)
    for sentence in (*wrong, *found.remarks):
        sys.stdout.write(f"{sentence}\n")
    if wrong:
        sys.stdout.write(f"CHANGED: {log.path} is not as it was written\n")
        return 7
    bound = "; every line that is named is there" if files else ""
    sys.stdout.write(f"WHOLE: {found.entries} lines, head {found.head[:16] or 'none'}{bound}\n")
    return 0


def _missing(log: AuditLog, file: Path) -> list[str]:
    from understudy.provenance.verify import read_audit

    if not file.exists():
        raise ConfigError(f"{file}: no such file; wanted a signed result")
    digest = read_audit(file)
    if not digest:
        raise ConfigError(f"{file}: it names no line of a log; wanted a result that understudy has signed")
    if not log.knows(digest):
        return [f"{file}: it names the line {digest[:16]}…, which is not in the log any more, or was never"]
    return []
