"""Log-in codes at the queue: what they hold, what they give, and when they end."""

import base64
import hashlib
import re
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounts import login_code_text, login_codes, operations
from accounts.models import FailureCount, LoginCode, User
from accounts.public_address import PublicAddress, public_address
from jobs.models import AuditEntry
from telerun_site.certificates import make_self_signed
from tests.support.admin import USERS, act, page
from tests.support.api import Api, problem
from tests.support.processes import side_by_side
from tests.support.scripts import load

submit = load("submit")
PLACE = PublicAddress("queue.example.edu:4443", b"\x01" * login_code_text.PIN_BYTES)


def made(user: User, **more: Any) -> str:
    return login_codes.make(user, "ta", PLACE, **more)


def log_in(code: str) -> Any:
    return Api(None).post("/login", {"code": code})


def token_of(code: str) -> str:
    answer = log_in(code)
    assert answer.status_code == 200, answer.content
    return answer.json()["token"]


def works(token: str) -> bool:
    return Api(token).get("/user").status_code == 200


def refused(code: str) -> str:
    answer = log_in(code)
    assert problem(answer) == (403, "login-code-refused")
    return answer.json()["detail"]


# --- The word ----------------------------------------------------------------------------


@pytest.mark.parametrize("pin", [None, b"\xff" * 16])
@pytest.mark.parametrize("address", ["q", "queue.example.edu:4443", "[::1]:443/a", "x" * 255])
def test_submit_reads_what_the_queue_writes(address: str, pin: bytes | None) -> None:
    secret = bytes(range(16))
    text = login_code_text.encode(secret, address, pin)
    assert re.fullmatch(r"tlrc_[a-z2-7]+", text)
    for typed in (text, text.upper(), f" {text[:30]}\n{text[30:]} \n", "\ufeff" + text):
        code = submit.read_code(typed)
        assert (code.server, code.pin, code.text) == (f"https://{address}", pin or b"", text)
    assert login_code_text.digest_of(text) == hashlib.sha256(secret).hexdigest()


def test_a_code_has_about_a_hundred_letters() -> None:
    assert len(login_code_text.encode(bytes(16), "queue.example.edu:4443", bytes(16))) == 100


def test_a_mistyped_code_is_told_apart() -> None:
    text = login_code_text.encode(bytes(16), "q:1", bytes(16))
    wrong = [text[:n] + ("b" if text[n] != "b" else "c") + text[n + 1 :] for n in range(len(text))]
    # The last letter holds bits that nothing reads.
    for word in [*wrong[:-1], text[:-2], text + "a", "", "tlrc_", "tlrc_" + "a" * 95, "\N{BOMB}"]:
        assert login_code_text.digest_of(word) == ""
        with pytest.raises(submit.Stop, match="mistyped or cut off"):
            submit.read_code(word)


@pytest.mark.parametrize(
    "body",
    [
        bytes([2]) + bytes(18),  # no room for a pin
        bytes([2]) + bytes(32),  # no address
        bytes([1]) + bytes(16) + b"\x00",
        bytes([1]) + bytes(16) + b"\x05q:1",  # too short
        bytes([1]) + bytes(16) + b"\x03q:1q",  # too long
        bytes([1]) + bytes(16) + b"\x03\xff:1",
    ],
)
def test_a_right_sum_over_nonsense_is_no_code(body: bytes) -> None:
    packed = base64.b32encode(body + hashlib.sha256(body).digest()[:3]).decode()
    with pytest.raises(submit.Stop, match="mistyped or cut off"):
        submit.read_code("tlrc_" + packed.rstrip("=").lower())


# --- What it gives -----------------------------------------------------------------------


def test_a_code_gives_a_token_which_takes_the_place_of_the_one_before(alice: User) -> None:
    before = alice.issue_token()
    code = made(alice)
    answer = log_in(code)
    assert answer["Cache-Control"] == "no-store"
    assert answer.json().keys() == {"username", "token"}
    token = answer.json()["token"]
    assert works(before)  # the code may have been made, and lost
    assert works(token)
    assert not works(before)
    assert works(token)
    alice.refresh_from_db()
    assert alice.token_issued_at


def test_until_its_token_is_used_a_code_can_be_redeemed_again(alice: User) -> None:
    code = made(alice)
    first, second = token_of(code), token_of(code)
    assert first != second
    assert not works(first)
    assert works(second)
    assert "used already" in refused(code)
    assert works(second)


def test_only_digests_are_stored(alice: User) -> None:
    code = made(alice)
    token = token_of(code)
    rows = str([list(model.objects.values()) for model in (LoginCode, User, AuditEntry)])
    for secret in (code, token, submit.checked_bytes(code[5:])[1:17].hex()):
        assert secret not in rows


