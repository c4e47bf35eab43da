"""A certificate of our own, for clients on this machine that insist on wss (`--tls local`).

Nobody vouches for it: a client has to be told to trust the file, or not to check. It is kept, so that this is told
once.
"""

import ipaddress
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAYS: Final = 825
"""The longest that browsers accept."""
RENEW_DAYS: Final = 30
OWNER_ONLY: Final = 0o600
LOCAL_NAMES: Final = ("localhost",)
LOCAL_ADDRESSES: Final = ("127.0.0.1", "::1")


class Files(NamedTuple):
    """Paths of the certificate and of its private key, both PEM."""

    certificate: Path
    key: Path


def local_certificate(home: Path) -> Files:
    """The certificate in `home`, made now if there is none that lasts another month. Raises `OSError`."""
    files = Files(home / "tls" / "cert.pem", home / "tls" / "key.pem")
    if not (files.key.exists() and _lasts(files.certificate)):
        _make(files)
    return files


def _lasts(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _make(files: Files) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Parley on this machine")])
    now = datetime.now(UTC)
    names = [x509.DNSName(host) for host in (*LOCAL_NAMES, socket.gethostname())]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in LOCAL_ADDRESSES]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(files.certificate, certificate.public_bytes(Encoding.PEM))


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
