"""The server's certificate: making a self-signed pair, and checking the pair that is there."""

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SELF_SIGNED_DAYS = 825  # more than two courses; browsers take no longer ones


class CertificateProblem(Exception):
    """The pair cannot serve; the message says why and what to do."""


def make_self_signed(names: Iterable[str], certificate: Path, key: Path) -> None:
    """Writes an ECDSA P-256 pair for the host names and addresses given.

    P-256 because a handshake costs the server 0.03 ms of CPU with it, 5.3 ms with RSA-4096.
    Raises CertificateProblem for a name that is neither, or files that are there already.
    """
    for path in (certificate, key):
        if path.exists():
            raise CertificateProblem(f"{path} is there already; remove it first to make a new one.")
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    alternatives = [_general_name(name) for name in names]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Telerun queue")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=25))  # for laptops whose clock is behind
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # A client trusts this very certificate, so it is its own authority, for itself alone.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    _write_new(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        0o600,
    )
    _write_new(certificate, built.public_bytes(serialization.Encoding.PEM), 0o644)


def check_pair(certificate: Path, key: Path) -> list[str]:
    """Raises CertificateProblem unless the pair can serve now; returns warnings, one a line."""
    missing = [str(path) for path in (certificate, key) if not path.is_file()]
    if missing:
        raise CertificateProblem(
            f"The server needs {certificate} and {key}; missing: {', '.join(missing)}. "
            f"{_HOW_TO_MAKE}"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_refuse)
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    except PermissionError as error:
        raise CertificateProblem(f"{error.filename} cannot be read by this user.") from error
    except (ssl.SSLError, ValueError, OSError) as error:
        raise CertificateProblem(
            f"{certificate} and {key} are not a certificate and its key in PEM: {error}. "
            f"{_HOW_TO_MAKE}"
        ) from error
    now = datetime.datetime.now(datetime.timezone.utc)
    if now > leaf.not_valid_after_utc:
        raise CertificateProblem(
            f"{certificate} expired on {leaf.not_valid_after_utc:%Y-%m-%d}. Remove the pair; "
            f"{_HOW_TO_MAKE}"
        )
    if now < leaf.not_valid_before_utc:
        raise CertificateProblem(
            f"{certificate} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: "
            "is this machine's clock right?"
        )
    return list(_warnings(leaf, certificate, key, now))


_HOW_TO_MAKE = (
    "Make a self-signed pair with: python3 -m submission_queue.certificate HOSTNAME-OR-ADDRESS..."
)


def _warnings(
    leaf: x509.Certificate, certificate: Path, key: Path, now: datetime.datetime
) -> Iterable[str]:
    days = (leaf.not_valid_after_utc - now).days
    if days < 30:
        yield f"{certificate} expires in {days} days."
    if os.stat(key).st_mode & 0o077:
        yield f"{key} can be read by others; chmod 600 it."


def _refuse() -> str:
    raise ValueError("the key is encrypted; store it without a passphrase, chmod 600")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if not all(label and label.replace("-", "").isalnum() and label.isascii() for label in labels):
        raise CertificateProblem(f"{name!r} is neither a host name nor an address.")
    return x509.DNSName(name)


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
