"""What the library finds out about a file's manifests, and its codes in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.provenance.manifest import media_type
from understudy.provenance.signer import quiet_context

UNTRUSTED = "signingCredential.untrusted"
WORDS = {
    "assertion.dataHash.mismatch": "the picture or its metadata was changed after signing",
    "assertion.bmffHash.mismatch": "picture, sound or metadata was changed after signing",
    "assertion.boxesHash.mismatch": "the picture or its metadata was changed after signing",
    "assertion.hashedURI.mismatch": "the manifest was changed after signing",
    "assertion.missing": "a part of the manifest is missing",
    "claim.hardBindings.missing": "the manifest is bound to no picture",
    "claimSignature.mismatch": "the signature does not fit the manifest",
    "claimSignature.outsideValidity": "it was signed outside the certificate's dates",
    "claimSignature.missing": "the signature is missing",
    "signingCredential.expired": "the certificate has ended, and no timestamp tells when it was used",
    "signingCredential.invalid": "the certificate is not one for signing",
    "signingCredential.revoked": "the certificate was revoked",
    "ingredient.manifest.mismatch": "the manifest of what it was made from was exchanged",
    "ingredient.manifest.missing": "the manifest of what it was made from is missing",
}
"""The library's codes in plain words."""


def read(path: Path, beside: bytes | None, roots: str) -> dict[str, Any] | None:
    """The manifests with what the library found out about them; None when there is none."""
    from c2pa import Reader

    kind = media_type(path)
    if beside is None and kind not in Reader.get_supported_mime_types():
        return None
    with quiet_context(roots) as context, path.open("rb") as file:
        reader = Reader.try_create(kind, file, beside, context=context)
        if reader is None:
            return None
        with reader:
            return json.loads(reader.json())


def codes_of(results: Mapping[str, Any] | None) -> list[str]:
    """Codes of what is wrong."""
    return [each["code"] for each in (results or {}).get("failure", [])]
