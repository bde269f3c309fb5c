"""Compilers, Python and NVIDIA's compute-sanitizer in the sandbox, and which calls they make there:
with --seccomp-log the kernel's log shows those that are not among the usual ones."""

import glob
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.labs import whole_toolkit
from tests.support.processes import HELLO, NVCC, ROOT, has_sandbox
from tests.support.sandbox import own_uids
from tests.support.scripts import load

pytestmark = [pytest.mark.once, pytest.mark.processes, pytest.mark.hardening]
executor = load("executor")
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 100_000, "output_bytes": 1 << 20}
PYTHON = "/usr/bin/python3"
UNUSUAL = {"x86_64": 65, "aarch64": 193}.get(platform.machine(), 65)  # semop


def sanitizer() -> str | None:
    """This machine's, or that of NVIDIA's wheels."""
    wheels = glob.glob(str(ROOT / ".venv/lib/python3*/site-packages/nvidia/cu*/bin"))
    found = [shutil.which("compute-sanitizer", path=path) for path in
             (None, "/usr/local/cuda/bin", *wheels)]  # fmt: skip
    return next((path for path in found if path), None)


class Tools:
    """One sandbox, with a stub of the driver's library where the machine has none."""

    def __init__(self, folder: Path, shown: Path, *more: str) -> None:
        self.folder = folder
        nvcc = executor.find_nvcc(whole_toolkit() or NVCC)
        made = executor.make_libraries(nvcc, "gcc", shown / "libraries")
        driver = [] if made.has_driver else [str(shown / "libraries")]
        tool = sanitizer()
        binds = ["--sandbox-bind", str(Path(tool).resolve().parent.parent)] if tool else []
        options = executor.parse(
            ["--nproc-compile", "1", "--nproc-execute", "1",
             "--sandbox-uid-base", str(own_uids("tools")), *binds, *more]
        )  # fmt: skip
        self.nvcc = nvcc
        self.box = executor.Bubblewrap(
            options, nvcc, folder / "sandbox", executor.NO_LIBRARIES._replace(driver=driver)
        )
        self.slot = executor.Slot(self.box)
        # That of a program, outside of the sandbox.
        self.environment = executor.environment([], driver, str(folder), str(folder), "")

    def _run(self, command: Any) -> Any:
        return self.slot.run(command, 120, LIMITS, lambda: True)

    def compile(self, argv: list[str], name: str, text: str) -> Any:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return self._run(self.box.compiler(folder, {name: text}, argv, LIMITS))

    def run(self, argv: list[str]) -> Any:
        """With the program `hello` as /job/program."""
        folder = self.hello().parent
        command = self.box.program(folder, [], "", None, folder / "archive", LIMITS)
        return self._run(command._replace(argv=argv))

    def hello(self) -> Path:
        """A program of C that prints "hello"."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "hello.c").write_text('#include <stdio.h>\nint main() { puts("hello"); }\n')
        subprocess.run(["gcc", "-o", folder / "program", folder / "hello.c"], check=True)
        return folder / "program"


@pytest.fixture(scope="module")
def shown() -> Iterator[Path]:
    """Where every user can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-tools-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, shown: Path) -> Iterator[Tools]:
    need("bubblewrap", has_sandbox())
    tools = Tools(tmp_path_factory.mktemp("tools"), shown, "--seccomp-log")
    yield tools
    tools.slot.close()


class LoggedCalls:
    """The numbers of the calls that the kernel's log tells of, from now on."""

    def __init__(self) -> None:
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._file, 0, os.SEEK_END)
        self._uids = range(own_uids("tools"), own_uids("tools") + 5)

    def numbers(self) -> list[int]:
        found = []
        while True:
            try:
                line = os.read(self._file, 8192).decode(errors="replace")
            except BlockingIOError:
                return found
            told = re.search(r"type=1326 .* uid=(\d+) .* syscall=(\d+) .* code=0x7ffc0000", line)
            if told and int(told[1]) in self._uids:
                found.append(int(told[2]))


@pytest.fixture
def logged(tools: Tools) -> LoggedCalls:
    """Skips where the kernel keeps its log to itself, or does not log calls."""
    if not os.access("/dev/kmsg", os.R_OK) or os.getuid() != 0:
        pytest.skip("needs the kernel's log, and root")
    logged = LoggedCalls()
    need("python3", Path(PYTHON).exists())
    script = f"import ctypes; ctypes.CDLL(None).syscall({UNUSUAL}, -1, 0, 0)"
    assert tools.run([PYTHON, "-IS", "-c", script]).exit_code == 0
    if logged.numbers() != [UNUSUAL]:
        pytest.skip("needs a kernel that logs calls (audit)")
    return logged


