"""A timestamp service (RFC 3161) on this machine, whose answers ``openssl ts`` makes; tests spoil some."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
SETTINGS = """[tsa]
default_tsa = service
[service]
serial = {folder}/serial
signer_cert = {folder}/service.pem
certs = {folder}/root.pem
signer_key = {folder}/service.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


class TimeService:
    """Certificates of a service, and what it answers.

    Args:
        folder: where they lie.
        name: of the service, as its certificate has it.
    """

    def __init__(self, folder: Path, name: str = "A Clock") -> None:
        folder.mkdir(parents=True)
        self.folder, self.root, self.asked = folder, folder / "root.pem", 0
        above, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        title = _name(f"{name}, root")
        ca = _certificate(title, title, above.public_key(), above.public_key())
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.root_certificate = ca.add_extension(usage, critical=True).sign(above, hashes.SHA256())
        self.root_key = above
        leaf = _certificate(_name(name), title, key.public_key(), above.public_key())
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        leaf = leaf.add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        leaf = leaf.add_extension(purpose, critical=True).sign(above, hashes.SHA256())
        self.root.write_bytes(self.root_certificate.public_bytes(PEM))
        (folder / "service.pem").write_bytes(leaf.public_bytes(PEM))
        private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "service.key").write_bytes(key.private_bytes(PEM, *private))
        (folder / "serial").write_text("01\n")
        (folder / "settings").write_text(SETTINGS.format(folder=folder))

    def answer(self, query: bytes) -> bytes:
        """The answer to a query, as RFC 3161 has it."""
        self.asked += 1
        question, answer = self.folder / "query", self.folder / "answer"
        question.write_bytes(query)
        words = ["openssl", "ts", "-reply", "-config", self.folder / "settings", "-queryfile", question]
        subprocess.run([*words, "-out", answer], check=True, capture_output=True)
        return answer.read_bytes()


@contextlib.contextmanager
def serving(answer: Callable[[bytes], bytes], status: int = 200) -> Iterator[str]:
    """The address of a server that answers so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def of_something_else(query: bytes) -> bytes:
    """The query with another hash in it."""
    place = query.index(b"\x04\x20") + 2  # OCTET STRING of 32 bytes
    return query[:place] + bytes(32) + query[place + 32 :]


def with_another_number(query: bytes) -> bytes:
    """The query with another nonce in it."""
    place = query.index(b"\x04\x20") + 34
    assert query[place] == 2, "INTEGER"
    last = place + 1 + query[place + 1]
    return query[:last] + bytes([query[last] ^ 1]) + query[last + 1 :]


REFUSED = bytes.fromhex("30053003020102")
"""PKIStatusInfo with the status rejection, and no token."""


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Time for All"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + 300 * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