def test_a_code_expires(alice: User) -> None:
    code = made(alice, days=3)
    row = LoginCode.objects.get()
    assert timedelta(days=2.9) < row.expires_at - timezone.now() < timedelta(days=3)
    token = token_of(code)
    LoginCode.objects.update(expires_at=timezone.now())
    assert "expired on" in refused(code)
    assert works(token)  # it was given in time


def test_a_token_that_nobody_used_expires_too(alice: User) -> None:
    before = alice.issue_token()
    token = token_of(made(alice))
    LoginCode.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    answer = Api(token).get("/user")
    assert problem(answer) == (401, "invalid-token")
    assert "expired before the token was first used" in answer.json()["detail"]
    assert works(before)


def test_a_new_code_ends_the_one_before(alice: User) -> None:
    first = made(alice)
    token = token_of(first)
    second = made(alice)
    assert "newer one" in refused(first)
    assert not works(token)
    assert works(token_of(second))


@pytest.mark.parametrize("end", [operations.issue_token, operations.revoke_token])
def test_staff_who_change_the_token_end_the_code(alice: User, end: Any) -> None:
    code = made(alice)
    token = token_of(code)
    end(alice, "ta")
    assert not works(token)
    refused(code)


def test_a_disabled_account_gets_nothing(alice: User) -> None:
    code = made(alice)
    token = token_of(code)
    User.objects.update(is_active=False)
    assert "disabled" in refused(code)
    assert problem(Api(token).get("/user")) == (401, "invalid-token")
    assert LoginCode.objects.get().used_at is None


def test_a_code_goes_with_its_user(alice: User) -> None:
    code = made(alice)
    operations.delete(alice, "ta")
    refused(code)


def test_what_happened_is_on_record(alice: User) -> None:
    works(token_of(made(alice)))
    told = AuditEntry.objects.order_by("id").values_list("username", "action", "request")
    assert list(told) == [
        ("ta", "login-code-made", {"name": "alice"}),
        ("alice", "login-code-redeemed", {"name": "alice"}),
        ("alice", "login-code-used", {"name": "alice"}),
    ]


@pytest.mark.parametrize("body", [{}, {"code": 5}, {"code": ""}, {"code": "x" * 1001}, [], "x"])
def test_a_body_that_is_none(nobody: Api, body: Any) -> None:
    assert problem(nobody.post("/login", body)) == (400, "invalid-request")


def test_wrong_codes_are_counted_and_right_ones_pass(alice: User, settings: Any) -> None:
    settings.TELERUN_WRONG_TOKENS_PER_MINUTE = 2
    wrong = login_code_text.encode(bytes(16), "q:1", None)
    assert "no log-in code of this queue" in refused(wrong)
    refused("tlrc_mistyped")
    answer = log_in(wrong)
    assert problem(answer) == (429, "too-many-wrong-tokens")
    assert int(answer["Retry-After"]) <= 60
    assert FailureCount.objects.get().count == 2
    code = made(alice)
    assert works(token_of(code))
    refused(code)  # whose holder it was given to
    assert FailureCount.objects.get().count == 2


# --- Two at once -------------------------------------------------------------------------


@pytest.fixture
def at_once() -> Iterator[Any]:
    def run(*functions: Any) -> list[Any]:
        def closing(function: Any) -> Any:
            try:
                return function()
            finally:
                connection.close()

        return side_by_side(*(lambda f=f: closing(f) for f in functions))

    return run


@pytest.mark.django_db(transaction=True)
def test_of_two_who_redeem_at_once_one_has_a_token(at_once: Any, alice: User) -> None:
    code = made(alice)
    for _ in range(5):
        told = at_once(lambda: token_of(code), lambda: token_of(code))
        found = LoginCode.objects.get().token_digest
        assert sum(hashlib.sha256(t.encode()).hexdigest() == found for t in told) == 1
    assert sorted(works(token) for token in told) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_used_twice_at_once_is_used(at_once: Any, alice: User) -> None:
    for _ in range(5):
        token = token_of(made(alice))
        assert at_once(lambda: works(token), lambda: works(token)) == [True, True]  # noqa: B023
    used = AuditEntry.objects.filter(action="login-code-used")
    assert used.count() == 5


# --- Which address and which certificate -------------------------------------------------


@pytest.fixture
def own_pair(tmp_path: Path, settings: Any) -> Path:
    certificate = settings.TELERUN_CERTIFICATE = tmp_path / "server.cert"
    make_self_signed(["queue.example.edu", "::1"], certificate, tmp_path / "server.key")
    return certificate


