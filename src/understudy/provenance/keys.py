"""The key that signs this installation's results, its certificate, and the roots that are trusted here.

Layout of ``UNDERSTUDY_HOME/keys`` (open to its owner only):

    signing/key.pem      ECDSA P-256; whoever has it can sign in this installation's name
    signing/chain.pem    its certificate, issued by the root below
    signing/root.pem     root.key signs new certificates; root.pem may be given to whoever should trust them
    signing/root.key
    retired/TIME/        earlier pairs, kept so that what they signed is still known as ours
    lost.txt             serial numbers of certificates whose key got into wrong hands, with the day
    consent/             keys that sign consent records (see ``provenance.consent``)
    trusted/*.pem        further roots that are trusted here: a studio's, a broadcaster's
    trusted/time/*.pem   roots of timestamp services, which are believed about the time and about nothing else

Nobody outside knows such a root: a stranger's program shows the file as intact and its signer as unknown
until it is given ``root.pem``, or until the studio signs with a certificate of its own (``SigningSettings``).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from understudy import durable
from understudy.errors import ConfigError, OutputError
from understudy.weights.home import understudy_home

CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
"""Key usage of C2PA's trust list; beside ``emailProtection``, which validators take without it."""
YEARS = 10
"""A certificate's life. Without a timestamp service a signature holds as long as its certificate."""
ROOT_YEARS = 30
_PRIVATE = ("key.pem", "root.key")
_FILES = ("root.key", "root.pem", "chain.pem", "key.pem")  # in the order of writing: the key comes last


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


