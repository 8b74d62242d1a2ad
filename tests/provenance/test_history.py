"""Whom a file's manifests name as signers, on invented answers of the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from understudy.provenance.history import History, every
from understudy.provenance.keys import KeyStore
from understudy.provenance.reading import UNTRUSTED, trusted

TRUSTED = "signingCredential.trusted"


def results(label: str, success: list[str], failure: list[str]) -> dict[str, Any]:
    """Codes of one manifest, as the library lists them."""
    url = f"self#jumbf=/c2pa/{label}/c2pa.signature"
    return {
        "success": [{"code": code, "url": url} for code in success],
        "failure": [{"code": code, "url": url} for code in failure],
    }


def file(
    written: tuple[list[str], list[str]], now: tuple[list[str], list[str]], number: str = "7"
) -> dict[str, Any]:
    """A file with one plate: what its signer wrote down of that, and what the library says besides."""
    plate = {
        "title": "plate",
        "relationship": "parentOf",
        "active_manifest": "plate",
        "validation_results": {"activeManifest": results("plate", *written)},
    }
    return {
        "active_manifest": "top",
        "manifests": {
            "top": {"ingredients": [plate], "signature_info": {"cert_serial_number": "1"}},
            "plate": {"signature_info": {"cert_serial_number": number}},
        },
        "validation_state": "Trusted",
        "validation_results": {
            "activeManifest": results("top", [TRUSTED], []),
            "ingredientDeltas": [{"validationDeltas": results("plate", *now)}],
        },
    }


@pytest.mark.parametrize(
    ("written", "now", "plate"),
    [
        (([], [UNTRUSTED]), ([TRUSTED], []), True),
        (([], [UNTRUSTED]), ([], []), False),
        (([TRUSTED], []), ([], []), True),
        (([TRUSTED], []), ([], [UNTRUSTED]), False),
        (([TRUSTED], [UNTRUSTED]), ([], []), False),
    ],
    ids=["found now", "still unknown", "known as ever", "no longer", "a lie: both were written down"],
)
def test_who_is_vouched_for(
    written: tuple[list[str], list[str]], now: tuple[list[str], list[str]], plate: bool
) -> None:
    assert trusted(file(written, now), "signingCredential") == ({"top", "plate"} if plate else {"top"})


def test_a_key_that_was_lost_is_known_by_its_number_in_every_generation(home: Path) -> None:
    (home / "keys").mkdir(parents=True)
    (home / "keys/lost.txt").write_text("7 2026-11-01\n")
    for number, state in (("7", "doubtful"), ("8", "intact")):
        found = file(([], [UNTRUSTED]), ([], []), number)
        (origin,) = History(found, lambda _: None, KeyStore()).origins()
        assert origin.state == state


def test_a_history_that_doubles_in_every_generation_ends(home: Path) -> None:
    """Forty generations, each of which names the one before twice, and the first names the last."""
    names = [f"g{number}" for number in range(40)]
    manifests = {
        name: {"ingredients": [{"title": below, "active_manifest": below, "relationship": "inputTo"}] * 2}
        for name, below in zip(names, [*names[1:], names[0]], strict=True)
    }
    found = {"active_manifest": "g0", "manifests": manifests, "validation_state": "Valid"}
    assert len(list(every(History(found, lambda _: None, KeyStore()).origins()))) == 2 * len(names)
