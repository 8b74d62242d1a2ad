"""Certificates of this installation: a root, and the signing certificates that it issues."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from understudy.errors import ConfigError

CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
"""Key usage of C2PA's trust list; beside ``emailProtection``, which validators take without it."""
YEARS = 10
"""A certificate's life. Without a timestamp service a signature holds as long as its certificate."""
ROOT_YEARS = 30


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key and the certificates that speak for it."""

    key: bytes
    """PKCS #8 in PEM."""
    chain: bytes
    """Certificates in PEM, the signer's first, then those that issued it; without the root."""

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's own certificate."""
        return x509.load_pem_x509_certificates(self.chain)[0]

    @property
    def algorithm(self) -> str:
        """The library's word for the kind of signature: es256, es384, es512, ps256, ed25519."""
        return algorithm_of(self.certificate)


def make_root() -> tuple[bytes, bytes]:
    """A new root: its key and its certificate, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("root")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(name, name, key.public_key(), key.public_key(), ROOT_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def issue(root_key: bytes, root: bytes) -> SigningKey:
    """A new signing key with a certificate that the root issued.

    Args:
        root_key: the root's key, PEM.
        root: the root's certificate, PEM.
    """
    issuer = serialization.load_pem_private_key(root_key, None)
    assert isinstance(issuer, ec.EllipticCurvePrivateKey), "our roots are on P-256"
    above = x509.load_pem_x509_certificate(root)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING])
    certificate = (
        _builder(_name("signer"), above.subject, key.public_key(), issuer.public_key(), YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return SigningKey(key=_key_pem(key), chain=certificate.public_bytes(serialization.Encoding.PEM))


def algorithm_of(certificate: x509.Certificate) -> str:
    """The library's word for the signature that a certificate's key makes.

    Raises:
        ConfigError: a kind of key that C2PA does not know.
    """
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        known = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if key.curve.name in known:
            return known[key.curve.name]
    kind = type(key).__name__.lower()
    if "rsa" in kind:
        return "ps256"
    if "ed25519" in kind:
        return "ed25519"
    raise ConfigError(
        f"certificate: a key of kind {kind} cannot sign; wanted ECDSA (P-256, P-384, P-521), RSA or Ed25519"
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    years: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=365 * years))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _name(what: str) -> x509.Name:
    """A name that tells nothing of the person or the machine."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "understudy, a key of its user's own"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"understudy {what} {os.urandom(4).hex()}"),
        ]
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