class KeyStore:
    """The keys of one ``UNDERSTUDY_HOME``.

    Args:
        home: state folder; None for ``understudy_home()``.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.folder = (understudy_home() if home is None else home) / "keys"
        self.signing = self.folder / "signing"
        self.retired = self.folder / "retired"
        self.trusted = self.folder / "trusted"

    def load(self) -> SigningKey:
        """The signing key; made when there was never one.

        Raises:
            OutputError: it is missing although it was there, readable by others, or cannot be written.
        """
        if not self.signing.exists():
            self._make()
        for name in _FILES:
            if not (self.signing / name).is_file():
                raise OutputError(
                    f"{self.signing / name} is missing, so nothing can be signed; put your backup back "
                    "(understudy keys restore FILE), or begin a new key (understudy keys rotate)"
                )
        for name in _PRIVATE:
            require_private(self.signing / name)
        return SigningKey(
            key=(self.signing / "key.pem").read_bytes(), chain=(self.signing / "chain.pem").read_bytes()
        )

    def rotate(self, *, lost: bool = False) -> SigningKey:
        """Retires the key and makes a new one; what the old one signed is still known as ours.

        Args:
            lost: the old keys got into wrong hands: from now on their signatures are reported as doubtful,
                the new key gets a new root, and consent records want to be signed by the producer again.
        """
        producer = self.folder / "consent" / "producer.key"
        if lost and producer.is_file():
            producer.rename(producer.with_name(f"lost.{os.urandom(4).hex()}.key"))
        if self.signing.exists():
            if lost:
                durable.write_text(self.signing / "lost", "")
            with contextlib.suppress(OSError, ValueError):
                old = x509.load_pem_x509_certificates((self.signing / "chain.pem").read_bytes())[0]
                if lost:
                    today = datetime.datetime.now(datetime.UTC).date().isoformat()
                    durable.append_line(self.folder / "lost.txt", f"{old.serial_number} {today}", flush=True)
            root = None if lost else self._root()
            private_folder(self.retired)
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
            with durable.explained(self.retired):
                self.signing.rename(self.retired / stamp)
            self._make(root)
        return self.load()

    def backup(self, output: Path) -> Path:
        """Writes all keys into one ``.tar`` that only its owner can read.

        Raises:
            OutputError: it cannot be written.
        """
        self.load()
        with durable.new_file(output) as part:
            part.touch(mode=0o600)
            with tarfile.open(part, "w") as archive:
                archive.add(self.folder, "keys")
        return output

    def restore(self, backup: Path) -> None:
        """Puts a backup back; keys that are here now are retired first.

        Raises:
            ConfigError: the file is no backup of keys.
        """
        fresh = self.folder.with_name("keys.restored.part")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            with tarfile.open(backup) as archive:
                archive.extractall(fresh, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"{backup}: no backup of keys that can be read ({error})") from None
        found = fresh / "keys" / "signing"
        if not all((found / name).is_file() for name in _FILES):
            shutil.rmtree(fresh)
            raise ConfigError(f"{backup}: no backup of keys; understudy keys backup FILE makes one")
        if self.signing.exists():
            private_folder(self.retired)
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
            self.signing.rename(self.retired / stamp)
        private_folder(self.folder)
        for file in sorted((fresh / "keys").rglob("*")):
            there = self.folder / file.relative_to(fresh / "keys")
            if file.name == "producer.key" and there.exists() and there.read_bytes() != file.read_bytes():
                there = there.with_name(f"producer.{os.urandom(4).hex()}.key")  # both are ours
            if file.is_file() and not there.exists():
                private_folder(there.parent)
                write_private(there, file.read_bytes())
        shutil.rmtree(fresh)

    def trust(self, certificate: Path, *, time: bool = False) -> Path:
        """Takes a root of others into the trusted ones.

        Args:
            certificate: the root, PEM.
            time: it is that of a timestamp service. Whoever else has a certificate below it is not believed,
                since such roots issue them to anybody.

        Raises:
            ConfigError: it is no certificate.
        """
        try:
            data = certificate.read_bytes()
            first = x509.load_pem_x509_certificates(data)[0]
        except (OSError, ValueError) as error:
            raise ConfigError(f"{certificate}: no certificate in PEM ({error})") from None
        private_folder(self.trusted)
        folder = self.trusted / "time" if time else self.trusted
        private_folder(folder)
        path = folder / f"{first.fingerprint(hashes.SHA256()).hex()[:16]}.pem"
        durable.write_bytes(path, data)
        return path

    def own_roots(self) -> list[Path]:
        """Roots of the present key and of those before it, each once; none whose keys were lost."""
        folders = [self.signing, *sorted(self.retired.glob("*"))]
        files = {file: file.read_bytes() for folder in folders if (file := folder / "root.pem").is_file()}
        gone = {content for file, content in files.items() if (file.parent / "lost").exists()}
        first: dict[bytes, Path] = {}
        for file, content in files.items():
            if content not in gone:
                first.setdefault(content, file)
        return list(first.values())

    def roots(self) -> list[Path]:
        """Every root that is trusted here, our own first."""
        return [*self.own_roots(), *sorted(self.trusted.glob("*.pem"))]

    def time_roots(self) -> list[Path]:
        """Roots of the timestamp services that are believed here."""
        return sorted((self.trusted / "time").glob("*.pem"))

    def lost(self) -> dict[str, str]:
        """Serial numbers of certificates whose key was lost, with the day when that was said."""
        file = self.folder / "lost.txt"
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        return {words[0]: words[1] for line in lines if len(words := line.split()) == 2}

    def _root(self) -> tuple[bytes, bytes] | None:
        try:
            return (self.signing / "root.key").read_bytes(), (self.signing / "root.pem").read_bytes()
        except OSError:
            return None

    def _make(self, root: tuple[bytes, bytes] | None = None) -> None:
        root_key, root_pem = root or make_root()
        pair = issue(root_key, root_pem)
        private_folder(self.folder)
        content = {"root.key": root_key, "root.pem": root_pem, "chain.pem": pair.chain, "key.pem": pair.key}
        with durable.new_folder(self.signing) as part:
            part.chmod(0o700)
            for name in _FILES:
                (part / name).touch(mode=0o600)
                durable.fill(part / name, [content[name]])


# --------------------------------------------------------------------------------------------- certificates


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


# --------------------------------------------------------------------------------------------- private files


def require_private(path: Path) -> None:
    """Refuses a key that others can read; where the system knows no such permissions nothing is asked.

    Raises:
        OutputError: they can.
    """
    if os.name == "nt":
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise OutputError(
            f"{path}: this secret key can be read by others (permissions {mode:03o}); close it with "
            f"chmod 600 '{path}', and if somebody may have copied it: understudy keys rotate --lost"
        )


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, all or nothing.

    Raises:
        OutputError: no space, no permission.
    """
    with durable.new_file(path, size=len(data)) as part:
        part.touch(mode=0o600)
        durable.fill(part, [data])


def pem_text(files: Iterable[Path]) -> str:
    """Certificates of several files as one text."""
    return "".join(file.read_text("utf-8") for file in files)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner can enter."""
    with durable.explained(path):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
