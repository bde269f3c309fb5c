"""Tokens: made well, recognised, stored as digests, accepted and refused."""

import hashlib
import re

import pytest

from accounts import tokens
from accounts.authentication import bearer_of
from accounts.errors import InvalidToken
from accounts.models import Executor, User
from tests.support.api import Api, problem


@pytest.mark.parametrize("prefix", [tokens.USER_PREFIX, tokens.EXECUTOR_PREFIX])
def test_a_token_has_a_prefix_enough_chance_and_a_checksum(prefix: str) -> None:
    token = tokens.make(prefix)
    assert re.fullmatch(prefix + "[0-9A-Za-z]{36}", token)
    assert tokens.is_well_formed(token)
    assert 62**30 > 2**160
    assert tokens.make(prefix) != token


def test_a_mistyped_token_is_not_well_formed() -> None:
    token = tokens.make(tokens.USER_PREFIX)
    for place in range(len(token)):
        other = "x" if token[place] != "x" else "y"
        assert not tokens.is_well_formed(token[:place] + other + token[place + 1 :])
    assert not tokens.is_well_formed(token[:-1])
    assert not tokens.is_well_formed(token + "a")
    assert not tokens.is_well_formed("")


def test_only_the_digest_is_stored(alice: User) -> None:
    token = alice.issue_token()
    row = User.objects.filter(pk=alice.pk).values().get()
    assert row["token_digest"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(row)


def test_a_new_token_revokes_the_old(alice: User) -> None:
    old = alice.issue_token()
    assert bearer_of(old) == alice
    new = alice.issue_token()
    assert bearer_of(new) == alice
    with pytest.raises(InvalidToken, match="replaced or revoked"):
        bearer_of(old)
    alice.revoke_token()
    with pytest.raises(InvalidToken):
        bearer_of(new)


def test_the_two_kinds_are_apart(alice: User, gpu1: Executor) -> None:
    assert bearer_of(alice.issue_token()) == alice
    assert bearer_of(gpu1.issue_token()) == gpu1


def test_a_disabled_account_is_told_so(alice: User) -> None:
    token = alice.issue_token()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    answer = Api(token).get("/jobs")
    assert problem(answer) == (401, "invalid-token")
    assert "disabled" in answer.json()["detail"]


def test_refusals_challenge_and_never_repeat_the_token(nobody: Api, alice: User) -> None:
    answer = nobody.get("/jobs")
    assert problem(answer) == (401, "not-authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")
    revoked = alice.issue_token()
    alice.revoke_token()
    for token in (revoked, "tlru_short", "ÿ", "a b", revoked[:-1] + "é"):
        answer = Api(None).get("/jobs", Authorization=f"Bearer {token}")
        assert problem(answer) == (401, "invalid-token"), token
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert token not in answer.content.decode()


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "bearer ", "Token x"])
def test_anything_else_is_no_token(nobody: Api, header: str) -> None:
    status, _ = problem(nobody.get("/jobs", Authorization=header))
    assert status == 401
