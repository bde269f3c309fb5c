"""Why the certificate of the queue is not trusted, and what to do about it."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

# OpenSSL's numbers of what is wrong with a certificate.
NOT_YET_VALID, EXPIRED, UNKNOWN_ISSUERS, OTHER_NAMES = 9, 10, (18, 19, 20, 21), (62, 64)


def why_untrusted(
    error: ssl.SSLCertVerificationError, certificates: list[Path], script_folder: Path
) -> tuple[str, str]:
    """What is wrong, and what mends it: a sentence or two each."""
    code = error.verify_code
    if code in OTHER_NAMES:
        return (
            f"it is not for this name of the server: {error.verify_message}.",
            "Use the address that the course staff gave.",
        )
    if code in (NOT_YET_VALID, EXPIRED):
        return wrong_dates(code)
    if code not in UNKNOWN_ISSUERS:
        return f"{error.verify_message}.", "Show this to the course staff."
    return unknown_issuer(certificates, script_folder, code != UNKNOWN_ISSUERS[2])


def wrong_dates(code: int) -> tuple[str, str]:
    import time  # only here, since few need it

    now = time.strftime("%Y-%m-%d %H:%M")
    if code == EXPIRED:
        what = "it has expired"
        mend = "If that is right, the course staff have to make a new one"
    else:
        what, mend = "it is not valid yet", "If that is wrong, set the clock"
    return f"{what}, by this machine's clock, which says {now}.", f"{mend}."


def unknown_issuer(
    certificates: list[Path], script_folder: Path, is_self_signed: bool
) -> tuple[str, str]:
    if certificates:
        names = " and ".join(str(path) for path in certificates)
        return (
            f"it is another one than that in {names}.",
            "The queue has a new certificate, or this is not the queue: ask the course staff.",
        )
    if sys.platform == "darwin" and lacks_authorities():
        return (
            "this Python knows no certificate authorities.",
            'Run "Install Certificates.command" in the Python folder of Applications; if it is '
            "still not trusted then, put server.cert from the course staff beside this script.",
        )
    what = "it is self-signed" if is_self_signed else "nobody vouches for it that is known here"
    return (
        f"{what}, and there is no server.cert in {script_folder} to compare it with.",
        "Put server.cert from the course staff there, beside this script.",
    )


def lacks_authorities() -> bool:
    """Whether Python's own place for them is empty, as python.org's for macOS leaves it."""
    places = ssl.get_default_verify_paths()
    return places.cafile is None and not (places.capath and os.listdir(places.capath))
