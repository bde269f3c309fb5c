"""A purge while a server and a host run; in the admin; and killed with SIGKILL."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from jobs.models import AuditEntry
from tests.support.admin import USERS, ask, browser, confirm, is_question, staff, told
from tests.support.processes import ROOT, World, wait_for
from tests.support.stubs import AS_SHELL, fake_nvcc

NAME, TEXT = "zzmarkerzz", "zzsourcezz"


@pytest.mark.django_db(transaction=True)
class TestInTheAdmin:
    """The action on one user, confirmed by their name."""

    def test_the_name_is_typed(self, ta: Client, alice: User) -> None:
        question = ask(ta, USERS, "purge", alice.pk)
        assert is_question(question)
        for wrong in ("", "1", "Alice", "alic"):
            answer = confirm(ta, question, count=wrong)
            assert is_question(answer)
            assert "Type alice." in answer.content.decode()
        assert User.objects.filter(username="alice").exists()
        answer = confirm(ta, question, count="alice")
        words = told(answer)
        assert words[0].startswith("Purged. 0 jobs")
        assert "Backups" in words[1]
        assert not User.objects.filter(username="alice").exists()
        assert AuditEntry.objects.get(action="user-purged").username == "ta"

    def test_one_at_a_time(self, ta: Client, alice: User, bob: User) -> None:
        question = ask(ta, USERS, "purge", alice.pk, bob.pk)
        assert "one person at a time" in question.content.decode()
        confirm(ta, question, count="alice")
        assert User.objects.filter(username__in=("alice", "bob")).count() == 2

    def test_nobody_purges_themselves(self, ta: Client) -> None:
        me = User.objects.get(username="ta")
        answer = confirm(ta, ask(ta, USERS, "purge", me.pk), count="ta")
        assert "cannot purge yourself" in told(answer)[0]
        assert User.objects.filter(username="ta").exists()

    def test_who_may_not_is_not_offered_it(self, alice: User) -> None:
        from django.contrib.auth.models import Permission

        head = User.objects.create_user("head", is_staff=True)
        names = ("view_user", "change_user", "delete_user")
        head.user_permissions.set(Permission.objects.filter(codename__in=names))
        client = browser(head)
        assert 'value="purge"' not in client.get(USERS).content.decode()
        ask(client, USERS, "purge", alice.pk)
        confirmed = {"action": "purge", "_selected_action": [alice.pk], "confirmed": "1"}
        client.post(USERS, {**confirmed, "count": "alice", "state": ""})
        assert User.objects.filter(username="alice").exists()

    def test_an_ordinary_question_still_takes_its_number(self, alice: User, bob: User) -> None:
        client = browser(staff("boss"))
        question = ask(client, USERS, "revoke_token", alice.pk, bob.pk)
        assert "Type the number" in question.content.decode()
        assert "Type 2." in confirm(client, question, count="alice").content.decode()


def _lived(world: World) -> Path:
    """A person who left jobs behind, one of which runs still."""
    auth = world.user(NAME)
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    shell = f"echo {TEXT}; mkdir -p out; echo {TEXT} > out/{TEXT}.txt"
    done = world.submit(auth, world.source(shell, f"{TEXT}.cu"))
    assert done.status == 0, done.err
    sleeps = world.source(f"echo {TEXT}; sleep 600", "sleeps.cu")
    waits = world.start_submit(auth, sleeps)
    waits.wait_until_told(TEXT)
    return auth


def _markers(world: World) -> list[str]:
    """Files of the queue that hold the name or the program."""
    found = []
    for path in world.data.iterdir():
        content = path.read_bytes() if path.is_file() else b""
        found += [path.name for marker in (NAME, TEXT) if marker.encode() in content]
    return found


@pytest.mark.end_to_end
@pytest.mark.hardening
def test_while_everything_runs(world: World) -> None:
    auth = _lived(world)
    assert _markers(world)
    done = world.manage("telerun_auth", "purge-user", NAME, "--yes").no_traceback()
    assert "Purged. 2 jobs" in done.out
    assert world.request(auth, "GET", "/jobs")[0] == 401

    def clean() -> bool:
        checked = world.manage("telerun_db", "check", check=False)
        assert "violation" not in checked.err, checked.err
        return not _markers(world)

    wait_for(clean, "nothing of the person is in any file", 60)
    lines = world.audit_lines()
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["action"] in ("user-purged", "logged-in", "failed", "cancelled")
    bob = world.user("bob")
    assert world.submit(bob, world.source("echo all is well")).status == 0
    assert world.manage("telerun_db", "check").out.startswith("All is well")


@pytest.mark.end_to_end
@pytest.mark.hardening
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_killed_and_said_again(world: World, part: float) -> None:
    """SIGKILL at that part of the time that a start and a purge take."""
    _lived(world)
    argv = [sys.executable, "manage.py", "telerun_auth", "purge-user", NAME, "--yes"]
    process: Any = subprocess.Popen(argv, cwd=ROOT, env=world.environment)
    try:
        process.wait(part * 6)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "All is well" in world.manage("telerun_db", "check").out
    again = world.manage("telerun_auth", "purge-user", NAME, "--yes", check=False)
    assert again.status == 0 or "There is no user" in again.err
    assert world.manage("telerun_db", "check").out.strip().endswith("agree.")
    wait_for(lambda: not _markers(world), "nothing of the person is in any file", 60)