CPP = "#include <iostream>\n#include <thread>\nint main() { std::thread([] {}).join(); }\n"
SCRIPT = """\
import asyncio, multiprocessing, socket, subprocess, tempfile, threading
subprocess.run(["ls", "/"], check=True)
thread = threading.Thread(target=asyncio.run, args=(asyncio.sleep(0),))
thread.start(); thread.join()
tempfile.TemporaryFile().write(b"x")
socket.socketpair(); socket.if_nameindex()
print(multiprocessing.Pool(2).map(abs, [1, -2]))
"""


def test_nvcc_makes_only_usual_calls(tools: Tools, logged: LoggedCalls) -> None:
    ended = tools.compile([tools.nvcc, "-o", "/tmp/program", "./a.cu"], "a.cu", HELLO)
    assert (ended.exit_code, logged.numbers()) == (0, []), ended.log


def test_gxx_makes_only_usual_calls(tools: Tools, logged: LoggedCalls) -> None:
    argv = [
        shutil.which("g++") or "g++",
        "-O3",
        "-fopenmp",
        "-flto",
        "-o",
        "/tmp/program",
        "./a.cpp",
    ]
    ended = tools.compile(argv, "a.cpp", CPP)
    assert (ended.exit_code, logged.numbers()) == (0, []), ended.log


def test_python_makes_only_usual_calls(tools: Tools, logged: LoggedCalls) -> None:
    ended = tools.run([PYTHON, "-c", SCRIPT])
    assert (ended.exit_code, logged.numbers()) == (0, []), ended.log
    assert b"[1, 2]" in ended.log


def test_compute_sanitizer_starts(tools: Tools) -> None:
    tool = sanitizer()
    need("compute-sanitizer", tool is not None)
    ended = tools.run([str(tool), "--version"])
    assert ended.exit_code == 0
    assert b"Compute Sanitizer" in ended.log


@pytest.mark.parametrize("options", [[], ["--require-cuda-init", "no"]])
def test_compute_sanitizer_does_in_the_sandbox_what_it_does_outside(
    tools: Tools, options: list[str]
) -> None:
    """It starts the program by way of two helpers, a preloaded library, named pipes and sockets.
    Without the driver's own library the program ends in that library, inside as outside."""
    tool = sanitizer()
    need("compute-sanitizer", tool is not None)
    ended = tools.run([str(tool), *options, "/job/program"])
    outside = subprocess.run(
        [str(tool), *options, tools.hello()],
        env=tools.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.exit_code == outside.returncode
    assert sorted(ended.log.splitlines()) == sorted(outside.stdout.splitlines())
    assert b"before first instrumented API call" in ended.log
    assert b"hello\n" in ended.log or not executor.finds_driver()


def test_compute_sanitizer_makes_only_usual_calls(tools: Tools, logged: LoggedCalls) -> None:
    tool = sanitizer()
    need("compute-sanitizer", tool is not None)
    tools.run([str(tool), "/job/program"])
    assert logged.numbers() == []


# --- Where the kernel cannot log ---------------------------------------------------------


def stub_kernel(root: Path, available: str | None, logged: str, line: str = "quiet") -> Path:
    folder = root / "proc/sys/kernel/seccomp"
    folder.mkdir(parents=True)
    if available is not None:
        (folder / "actions_avail").write_text(available + "\n")
        (folder / "actions_logged").write_text(logged + "\n")
    (root / "proc/cmdline").write_text(line + "\n")
    return root


ACTIONS = "kill_process kill_thread trap errno user_notif trace log allow"


def test_a_kernel_that_logs_calls_is_taken(tmp_path: Path) -> None:
    logged = "kill_process kill_thread trap errno user_notif trace log"
    executor.check_call_log(stub_kernel(tmp_path, ACTIONS, logged))


@pytest.mark.parametrize(
    ("available", "logged", "line", "says"),
    [
        (None, "", "quiet", "this kernel cannot log system calls"),
        ("kill_process kill_thread trap errno trace allow", "kill", "", "cannot log system calls"),
        (ACTIONS, "kill_process errno", "quiet",
         "sysctl kernel.seccomp.actions_logged='kill_process errno log'"),
        (ACTIONS, "", "quiet", "sysctl kernel.seccomp.actions_logged='log'"),
        (ACTIONS, "log", "ro audit=0 quiet", "was started with audit=0"),
    ],
)  # fmt: skip
def test_a_kernel_that_does_not_is_refused_with_what_to_do(
    tmp_path: Path, available: str | None, logged: str, line: str, says: str
) -> None:
    stub_kernel(tmp_path, available, logged, line)
    with pytest.raises(executor.BadSetup) as error:
        executor.check_call_log(tmp_path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_it_is_said_when_calls_are_logged(tools: Tools) -> None:
    assert tools.box.about().endswith("unusual system calls are logged")
