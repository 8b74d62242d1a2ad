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
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from understudy import durable
from understudy.errors import ConfigError, OutputError
from understudy.provenance.certificates import SigningKey, issue, make_root
from understudy.weights.home import understudy_home

_PRIVATE = ("key.pem", "root.key")
_FILES = ("root.key", "root.pem", "chain.pem", "key.pem")  # in the order of writing: the key comes last


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
        if why := self._declared_lost(self.signing):
            raise OutputError(f"{self.signing}: {why}, so nothing is signed with it; understudy keys rotate")
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

        What was declared lost since the backup was made stays lost.

        Raises:
            ConfigError: the file is no backup of keys, or its key was declared lost.
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
        if why := self._declared_lost(found):
            shutil.rmtree(fresh)
            raise ConfigError(
                f"{backup}: {why}: whoever took it can sign with it, so it does not come back. Keep a backup "
                "of the keys that are here"
            )
        if self.signing.exists():
            private_folder(self.retired)
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
            self.signing.rename(self.retired / stamp)
        private_folder(self.folder)
        lost = {file.read_bytes() for file in (self.folder / "consent").glob("lost.*.key")}
        for line in _lines(fresh / "keys" / "lost.txt"):
            if line not in _lines(self.folder / "lost.txt"):
                durable.append_line(self.folder / "lost.txt", line, flush=True)
        for file in sorted((fresh / "keys").rglob("*")):
            if file.name.startswith("producer.") and file.read_bytes() in lost:
                continue
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

    def distrust(self, certificate: Path) -> list[Path]:
        """Takes a root of others out of the trusted ones, and its list of revoked certificates with it.

        Args:
            certificate: the root, PEM: the file that was trusted, or where ``trust`` has put it.

        Returns:
            What was removed.

        Raises:
            ConfigError: it is no certificate, or was not trusted.
        """
        try:
            first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise ConfigError(f"{certificate}: no certificate in PEM ({error})") from None
        name = f"{first.fingerprint(hashes.SHA256()).hex()[:16]}.pem"
        found = [path for path in (self.trusted / name, self.trusted / "time" / name) if path.is_file()]
        if not found:
            raise ConfigError(f"{certificate}: not among those that are trusted here; understudy keys show")
        for path in found:
            with durable.explained(path):
                path.with_suffix(".crl").unlink(missing_ok=True)
                path.unlink()
        return found

    def own_roots(self) -> list[Path]:
        """Roots of the present key and of those before it, each once; none whose keys were lost."""
        gone, first = self._lost_roots(), dict[bytes, Path]()
        for folder in self._pairs():
            if (file := folder / "root.pem").is_file() and (content := file.read_bytes()) not in gone:
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
        lines = _lines(self.folder / "lost.txt")
        return {words[0]: words[1] for line in lines if len(words := line.split()) == 2}

    def _pairs(self) -> list[Path]:
        """The present pair's folder and those before it."""
        return [self.signing, *sorted(self.retired.glob("*"))]

    def _lost_roots(self) -> set[bytes]:
        """Roots of ours whose keys were lost."""
        files = [folder / "root.pem" for folder in self._pairs() if (folder / "lost").exists()]
        return {file.read_bytes() for file in files if file.is_file()}

    def _declared_lost(self, pair: Path) -> str:
        """Why a pair must not sign: it, or its root's key, was declared lost; empty if it may."""
        with contextlib.suppress(ValueError, IndexError):  # what is no certificate is told when signing
            own = x509.load_pem_x509_certificates((pair / "chain.pem").read_bytes())[0]
            if day := self.lost().get(str(own.serial_number)):
                return f"its key was declared lost on {day}"
        gone = (pair / "root.pem").read_bytes() in self._lost_roots()
        return "its root's key was declared lost" if gone else ""

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
    """Certificates of several files as one text.

    Raises:
        ConfigError: one of them is damaged.
    """
    out: list[str] = []
    for file in files:
        try:
            content = file.read_bytes()
            x509.load_pem_x509_certificates(content)
            out.append(content.decode().rstrip() + "\n")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{file}: a trusted certificate that cannot be read ({error}); remove it, or trust it again: "
                "understudy keys trust CERTIFICATE"
            ) from None
    return "".join(out)


def _lines(file: Path) -> list[str]:
    """Lines of a list; what is no text does not hide those that are."""
    return file.read_text("utf-8", errors="replace").splitlines() if file.is_file() else []


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner can enter."""
    with durable.explained(path):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
