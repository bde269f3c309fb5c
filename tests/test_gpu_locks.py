"""The lock of a GPU: who can take it, who cannot, and what frees it. Real processes and users."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands for /run/telerun; in a folder that all users see, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setattr(executor, "LOCK_FOLDER", folder / "run")
        monkeypatch.setattr(executor, "USER_FOLDERS", folder / "users")
        yield folder / "run"


HOLDS = """
import sys, time
try:
    lock = executor.lock_gpu(executor.Gpu("0", "GPU-x", "Stub", "sm_80", "535"))
except executor.BadSetup as error:
    print(error, flush=True)
    sys.exit(2)
print("held", flush=True)
time.sleep(600)
"""
TAKES_ALL_IT_CAN = """
import fcntl, os, socket, sys, time
taken = []
one = socket.socket(socket.AF_UNIX)
one.bind("\\0telerun-gpu-GPU-x")
for name in (sys.argv[1], sys.argv[1] + "/gpu-GPU-x"):
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT):
        try:
            taken.append(os.open(name, flags, 0o666))
            fcntl.flock(taken[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
for make in (os.mkdir, lambda name: os.symlink("/etc/passwd", name)):
    try:
        make(sys.argv[1] + "/gpu-GPU-x")
    except OSError:
        pass
print("tried", flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(locks: Path) -> Iterator[Callable[..., Any]]:
    """Starts a script, and returns it with the first line that it printed."""
    started: list[Any] = []

    def begin(script: str, user: int = 0, group: int = 0, **environment: str) -> tuple[Any, str]:
        become = f"""
import os
import executor
os.umask(0o077)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({group or user})
    os.setuid({user})
executor.LOCK_FOLDER = executor.Path({str(locks)!r})
executor.USER_FOLDERS = executor.Path({str(locks.parent / "users")!r})
"""
        one = subprocess.Popen(
            [sys.executable, "-c", become + script, str(locks)],
            stdout=subprocess.PIPE, text=True, cwd=Path(executor.__file__).parent,
            env={**os.environ, **environment},
        )  # fmt: skip
        started.append(one)
        assert one.stdout
        return one, one.stdout.readline().strip()

    yield begin
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


GPU = executor.Gpu("0", "GPU-x", "Stub", "sm_80", "535")


def folder_of_user(locks: Path, user: int = 65534) -> str:
    """What a log-in makes for the user, such as /run/user/65534."""
    folder = locks.parent / f"users/{user}"
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(str(folder), user, user)
    folder.chmod(0o700)
    return str(folder)


@pytest.mark.processes
def test_the_lock_cannot_be_taken_by_another_user(locks: Path, start: Callable[..., Any]) -> None:
    need("root", os.geteuid() == 0)
    _, said = start(TAKES_ALL_IT_CAN, user=65534)
    assert said == "tried"
    executor.lock_gpu(GPU).close()
    _, said = start(TAKES_ALL_IT_CAN.replace("telerun-gpu-GPU-x", "another-name"), user=65534)
    with (
        executor.lock_gpu(GPU),
        pytest.raises(executor.BadSetup, match="Another executor on this machine has GPU 0"),
    ):
        executor.lock_gpu(GPU)


@pytest.mark.processes
def test_kill_9_frees_the_lock(locks: Path, start: Callable[..., Any]) -> None:
    need("root", os.geteuid() == 0)
    one, said = start(HOLDS)
    assert said == "held"
    with pytest.raises(executor.BadSetup, match="Another executor"):
        executor.lock_gpu(GPU)
    one.kill()
    one.wait()
    executor.lock_gpu(GPU).close()


@pytest.mark.processes
def test_a_users_executor_sees_that_roots_has_the_gpu(
    locks: Path, start: Callable[..., Any]
) -> None:
    need("root", os.geteuid() == 0)
    own = folder_of_user(locks)
    one, said = start(HOLDS)  # with a umask that hides all that is made from others
    assert said == "held"
    _, said = start(HOLDS, user=65534, XDG_RUNTIME_DIR=own)
    assert said.startswith("Another executor on this machine has GPU 0")
    one.kill()
    one.wait()
    _, said = start(HOLDS, user=65534, XDG_RUNTIME_DIR=own)
    assert said == "held"
    _, said = start(HOLDS, user=65534, XDG_RUNTIME_DIR=own)
    assert said.startswith("Another executor on this machine has GPU 0")


@pytest.mark.processes
def test_root_does_not_yield_to_a_user_and_says_so(
    locks: Path, start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    need("root", os.geteuid() == 0)
    own = folder_of_user(locks)
    start(HOLDS, user=65534, XDG_RUNTIME_DIR=own)
    executor.lock_gpu(GPU).close()
    assert "User 65534 runs an executor with GPU 0 too" in capsys.readouterr().err


@pytest.mark.hardening
@pytest.mark.processes
def test_users_of_a_group_exclude_each_other_where_root_lends_them_the_folder(
    locks: Path, start: Callable[..., Any]
) -> None:
    need("root", os.geteuid() == 0)
    locks.mkdir()
    os.chown(str(locks), 0, 4711)
    locks.chmod(0o2771)  # as docs/gpu-hosts.md has it
    for user in (65534, 65533, 0):
        one, said = start(HOLDS, user=user, group=4711)
        assert said == "held"
        outsider, said = start(TAKES_ALL_IT_CAN, user=65532)
        assert said == "tried"
        _, said = start(HOLDS, user=65532, XDG_RUNTIME_DIR=folder_of_user(locks, 65532))
        assert said.startswith("Another executor on this machine has GPU 0")
        for other in (65534, 65533, 0):
            _, said = start(HOLDS, user=other, group=4711)
            assert said.startswith("Another executor on this machine has GPU 0")
        for process in (one, outsider):
            process.kill()
            process.wait()


@pytest.mark.parametrize("what", ["folder", "link", "file", "open file"])
def test_a_lock_that_others_could_take_is_refused(locks: Path, what: str) -> None:
    need("root", os.geteuid() == 0)
    if what == "link":
        (locks.parent / "elsewhere").mkdir()
        locks.symlink_to(locks.parent / "elsewhere")
    else:
        locks.mkdir()
    if what == "folder":
        locks.chmod(0o777)
    elif what == "file":
        (locks / "gpu-GPU-x").symlink_to("/etc/passwd")
    elif what == "open file":
        (locks / "gpu-GPU-x").touch(0o666)
        (locks / "gpu-GPU-x").chmod(0o666)
    with pytest.raises(executor.BadSetup) as raised:
        executor.lock_gpu(GPU)
    assert str(locks) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_in_one_line(
    locks: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As homes on Lustre (mounted without `flock`) and NFS (without its lock daemon) answer."""
    need("root", os.geteuid() == 0)

    def flock(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(executor.fcntl, "flock", flock)
    with pytest.raises(executor.BadSetup, match=r"has no locks .* set XDG_RUNTIME_DIR"):
        executor.lock_gpu(GPU)


def test_the_lock_of_an_instance_of_before_r470_is_one_file(locks: Path) -> None:
    need("root", os.geteuid() == 0)
    with executor.lock_gpu(GPU._replace(uuid="MIG-GPU-5d5ba000/1/0")):
        assert [path.name for path in locks.iterdir()] == ["gpu-MIG-GPU-5d5ba000_1_0"]
