"""``understudy keys``: the key that signs results, and whose are trusted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from understudy.errors import ConfigError
from understudy.provenance.keys import KeyStore
from understudy.provenance.revocation import overdue, take_list

USAGE = """usage: understudy keys show
       understudy keys backup FILE
       understudy keys restore FILE
       understudy keys rotate [--lost]
       understudy keys trust CERTIFICATE [--time]
       understudy keys distrust CERTIFICATE
       understudy keys revoked LIST

Every result is signed with a key that is made on this machine at first use and that only you can read.

  show     where it lies, whose root is trusted here, until when it holds
  backup   all keys into one file that only you can read; keep it off this machine
  restore  put a backup back; the keys that are here are retired, not deleted
  rotate   retire the key and make a new one under the same root; what the old one signed stays yours
           --lost: the keys got into wrong hands. What they signed is no longer taken for yours, the root is
           new, and the producer signs the consent records again; whoever trusted the old root has to be told,
           so that they call keys distrust
  trust    take a root certificate of others (a studio's, a broadcaster's) into those you trust
           --time: it is a timestamp service's; it is believed about the time, and nobody else is through it
  distrust take one out again, since its key was stolen or you no longer believe its owner
  revoked  take the list in which such an issuer says which of its certificates it has revoked (X.509 CRL);
           nothing is fetched, so renew it when show says that it is due

Without the key nobody can sign as you, and you cannot either: after a loss without a backup, rotate, and give
the new root.pem to whoever trusted the old one. Files that were signed before can still be verified.
"""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if not arguments or "-h" in arguments or "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    store = KeyStore()
    match list(arguments):
        case ["show"]:
            _show(store)
        case ["backup", name]:
            sys.stdout.write(f"wrote {store.backup(Path(name))}: whoever has it can sign as you\n")
        case ["restore", name]:
            if not Path(name).is_file():
                raise ConfigError(f"{name}: no such file; wanted what understudy keys backup wrote")
            store.restore(Path(name))
            _show(store)
        case ["rotate"] | ["rotate", "--lost"]:
            store.rotate(lost="--lost" in arguments)
            _show(store)
        case ["trust", name] | ["trust", name, "--time"] | ["trust", "--time", name]:
            path = store.trust(Path(name), time="--time" in arguments)
            about = " about the time" if "--time" in arguments else ""
            sys.stdout.write(f"trusted from now on{about}: {path}\n")
        case ["distrust", name]:
            for path in store.distrust(Path(name)):
                sys.stdout.write(f"no longer trusted: {path}\n")
        case ["revoked", name]:
            root, about = take_list(store, Path(name))
            sys.stdout.write(f"list of {root}: {about}\n")
        case _:
            sys.stderr.write(USAGE)
            return 2
    return 0


def _show(store: KeyStore) -> None:
    if not store.signing.exists():
        sys.stdout.write(f"no key yet; the first result makes one in {store.signing}\n")
        return
    certificate = store.load().certificate
    lines = [
        f"folder   {store.signing}",
        f"name     {certificate.subject.rfc4514_string()}",
        f"number   {certificate.serial_number}",
        f"holds    until {certificate.not_valid_after_utc.date()}",
        f"root     {store.signing / 'root.pem'} (give it to whoever should trust your results)",
    ]
    others = [path for path in store.roots() if path not in store.own_roots()]
    lines += [f"trusted  {path}" for path in others]
    lines += [f"time     {path}" for path in store.time_roots()]
    lines += [f"overdue  {sentence}" for path in others if (sentence := overdue(path))]
    lines += [f"lost     {serial} since {day}" for serial, day in store.lost().items()]
    sys.stdout.write("\n".join(lines) + "\n")
