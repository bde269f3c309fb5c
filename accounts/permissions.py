"""Which kind of token an endpoint takes. Views name one of the two."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.errors import NotAuthenticated, WrongTokenKind
from accounts.models import Executor, User


class _IsKind(BasePermission):
    kind: type
    takes: str

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.user is None:
            raise NotAuthenticated
        if not isinstance(request.user, self.kind):
            raise WrongTokenKind(f"This address takes the token of {self.takes}.")
        return True


class IsUser(_IsKind):
    """Lets users in: students and staff."""

    kind = User
    takes = "a user (auth.json with a username), not an executor's"


class IsExecutor(_IsKind):
    """Lets executors in."""

    kind = Executor
    takes = "an executor (auth.json with an executor name), not a user's"
