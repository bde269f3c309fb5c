"""The commands as an operator types them: subprocesses, in `queue/`, on files of their own."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support.postgres import Postgres, binaries
from tests.support.processes import ROOT, Done, World, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    """A queue without so much as a certificate."""
    return World(tmp_path)


def command(world: World, module: str, *arguments: object, python: str = sys.executable) -> Done:
    argv = [python, "-m", f"submission_queue.{module}", *arguments]
    return run(argv, cwd=ROOT / "queue", env=world.environment).no_traceback()


@pytest.mark.hardening
def test_users_and_executors_from_beginning_to_end(fresh: World) -> None:
    for kind, prefix in (("user", "tlru_"), ("executor", "tlre_")):
        created = command(fresh, "auth", f"create-{kind}", "some-name")
        assert created.status == 0, created.err
        assert created.out.count("\n") == 1
        match = re.search(rf"with token ({prefix}[0-9A-Za-z]+)$", created.out.strip())
        assert match
        reset = command(fresh, "auth", f"reset-{kind}-token", "some-name")
        assert re.search(rf"with token {prefix}[0-9A-Za-z]+$", reset.out.strip())
        assert match[1] not in reset.out
        assert json.loads(command(fresh, "auth", f"list-{kind}s").out) == ["some-name"]
        assert command(fresh, "auth", f"revoke-{kind}-token", "some-name").status == 0
        assert command(fresh, "auth", f"delete-{kind}", "some-name").status == 0
        assert json.loads(command(fresh, "auth", f"list-{kind}s").out) == []
        assert command(fresh, "auth", f"create-{kind}", "some-name").status == 0


def test_tokens_are_nowhere_in_the_files(fresh: World) -> None:
    tokens = [
        command(fresh, "auth", "create-user", "alice").out.split()[-1],
        command(fresh, "auth", "create-executor", "gpu1").out.split()[-1],
        command(fresh, "auth", "create-staff", "ta").out.split()[-1],
    ]
    files = [path for path in fresh.data.iterdir() if path.is_file()]
    assert files
    for path in files:
        assert not [t for t in tokens if t.encode() in path.read_bytes()], path


def test_the_run_time_files_are_for_their_owner_alone(fresh: World) -> None:
    command(fresh, "auth", "create-user", "alice")
    modes = {path.name: path.stat().st_mode & 0o077 for path in fresh.data.iterdir()}
    assert {"db.sqlite3", "audit_log.jsonl", "secret_key"} <= set(modes)
    assert set(modes.values()) == {0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["delete-user", "nobody"], "no user 'nobody'"),
        (["reset-user-token", "nobody"], "no user 'nobody'"),
        (["delete-executor", "none"], "no executor 'none'"),
        (["reset-executor-token", "none"], "no executor 'none'"),
        (["disable-executor", "none"], "no executor 'none'"),
        (["create-user", "a b"], "valid username"),
        (["create-user", ""], "cannot be blank"),
        (["create-user", "x" * 151], "150"),
        (["create-user", "System"], "audit log's own name"),
        (["create-staff", "command"], "audit log's own name"),
        (["create-executor", "a/b"], "letters, digits"),
        (["create-executor", "../x"], "letters, digits"),
        (["nonsense"], "invalid choice"),
        ([], "required"),
    ],
)
def test_what_auth_refuses(fresh: World, arguments: list[str], words: str) -> None:
    done = command(fresh, "auth", *arguments)
    assert done.status != 0
    assert words in done.err
    assert done.out == ""


def test_a_taken_name_is_refused_and_its_token_stays(fresh: World) -> None:
    command(fresh, "auth", "create-user", "alice")
    again = command(fresh, "auth", "create-user", "alice")
    assert again.status == 1
    assert "reset-user-token alice" in again.err
    assert json.loads(command(fresh, "auth", "list-users").out) == ["alice"]


def test_what_auth_does_is_in_the_audit_log(fresh: World) -> None:
    command(fresh, "auth", "create-user", "alice")
    command(fresh, "auth", "reset-user-token", "alice")
    command(fresh, "auth", "create-executor", "gpu1")
    command(fresh, "auth", "disable-executor", "gpu1")
    command(fresh, "auth", "delete-user", "alice")
    done = [(line["username"], line["action"], line["request"]) for line in fresh.audit_lines()]
    assert done == [
        ("command", "user-created", {"name": "alice"}),
        ("command", "token-issued", {"name": "alice"}),
        ("command", "executor-created", {"name": "gpu1"}),
        (
            "command",
            "executor-disabled",
            {"name": "gpu1", "before": {"enabled": True}, "after": {"enabled": False}},
        ),
        ("command", "user-deleted", {"name": "alice"}),
    ]


def test_init_db_makes_the_tables_and_loses_nothing(fresh: World) -> None:
    assert command(fresh, "db", "init-db").status == 0
    assert (fresh.data / "db.sqlite3").is_file()
    command(fresh, "auth", "create-user", "alice")
    assert command(fresh, "db", "init-db").status == 0
    assert json.loads(command(fresh, "auth", "list-users").out) == ["alice"]


def test_reset_submissions_keeps_users_and_the_audit_log(fresh: World) -> None:
    command(fresh, "auth", "create-user", "alice")
    script = (
        "from accounts.models import User; from jobs import submitting as o;"
        "o.submit(User.objects.get(), o.Submission('source'))"
    )
    fresh.manage("shell", "-v0", "-c", script)
    done = command(fresh, "db", "reset-submissions")
    assert done.status == 0
    assert "Deleted 1 job" in done.out
    assert json.loads(command(fresh, "auth", "list-users").out) == ["alice"]
    assert [line["action"] for line in fresh.audit_lines()][-2:] == [
        "submitted",
        "jobs-deleted",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["requeue", "99"], "no job 99"),
        (["cancel", "99"], "no job 99"),
        (["requeue", "x"], "invalid int"),
        (["nonsense"], "invalid choice"),
        ([], "required"),
    ],
)
def test_what_db_refuses(fresh: World, arguments: list[str], words: str) -> None:
    done = command(fresh, "db", *arguments)
    assert done.status != 0
    assert words in done.err


def test_the_same_commands_by_manage_py(fresh: World) -> None:
    assert "with token" in fresh.manage("telerun_auth", "create-user", "alice").out
    assert "ready" in fresh.manage("telerun_db", "init-db").out


def test_without_django_the_message_says_what_to_install(fresh: World) -> None:
    isolated = run(
        [sys.executable, "-S", "-m", "submission_queue.auth", "list-users"],
        cwd=ROOT / "queue",
        env={k: v for k, v in fresh.environment.items() if k != "PYTHONPATH"},
    ).no_traceback()
    assert isolated.status == 1
    assert "requirements.txt" in isolated.err


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TELERUN_LEASE_SECONDS": "x"}, "TELERUN_LEASE_SECONDS must be a whole number"),
        ({"TELERUN_LEASE_SECONDS": "2"}, "TELERUN_LEASE_SECONDS is less than 3"),
        ({"TELERUN_OUTPUT_BYTES": "1"}, "TELERUN_OUTPUT_BYTES is less"),
        ({"DATABASE_URL": "nonsense://x"}, "DATABASE_URL"),
        ({"TELERUN_DATA_DIR": "/dev/null/x"}, "data folder cannot be used"),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, "database refused"),
    ],
)
def test_settings_that_make_no_sense_are_said_so(
    fresh: World, environment: dict[str, str], words: str
) -> None:
    fresh.environment.update(environment)
    done = command(fresh, "db", "init-db")
    assert done.status != 0
    assert words in done.err


@pytest.mark.hardening
@pytest.mark.once
def test_a_wrong_password_of_the_database_is_said_in_a_line(tmp_path: Path) -> None:
    need("PostgreSQL", binaries())
    server = Postgres()
    try:
        server.let_in_by_password("telerun", "right")
        url = f"postgres://telerun:not-this-one@127.0.0.1:{server.port}/postgres"
        world = World(tmp_path, DATABASE_URL=url)
        for arguments in (["telerun_db", "init-db"], ["telerun_auth", "list-users"]):
            done = world.manage(*arguments, check=False).no_traceback()
            assert done.status == 1
            assert 'password authentication failed for user "telerun"' in done.err
            assert done.err.strip().count("\n") == 0, done.err
            assert "not-this-one" not in done.err
    finally:
        server.stop()
