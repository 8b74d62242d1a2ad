"""Signing single pictures in memory: the images of a folder, and a trial before long work."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from understudy.errors import OutputError
from understudy.provenance import xmp
from understudy.provenance.claim import Edit, aigc_label, definition, source_type
from understudy.provenance.manifest import add_history, media_type
from understudy.provenance.signer import SigningSettings, complaint, open_signer, quiet_context


def sign_picture(
    content: bytes,
    name: str,
    edit: Edit,
    settings: SigningSettings | None = None,
    *,
    home: Path | None = None,
) -> bytes:
    """A picture in memory, signed.

    Args:
        content: the encoded picture.
        name: its file name; the suffix says what it is.
        edit: what was done; of the plate only name and hash go in (``plate_hash``), so that a folder of a
            thousand pictures does not read its plate a thousand times.
        settings: see ``signed_file``; no timestamp is asked for.
        home: state folder; None for ``understudy_home()``.

    Raises:
        OutputError: it cannot be signed.
    """
    path = Path(name)
    data = xmp.put(content, path.suffix.lower(), xmp.packet(source_type(edit), aigc_label(edit)))
    with complaint(path):
        return _sign_bytes(data or content, name, edit, settings or SigningSettings(), home)


def require_signing(settings: SigningSettings | None = None, *, home: Path | None = None) -> None:
    """Signs a picture of one pixel, so that a key that cannot sign is found before the work and not after.

    Raises:
        OutputError: key, certificate or service do not work; it says why.
    """
    from c2pa import C2paError

    try:
        pixel = base64.b64decode(_PIXEL)
        _sign_bytes(pixel, "trial.png", Edit(operation="synthesis"), settings or SigningSettings(), home)
    except C2paError as error:
        raise OutputError(
            f"results could not be signed ({error}), so nothing was begun; look at the certificate and its "
            "key, or at understudy keys show"
        ) from None


def _sign_bytes(content: bytes, name: str, edit: Edit, settings: SigningSettings, home: Path | None) -> bytes:
    from c2pa import Builder, C2paBuilderIntent

    kind, out = media_type(Path(name)), io.BytesIO()
    with (
        open_signer(settings, "", home) as signer,
        quiet_context() as context,
        Builder(definition(edit, name, kind, parent_by_hash=True), context) as builder,
    ):
        if edit.plate is None:
            add_history(builder, edit)
        else:
            builder.set_intent(C2paBuilderIntent.EDIT)
        builder.sign(signer, kind, io.BytesIO(content), out)
    return out.getvalue()


_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQIHWNgAAAAAgABz8g15QAAAABJRU5ErkJggg=="
"""A grey PNG of one pixel."""
