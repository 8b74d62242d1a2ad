"""Who signs: this installation's key, a studio's certificate, or a key service that never gives its key away.

The signing library is loaded when something is signed or read, and never asks the network but for the
timestamp service that a person named.
"""

from __future__ import annotations

import contextlib
import datetime
import shlex
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import ConfigError, OutputError

if TYPE_CHECKING:  # it is loaded when something is signed
    from cryptography.x509 import Certificate


@dataclass(frozen=True, kw_only=True)
class SigningSettings:
    """With which key results are signed."""

    certificate: Path | None = None
    """A studio's certificate and those that issued it, PEM, the signer's first; none: this installation's own
    key, made at first use."""
    key: Path | None = None
    """The certificate's key, PEM, readable by its owner only."""
    service: str = ""
    """Instead of a key: a command that reads bytes and writes their signature (DER or raw), for a key service
    or a hardware key."""
    timestamp: str = ""
    """Address of a timestamp service (RFC 3161); none: signatures hold until the certificate ends."""
    usages: tuple[str, ...] = ()
    """Key usages (object identifiers) that the certificate has instead of emailProtection or C2PA's own."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None and not self.service):
            raise ConfigError(
                "signing: wanted a certificate together with its key or with a service, or none of them"
            )
        if self.key is not None and self.service:
            raise ConfigError("signing: wanted a key or a service, got both")


@contextlib.contextmanager
def quiet_context(roots: str = "", usages: tuple[str, ...] = ()) -> Generator[Any]:
    """The library's settings: no thumbnails of anyone, no network.

    Args:
        roots: trusted certificates, PEM.
        usages: further key usages that are taken.
    """
    from c2pa import Context

    trust: dict[str, str] = {"user_anchors": roots} if roots else {}
    if usages:
        trust["trust_config"] = "\n".join(("1.3.6.1.5.5.7.3.4", "1.3.6.1.4.1.62558.2.1", *usages))
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        **({"trust": trust} if trust else {}),
    }
    with Context.from_dict(settings) as context:
        yield context


@contextlib.contextmanager
def open_signer(settings: SigningSettings, timestamp: str = "", home: Path | None = None) -> Generator[Any]:
    """The library's signer.

    Args:
        settings: which key.
        timestamp: address of the timestamp service, empty for none.
        home: state folder; None for ``understudy_home()``.

    Raises:
        OutputError: the key is missing, readable by others, or refused.
    """
    from c2pa import C2paError, C2paSignerInfo, C2paSigningAlg, Signer

    from understudy.provenance.certificates import SigningKey, algorithm_of
    from understudy.provenance.keys import KeyStore, require_private

    if settings.certificate is None:
        pair = KeyStore(home).load()
    else:
        chain = _read(settings.certificate, "certificate")
        if settings.key is not None:
            key = _read(settings.key, "key")
            require_private(settings.key)
        else:
            key = b""
        pair = SigningKey(key=key, chain=chain)
    try:
        name = algorithm_of(pair.certificate)
    except (ValueError, IndexError) as error:
        raise OutputError(f"{settings.certificate}: no certificate in PEM ({error})") from None
    failed: list[str] = []
    where = settings.certificate or "this installation's key"
    _require_in_time(pair.certificate, str(where))
    algorithm = C2paSigningAlg[name.upper()]
    try:
        if settings.service:
            ask = _service(settings.service, failed)
            signer = Signer.from_callback(ask, algorithm, pair.chain.decode(), timestamp or None)
        else:
            info = C2paSignerInfo(algorithm, pair.chain, pair.key, timestamp.encode() or None)
            signer = Signer.from_info(info)
    except C2paError as error:
        raise OutputError(
            f"{where}: refused for signing ({error}); wanted a certificate for emailProtection or C2PA claim "
            "signing that is no authority's, has not ended, and fits its key"
        ) from None
    try:
        with signer:
            yield signer
    except C2paError as error:
        if failed:
            raise OutputError(f"{failed[-1]}; nothing was signed") from error
        raise


@contextlib.contextmanager
def complaint(output: Path) -> Generator[None]:
    """Turns what the library says about a failed signing into what a person can do about it."""
    from c2pa import C2paError

    try:
        yield
    except C2paError as error:
        raise OutputError(
            f"{output}: it could not be signed ({error}); nothing unsigned was left under that name"
        ) from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{path}: the {what} cannot be read ({error.strerror}), so nothing can be signed"
        ) from None


def _require_in_time(certificate: Certificate, where: str) -> None:
    """Refuses a certificate that has ended or has not begun, by this machine's clock.

    Raises:
        OutputError: it has.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.datetime.now(datetime.UTC)
    if not begin <= now <= end:
        raise OutputError(
            f"{where}: the certificate holds from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, and "
            f"this machine's clock says {now:%Y-%m-%d %H:%M}, so nothing can be signed; set the clock, or "
            "sign with another certificate (one's own is renewed by understudy keys rotate)"
        )


def _service(command: str, failed: list[str]) -> Callable[[bytes], bytes]:
    """Asks a key service; why it gave nothing goes into ``failed``, since the library keeps that back."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"signing: service: {command!r} is no command ({error})") from None

    def ask(data: bytes) -> bytes:
        try:
            done = subprocess.run(words, input=data, capture_output=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            said: bytes = getattr(error, "stderr", None) or b""
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            why = f"{error}".rstrip(".") + (f": {last}" if last else "")
            failed.append(f"the signing service {words[0]!r} gave no signature: {why}")
        else:
            if done.stdout:
                return done.stdout
            failed.append(f"the signing service {words[0]!r} gave no signature: it wrote nothing")
        raise OutputError(failed[-1])

    return ask