def test_the_address_and_pin_of_ones_own_certificate(own_pair: Path, settings: Any) -> None:
    found = public_address()
    assert found.address == f"queue.example.edu:{settings.TELERUN_PORT}"
    der = ssl.PEM_cert_to_DER_cert(own_pair.read_text())
    assert submit.is_pinned(der, found.pin)
    assert not submit.is_pinned(der[:-1], found.pin)
    settings.TELERUN_PUBLIC_URL = "https://cs.example.edu/telerun"
    assert public_address().address == "cs.example.edu/telerun"
    assert public_address("https://other").address == "other"


def test_a_proxys_certificate_is_pinned(own_pair: Path, tmp_path: Path, settings: Any) -> None:
    proxys = settings.TELERUN_PUBLIC_CERTIFICATE = tmp_path / "proxy.pem"
    make_self_signed(["cs.example.edu"], proxys, tmp_path / "proxy.key")
    found = public_address()
    assert submit.is_pinned(ssl.PEM_cert_to_DER_cert(proxys.read_text()), found.pin)
    assert found.address.startswith("cs.example.edu:")


def test_one_that_an_authority_signed_is_not_pinned(own_pair: Path, settings: Any) -> None:
    signed = Path(__file__).parent / "data" / "signed.pem"
    settings.TELERUN_CERTIFICATE = signed
    assert public_address() == PublicAddress(f"signed.example.edu:{settings.TELERUN_PORT}", None)


@pytest.mark.parametrize(
    "url",
    ["http://q", "q", "https://", "https://a b", "https://q:0", "https://q:70000", "https://u@q",
     "https://q/?x", "https://q\n", "https://\N{BOMB}", "https://" + "x" * 256],
)  # fmt: skip
def test_an_address_that_is_none(own_pair: Path, url: str) -> None:
    with pytest.raises(ValidationError, match="is not of the form https://host:port"):
        public_address(url)


# --- In the admin ------------------------------------------------------------------------


def test_staff_make_a_code_that_is_shown_once(
    ta: Any, alice: User, own_pair: Path, settings: Any
) -> None:
    settings.TELERUN_PUBLIC_URL = "https://queue.example.edu:4443"
    answer = act(ta, USERS, "make_login_code", alice.pk)
    shown = answer.content.decode()
    code = re.search(r"tlrc_[a-z2-7]+", shown)
    assert code
    assert submit.read_code(code[0]).server == "https://queue.example.edu:4443"
    assert "valid 7 days" in shown
    assert "tlrc_" not in page(ta, USERS) + page(ta, f"{USERS}{alice.pk}/change/")
    assert works(token_of(code[0]))
    assert AuditEntry.objects.filter(username="ta", action="login-code-made").count() == 1


def test_tokens_come_with_the_public_address(ta: Any, alice: User, settings: Any) -> None:
    settings.TELERUN_PUBLIC_URL = "https://queue.example.edu:4443"
    shown = act(ta, USERS, "issue_token", alice.pk).content.decode()
    assert "https://queue.example.edu:4443" in shown
    assert "testserver" not in shown


# --- Whose token it is -------------------------------------------------------------------


def test_a_token_says_whose_it_is(as_alice: Api) -> None:
    assert as_alice.get("/user").json() == {"username": "alice"}


@pytest.mark.parametrize("name", ["alice", "Alice", " alice ", "ALICE", "%61lice"])
def test_ones_own_name_beside_the_token(as_alice: Api, name: str) -> None:
    assert as_alice.get("/user", Telerun_User=name).status_code == 200


@pytest.mark.parametrize("name", ["bob", "", "alice2", "%ff", "a%00", "%E2%80%AEalice", "x" * 9999])
def test_another_name_beside_the_token_is_refused(as_alice: Api, bob: User, name: str) -> None:
    for answer in (as_alice.get("/user", Telerun_User=name),
                   as_alice.post("/jobs", {"source": "x"}, Telerun_User=name)):  # fmt: skip
        assert problem(answer) == (403, "wrong-user")
        assert "The token is that of alice" in answer.json()["detail"]
        assert len(answer.content) < 2000
        assert answer.json()["detail"].isprintable()


def test_a_name_that_is_no_ascii(make_user: Any) -> None:
    zoe = make_user("Zo\u00eb")
    api = Api(zoe.issue_token())
    assert api.get("/user", Telerun_User="Zo%C3%AB").status_code == 200
    assert api.get("/user", Telerun_User="zoe%CC%88").status_code == 200  # written otherwise
    assert api.get("/user", Telerun_User="zoe").status_code == 403
