"""Certificates that their issuer has taken back, from lists that a person puts here: nothing is fetched.

A list is what an issuer publishes (X.509 certificate revocation list, RFC 5280, section 5). It counts for
certificates of that issuer only, and only if a trusted certificate of the issuer fits its signature. A
timestamp does not save a signature whose certificate is on it: whether the key was still safe then, a list
seldom tells.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from understudy import durable
from understudy.errors import ConfigError
from understudy.provenance.keys import KeyStore

_SIGNS_LISTS = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)


def take_list(store: KeyStore, file: Path) -> tuple[Path, str]:
    """Keeps a revocation list beside the trusted root of its issuer, in place of an older one.

    Args:
        store: whose roots are trusted.
        file: the list, PEM or DER.

    Returns:
        The root's file, and a sentence about the list.

    Raises:
        ConfigError: it is no list, nobody who is trusted issued it, or it is older than the one that is here.
        OutputError: no space, no permission.
    """
    try:
        data = file.read_bytes()
        crl = _parse(data)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: no certificate revocation list in PEM or DER ({error})") from None
    root = next((each for each in sorted(store.trusted.glob("*.pem")) if _issued(each, crl)), None)
    if root is None:
        raise ConfigError(
            f"{file}: issued by {crl.issuer.rfc4514_string()}, of whom no trusted certificate fits it; first "
            "understudy keys trust CERTIFICATE with the issuer's own"
        )
    place = root.with_suffix(".crl")
    kept = _kept(root)
    if kept is not None and kept.last_update_utc > crl.last_update_utc:
        raise ConfigError(
            f"{file}: of {crl.last_update_utc:%Y-%m-%d}, older than the list that is here, of "
            f"{kept.last_update_utc:%Y-%m-%d}; an old list may lack what was revoked since"
        )
    durable.write_bytes(place, data)
    due = crl.next_update_utc
    until = f", the next one is due on {due:%Y-%m-%d}" if due else ""
    return root, f"{len(list(crl))} revoked, as of {crl.last_update_utc:%Y-%m-%d}{until}"


def revoked(root: Path, serial: str) -> str:
    """Since when a certificate below a trusted root is revoked, and why; empty if no list here says so.

    Args:
        root: the root's file, in the folder of trusted ones.
        serial: the certificate's number, decimal.

    Raises:
        ConfigError: the list that is here is damaged.
    """
    crl = _kept(root)
    if crl is None or not serial.isdecimal():
        return ""
    entry = crl.get_revoked_certificate_by_serial_number(int(serial))
    if entry is None:
        return ""
    reasons = [each.value.reason.value for each in entry.extensions if isinstance(each.value, x509.CRLReason)]
    day = f"{entry.revocation_date_utc:%Y-%m-%d}"
    return f"its issuer revoked the certificate on {day}" + (f" ({reasons[0]})" if reasons else "")


def overdue(root: Path) -> str:
    """A sentence where the list beside a root should have been replaced by now; empty otherwise."""
    crl = _kept(root)
    due = crl.next_update_utc if crl else None
    if due is None or due > datetime.datetime.now(datetime.UTC):
        return ""
    return f"the list of revoked certificates of {root.name} was due for renewal on {due:%Y-%m-%d}"


def _kept(root: Path) -> x509.CertificateRevocationList | None:
    """The list beside a root; None without one."""
    file = root.with_suffix(".crl")
    if not file.is_file():
        return None
    try:
        return _parse(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file}: damaged ({error}); remove it and take the issuer's list again: understudy keys revoked "
            "LIST"
        ) from None


def _parse(data: bytes) -> x509.CertificateRevocationList:
    pem = data.lstrip().startswith(b"-----")
    return x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)


def _issued(root: Path, crl: x509.CertificateRevocationList) -> bool:
    certificate = x509.load_pem_x509_certificates(root.read_bytes())[0]
    key = certificate.public_key()
    try:
        return (
            certificate.subject == crl.issuer
            and isinstance(key, _SIGNS_LISTS)
            and crl.is_signature_valid(key)
        )
    except (TypeError, UnsupportedAlgorithm):  # signed by another kind of key, or in a way that is not known
        return False
