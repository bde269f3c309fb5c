"""Greenlets beside native threads, in a process of their own, as the server has them."""

import http.client
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.support.processes import ROOT, World

pytestmark = [pytest.mark.once, pytest.mark.processes]


def patched(program: str, **environment: str) -> str:
    """What a program prints that begins as the server does."""
    head = "from foundation.serving import greenlets\ngreenlets.patch()\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def database(folder: Path) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "telerun_site.settings", "TELERUN_DATA_DIR": str(folder)}


def test_others_go_on_while_a_greenlet_waits_for_a_thread(tmp_path: Path) -> None:
    out = patched(
        """
        import gevent, time
        from gevent import monkey
        asleep = monkey.get_original("time", "sleep")
        ticks = []
        ticker = gevent.spawn(lambda: [ticks.append(gevent.sleep(0.01)) for _ in range(1000)])
        print(greenlets.in_a_thread(lambda: asleep(0.5) or greenlets.in_native_thread()))
        print(len(ticks) > 10)
        print(greenlets.in_native_thread())
        """,
        **database(tmp_path),
    )
    assert out.split() == ["True", "True", "False"]


def test_an_error_comes_back_and_is_printed_by_nobody(tmp_path: Path) -> None:
    out = patched(
        """
        try:
            greenlets.in_a_thread(int, "x")
        except ValueError as error:
            print(error)
        """,
        **database(tmp_path),
    )
    assert out == "invalid literal for int() with base 10: 'x'\n"


def test_greenlets_and_threads_take_turns_to_write(tmp_path: Path) -> None:
    """SQLite lets one write at a time: none fails, none is lost, and the hub never sleeps."""
    out = patched(
        """
        import django, gevent, time
        django.setup()
        from django.core.management import call_command
        from django.db import connection, transaction
        from foundation.database import connections
        call_command("migrate", verbosity=0)
        from accounts.models import FailureCount
        from django.utils import timezone
        connections.begin_server()
        connections.begin_process()
        FailureCount.objects.create(key="x", count=0, ends_at=timezone.now())

        def add():
            with transaction.atomic():
                row = FailureCount.objects.get(key="x")
                row.count += 1
                row.save()

        def add_many():
            for _ in range(50):
                add()
            connection.close()

        def add_in_threads():
            for _ in range(50):
                greenlets.in_a_thread(add)

        ticks = 0
        def tick():
            global ticks
            while True:
                gevent.sleep(0.001)
                ticks += 1
        ticker = gevent.spawn(tick)

        def hold():
            "Holds the turn in a native thread until the hub has gone on, meanwhile."
            with transaction.atomic():
                FailureCount.objects.get(key="x")
                before, deadline = ticks, time.monotonic() + 4
                while ticks < before + 20 and time.monotonic() < deadline:
                    greenlets.sleep(0.001)
                return ticks >= before + 20
        holding = gevent.spawn(greenlets.in_a_thread, hold)
        gevent.sleep(0.05)
        gevent.joinall(
            [gevent.spawn(add_many) for _ in range(5)]
            + [gevent.spawn(add_in_threads) for _ in range(5)],
            raise_error=True,
        )
        connections.wait_until_durable()
        print(FailureCount.objects.get(key="x").count, holding.get())
        """,
        **database(tmp_path),
    )
    assert out.split() == ["500", "True"]


@pytest.mark.parametrize("on_hub", [True, False])
def test_another_program_that_writes_is_waited_for(tmp_path: Path, on_hub: bool) -> None:
    """It takes no turns: SQLite's own lock is asked for again, while other greenlets go on."""
    out = patched(
        f"""
        import django, gevent, sqlite3, time
        django.setup()
        from django.core.management import call_command
        from django.db import connection, transaction
        from foundation.database import connections
        call_command("migrate", verbosity=0)
        from accounts.models import FailureCount
        from django.utils import timezone
        connections.begin_server()
        connections.begin_process()
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None,
                                check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        connection.close()  # it was opened before
        gevent.sleep(0.01)  # gevent's clock is that of its loop
        gevent.spawn_later(0.5, lambda: other.execute("COMMIT"))

        def add():
            with transaction.atomic():
                FailureCount.objects.create(key="x", count=0, ends_at=timezone.now())

        began = time.monotonic()
        add() if {on_hub} else greenlets.in_a_thread(add)
        print(0.4 < time.monotonic() - began < 4)
        """,
        **database(tmp_path),
    )
    assert out.split() == ["True"]


SESSION = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from accounts.models import User
user = User.objects.create_superuser("ta", password="not-used-1")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""


@pytest.mark.hardening
@pytest.mark.end_to_end
def test_pages_in_threads_and_requests_on_the_hub_do_not_stop_each_other(world: World) -> None:
    """They share the locks of every library: with gevent's, one in hundreds of requests hung."""
    alice = world.user("alice")
    session = world.aside("shell", "-v0", "-c", SESSION).out.split()[-1]
    server = world.start_server(TELERUN_WORKERS=1)
    world.request(alice, "POST", "/jobs", {"source": "x"})
    token = alice.read_text().split('"token": "')[1].split('"')[0]
    until = time.monotonic() + 12
    answered: list[int] = []
    unanswered: list[str] = []

    def ask(path: str, headers: dict[str, str]) -> None:
        with world.connection() as connection:
            connection.timeout = 20
            while time.monotonic() < until:
                try:
                    connection.request("GET", path, headers=headers)
                    answer = connection.getresponse()
                    answer.read()
                    answered.append(answer.status)
                except (OSError, http.client.HTTPException) as error:
                    unanswered.append(f"{path}: {error!r}")
                    return

    quick = ("/api/v1/jobs/1", {"Authorization": f"Bearer {token}"})
    pages = ("/admin/", "/admin/", "/admin/jobs/job/", "/admin/accounts/user/add/")
    asked = [quick] * 6 + [(page, {"Cookie": f"sessionid={session}"}) for page in pages]
    threads = [threading.Thread(target=ask, args=one) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unanswered == []
    assert set(answered) == {200}
    assert len(answered) > 50
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 8
