"""Under which address students reach the queue, and which certificate they find there."""

import re
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.login_code_text import pin_of

MAX_ADDRESS = 255
FORM = re.compile(
    r"https://((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([1-9]\d{0,4}))?(?:/[\w.~-]+)*)/?",
    re.ASCII,
)


class PublicAddress(NamedTuple):
    """The address without `https://`, and what a log-in code holds of the certificate: None where
    it is left to the system to trust it."""

    address: str
    pin: bytes | None


def public_address(url: str = "") -> PublicAddress:
    """That of `url`, or the one that TELERUN_PUBLIC_URL says, or one of the certificate's names.

    Raises ValidationError.
    """
    certificate = _certificate()
    return PublicAddress(checked(url or public_url() or _guessed(certificate)), _pin(certificate))


def public_url() -> str:
    """What the operator says; "" if nothing."""
    return settings.TELERUN_PUBLIC_URL


def checked(url: str) -> str:
    """The address without `https://`. Raises ValidationError."""
    found = FORM.fullmatch(url)
    if not found or len(found[1]) > MAX_ADDRESS or int(found[2] or 1) > 65535:
        raise ValidationError(f"The address {url!r} is not of the form https://host:port.")
    return found[1]


def certificate_file() -> Path:
    """The certificate that clients find: the queue's, or that of a proxy before it."""
    return settings.TELERUN_PUBLIC_CERTIFICATE or settings.TELERUN_CERTIFICATE


def _certificate() -> x509.Certificate:
    path = certificate_file()
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ValidationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise ValidationError(f"{path} is no certificate in PEM.") from None


def _pin(certificate: x509.Certificate) -> bytes | None:
    """One that an authority signed is renewed often, and trusted without a pin."""
    is_own = certificate.issuer == certificate.subject
    if not is_own and not settings.TELERUN_PUBLIC_CERTIFICATE:
        return None
    return pin_of(certificate.public_bytes(serialization.Encoding.DER))


def _guessed(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = names.get_values_for_type(x509.DNSName)
        hosts += [
            f"[{one}]" if one.version == 6 else str(one)
            for one in names.get_values_for_type(x509.IPAddress)
        ]
    except x509.ExtensionNotFound:
        hosts = []
    hosts = [host for host in hosts if "*" not in host]
    if not hosts:
        raise ValidationError("Say the queue's address: --server, or TELERUN_PUBLIC_URL.")
    return f"https://{hosts[0]}:{settings.TELERUN_PORT}"
