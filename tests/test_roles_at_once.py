"""Two requests at the same moment: a code counts once, and an owner is left."""

from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounts import operations, roles, second_factor
from accounts.models import User
from accounts.roles import Role
from tests.support.processes import side_by_side
from tests.support.roles import code, enrol, member

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*deeds: Any) -> list[Any]:
    def alone(deed: Any) -> Any:
        try:
            return deed()
        finally:
            connection.close()

    return side_by_side(*(partial(alone, deed) for deed in deeds))


def test_a_code_counts_once() -> None:
    prof = member("prof", Role.OWNER)
    codes = enrol(prof)
    for given in (code(prof), codes[0]):
        assert sum(at_once(*[partial(second_factor.verify, prof, given)] * 4)) == 1


@pytest.mark.parametrize("end", ["another role", "deleted"])
def test_two_owners_who_end_each_other(end: str) -> None:
    users = [member(name, Role.OWNER) for name in ("prof", "other")]

    def demote(user: User) -> None:
        if end == "deleted":
            operations.delete(User.objects.get(pk=user.pk), "somebody")
        else:
            operations.set_role(User.objects.get(pk=user.pk), Role.TA, "somebody")

    done = at_once(*(lambda user=user: demote(user) for user in users))
    assert [type(one) for one in done].count(ValidationError) == 1
    assert roles.owners().count() == 1


def test_a_second_factor_that_is_begun_twice_has_one_secret() -> None:
    prof = member("prof", Role.OWNER)
    devices = at_once(*[lambda: second_factor.begin(prof)] * 4)
    assert len({device.key for device in devices}) == 1
