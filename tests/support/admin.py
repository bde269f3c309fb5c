"""The admin site as a browser sees it, inside the test's own process."""

import html
import re
from typing import Any

from django.test import Client

from accounts.models import Executor, User
from jobs import claiming, reporting, submitting
from jobs.models import Attempt, AuditEntry, Job
from jobs.reporting import Result
from jobs.submitting import Submission

JOBS = "/admin/jobs/job/"
AUDIT = "/admin/jobs/auditentry/"
USERS = "/admin/accounts/user/"
EXECUTORS = "/admin/accounts/executor/"
BULK = "/admin/jobs/bulkaction/"


class Https(Client):
    """Django's client, over TLS as far as the site can tell."""

    def _base_environ(self, **request: Any) -> dict[str, Any]:
        return super()._base_environ(**{**request, "wsgi.url_scheme": "https"})


def browser(user: User | None, **options: Any) -> Client:
    client = Https(**options)
    if user:
        client.force_login(user)
    return client


def staff(name: str) -> User:
    return User.objects.create_user(name, is_staff=True, is_superuser=True)


def submit(user: User, source: str = "int main() {}\n", name: str = "prog.cu") -> Job:
    return submitting.submit(user, Submission(source, name, ["-n", "3"]))[0]


def run(executor: Executor, **result: Any) -> Attempt:
    """The next job, from claim to result."""
    attempt = claiming.claim(executor)
    assert attempt
    report = Result(**{"outcome": "succeeded", **result})
    reporting.finish(executor, attempt.pk, attempt.lease_token, report)
    return attempt


def page(client: Client, url: str, **data: Any) -> str:
    answer = client.get(url, data)
    assert answer.status_code == 200, (url, answer.status_code, answer.get("Location"))
    return answer.content.decode()


def words_of(text: str) -> str:
    """What a reader sees of a page: sources have marks in them, for their colours."""
    return html.unescape(re.sub("<[^>]*>", "", text))


def found(client: Client, where: str, **query: Any) -> set[int]:
    """The keys of the rows that a list shows."""
    answer = client.get(where, query)
    assert answer.status_code == 200, answer.get("Location")
    return {row.pk for row in answer.context["cl"].result_list}


def act(client: Client, where: str, action: str, *pks: Any, **more: Any) -> Any:
    """Does the action, as somebody who says yes to what is asked first."""
    answer = ask(client, where, action, *pks, **more)
    return confirm(client, answer) if is_question(answer) else answer


def ask(client: Client, where: str, action: str, *pks: Any, **more: Any) -> Any:
    """Chooses the action in the list, or presses its button."""
    return client.post(where, {"action": action, "_selected_action": list(pks), **more})


def is_question(answer: Any) -> bool:
    return answer.status_code == 200 and bool((answer.context or {}).get("question"))


def confirm(client: Client, answer: Any, **typed: Any) -> Any:
    """Sends the form of a question, with its count or its word typed in if it asks for one."""
    question = answer.context["question"]
    count = {"count": question.wanted} if question.is_typed else {}
    where = answer.wsgi_request.get_full_path()
    return client.post(where, {**answer.context["hidden"], **count, **typed})


def told(answer: Any) -> list[str]:
    return [str(message) for message in answer.wsgi_request._messages]


def add(client: Client, where: str, names: str, **more: Any) -> Any:
    """Adds a roster, as somebody who says yes to what was understood."""
    answer = client.post(f"{where}add/", {"names": names, **more})
    question = (answer.context or {}).get("question")
    return add_seen(client, where, names, answer, **more) if question else answer


def add_seen(client: Client, where: str, names: str, answer: Any, **more: Any) -> Any:
    """Sends the form of the page that shows what was understood."""
    question = answer.context["question"]
    count = {"count": str(question.count)} if question.is_typed else {}
    seen = {"confirmed": "1", "seen": answer.context["form"].digest()}
    return client.post(f"{where}add/", {"names": names, **seen, **count, **more})


ACTIONS = {
    JOBS: ("requeue", "cancel"),
    USERS: ("issue_token", "revoke_token", "make_login_code"),
    EXECUTORS: ("issue_token", "revoke_token", "enable", "disable"),
}


def everything() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (Job, Attempt, Executor, AuditEntry)
    ] + [list(User.objects.order_by("pk").values("username", "token_digest", "is_superuser"))]
