"""The certificate: made by one command, checked before the server starts."""

import datetime
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from telerun_site.certificates import CertificateProblem, check_pair, make_self_signed
from tests.support.processes import ROOT, World, free_port, run

pytestmark = pytest.mark.once

ROLES = ("server.cert", "server.key")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = (tmp_path / name for name in ROLES)
    make_self_signed(["localhost", "127.0.0.1", "::1", "queue.example.edu"], certificate, key)
    return certificate, key


def test_it_is_p256_for_the_names_given_and_the_key_is_private(pair: tuple[Path, Path]) -> None:
    certificate = x509.load_pem_x509_certificate(pair[0].read_bytes())
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "queue.example.edu"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert pair[1].stat().st_mode & 0o777 == 0o600
    assert check_pair(*pair) == []


@pytest.mark.parametrize("name", ["a b", "", "a..b", "ä.example", "a/b"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="neither a host name nor an address"):
        make_self_signed([name], tmp_path / "c", tmp_path / "k")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(pair: tuple[Path, Path]) -> None:
    before = pair[1].read_bytes()
    with pytest.raises(CertificateProblem, match="there already"):
        make_self_signed(["localhost"], *pair)
    assert pair[1].read_bytes() == before


def dated(days_from: int, days_to: int, certificate: Path, key: Path) -> None:
    """A self-signed pair valid between two days from now."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=days_from))
        .not_valid_after(now + datetime.timedelta(days=days_to))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_dates(tmp_path: Path) -> None:
    paths = tmp_path / "c", tmp_path / "k"
    dated(-20, -10, *paths)
    with pytest.raises(CertificateProblem, match="expired on"):
        check_pair(*paths)
    dated(10, 20, *paths)
    with pytest.raises(CertificateProblem, match="not valid before"):
        check_pair(*paths)
    dated(-10, 10, *paths)
    assert "expires in 9 days" in check_pair(*paths)[0]


def test_a_key_that_others_can_read_is_warned_of(pair: tuple[Path, Path]) -> None:
    pair[1].chmod(0o644)
    assert "can be read by others" in check_pair(*pair)[0]


@pytest.mark.parametrize("what", ["missing", "half", "garbage", "not-a-pair", "expired"])
@pytest.mark.end_to_end
def test_the_server_says_what_is_wrong_with_the_pair(what: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    paths = world.data / "server.cert", world.data / "server.key"
    world.data.mkdir()
    if what != "missing":
        make_self_signed(["localhost"], *paths)
    if what == "half":
        paths[1].unlink()
    elif what == "garbage":
        paths[0].write_text("not a certificate")
    elif what == "not-a-pair":
        paths[1].unlink()
        make_self_signed(["localhost"], tmp_path / "other", paths[1])
    elif what == "expired":
        dated(-20, -10, *paths)
    done = world.manage("telerun_serve", "--port", free_port(), check=False).no_traceback()
    assert done.status == 1
    assert str(paths[0]) in done.err
    if what != "expired":
        assert str(paths[1]) in done.err
    assert "submission_queue.certificate" in done.err


@pytest.mark.end_to_end
def test_a_port_that_is_taken_is_said_so_at_once(world: World) -> None:
    world.start_server()
    done = run(
        [sys.executable, "-m", "submission_queue.main", "--bind", "127.0.0.1"],
        cwd=ROOT / "queue",
        env={**world.environment, "TELERUN_PORT": str(world.port)},
    ).no_traceback()
    assert done.status == 1
    assert f"port {world.port}" in done.err
    assert "Address already in use" in done.err


@pytest.mark.parametrize(
    "arguments", [["--port", "x"], ["--port", "70000"], ["--bind", "256.0.0.1"]]
)
@pytest.mark.end_to_end
def test_an_address_that_is_none_is_said_so(world: World, arguments: list[str]) -> None:
    done = world.manage("telerun_serve", *arguments, check=False).no_traceback()
    assert done.status != 0
    assert arguments[1] in done.err


@pytest.mark.end_to_end
def test_the_server_speaks_tls_1_2_and_newer(world: World) -> None:
    world.start_server()
    with world.connection() as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status": "ok"}'
        assert connection.sock.version() == "TLSv1.3"


@pytest.mark.end_to_end
def test_the_server_stops_at_once_even_while_clients_wait(world: World) -> None:
    auth = world.user("alice")
    world.start_server()
    file = world.source("int main() {}")
    waiting = world.start_submit(auth, file)
    waiting.wait_until_told("next in the queue")
    assert world.server.stop(seconds=8) == 0
    assert "Traceback" not in world.server.told()
