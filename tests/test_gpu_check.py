"""`make gpu-check` itself: what it says without a GPU, and that its checks can fail.

The checks that need a GPU run here on stubs, which prove nothing about any GPU: only that a check
passes where all is well, and fails where it is not.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gpu_check import checks, host, table
from tests.gpu_check.checks import afterwards, gate, killed, memory, settings, tools
from tests.gpu_check.deadline import Deadline
from tests.gpu_check.paper import PAPER
from tests.support.gpus import StubGpus
from tests.support.processes import ROOT, Process, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]
BY_NAME = {one.test.__name__: one for one in table.CHECKS}
SMALL_LIMIT = 64 << 20

# What the programs of tests/gpu say on a GPU that is well, as shell.
STUB_PROGRAMS = {
    "runs": "echo all right on 1 GPU",
    "lists_devices": "echo sees 1 GPU without CUDA_VISIBLE_DEVICES; echo sees 1 device file",
    "opens_its_files": "echo nvidiactl opened; echo nvidia-uvm opened; sleep 1; "
    "echo all were opened, and one GPU",
    "writes_a_pattern": "echo 64 MiB written",
    "reads_memory": "echo found 0 words of the last job",
    "never_ends": "echo it runs; sleep 600",
    "never_ends_in_children": "setsid sleep 600 & exit",
    "stuck_barrier": "sleep 600",
    "takes_all_memory": "echo 64 MiB, then: out of memory",
    "prints_in_a_kernel": "echo thread 0 of 4; echo thread 3 of 4",
    "prints_without_end": "yes",
    "bad_address": "echo an illegal memory access was encountered; exit 1",
    "takes_host_memory": '[ "$2" -gt 64 ] && head -c 512M /dev/zero | tail -c 500M >/dev/null; '
    'echo "$2 MiB of $1 memory, and the GPU read them"',
    "cooperates": "echo 8 blocks waited for each other",
    "captures_a_graph": "echo a graph ran 100 times",
    "compiled_at_its_start": "echo the driver compiled it",
    "starts_kernels": "echo 8 kernels started by a kernel",
    "under_a_tool": 'exec "$@"',
}
# Those that stand for more than a stub can: labs need a compiler, the others a sandbox or a cgroup.
NOT_WITH_STUBS = {"no_choice", "labs", "own_files", "boot", "memory_by_cgroups", "logged_calls"}


class StubHost(host.Host):
    """A host whose GPUs are stubs, without a sandbox."""

    patience = 15

    def __init__(self, stub: StubGpus, folder: Path, may_change_settings: bool = False) -> None:
        super().__init__(folder / "kept", may_change_settings)
        self.stub = stub
        programs = folder / "stub-programs"
        programs.mkdir()
        for name, script in STUB_PROGRAMS.items():
            (programs / f"{name}.cu").write_text(script)
        as_stub = (
            '[ -e "$src" ] || src=$(ls *.cu | head -1)\n'  # flags may stand behind it
            f'[ -e {programs}/"$src" ] && cp {programs}/"$src" "$src"\n'
        )
        text = stub.nvcc.read_text()
        before, loop, after = text.partition("src=$1\n")
        stub.nvcc.write_text(before + loop + as_stub + after)
        self.options = {**stub.options, "sandbox": "none"}
        del self.options["gpus"]


def uuid(number: int) -> str:
    """As real ones are: locks are the machine's, so each process has some of its own."""
    return f"GPU-{os.getpid():08x}-aaaa-4bbb-8ccc-{number:012x}"


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGpus:
    stub = StubGpus(tmp_path, 2)
    for number in range(2):
        stub.change(number, uuid=uuid(number), persistence_mode="Enabled")
    monkeypatch.setenv("PATH", stub.path)
    return stub


@pytest.fixture
def stub_host(
    stub: StubGpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StubHost]:
    monkeypatch.setitem(host.TIGHT, "TELERUN_EXECUTE_SECONDS", 2)
    monkeypatch.setitem(memory.ROOMY, "TELERUN_MEMORY_BYTES", SMALL_LIMIT)
    monkeypatch.setattr(memory, "LIMIT", SMALL_LIMIT)
    stub_host = StubHost(stub, tmp_path)
    yield stub_host
    stub_host.close()


def outcome(stub_host: StubHost, name: str) -> tuple[str, str]:
    done = table.run(BY_NAME[name], stub_host, Deadline(600))
    return done.result, done.seen


def stub_of_a_process(path: Path, words: str) -> Path:
    """Stands for a CUDA program that is compiled and started outside of the sandbox."""
    path.write_text(f"#!/bin/sh\necho {words}\nexec sleep 600\n")
    path.chmod(0o755)
    return path


def stub_tools(folder: Path, words: str) -> None:
    """They say these words, and stand on the PATH before the real ones."""
    for name in ("compute-sanitizer", "ncu", "nsys"):
        tool = folder / "stub-gpus" / name
        tool.write_text(f"#!/bin/sh\necho '{words}'\n")
        tool.chmod(0o755)


# --- The checks, on stubs ----------------------------------------------------------------


@pytest.mark.long(90)
def test_the_checks_pass_where_all_is_well(
    stub_host: StubHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder:
        """Stands for a process on the GPU."""

        def __init__(self) -> None:
            stub_host.stub.change(0, processes=[[4711, "holds"]])

        def kill(self) -> None:
            stub_host.stub.change(0, processes=[])

    stub_tools(
        tmp_path, "it computed ERROR SUMMARY: 0 errors ==PROF== Disconnected report.nsys-rep"
    )
    assert outcome(stub_host, "locks")[0] == table.PASSED
    monkeypatch.setattr(gate, "start_holder", lambda _: Holder())
    monkeypatch.setattr(
        killed, "compiled", lambda *_: stub_of_a_process(tmp_path / "spins", "it spins")
    )
    names = [
        name for name, one in BY_NAME.items()
        if one.needs in ("a GPU", "two GPUs") and name not in NOT_WITH_STUBS
    ]  # fmt: skip
    names.remove("persistence_off")
    assert len(names) > 25
    wrong = {name: done for name in names if (done := outcome(stub_host, name))[0] != table.PASSED}
    assert wrong == {}
    assert outcome(stub_host, "instances") == (table.NOT_HERE, "needs a split GPU (MIG)")
    assert outcome(stub_host, "persistence_off") == (
        table.NOT_TESTED, "--change-settings was not given, and persistence mode is on"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "program", "script", "words"),
    [
        ("runs", "runs", "exit 1", "runs: finished, runtime_error"),
        (
            "one_gpu",
            "lists_devices",
            "echo sees 2 GPU without CUDA_VISIBLE_DEVICES",
            "no 'sees 1 GPU",
        ),
        (
            "memory_is_clean",
            "reads_memory",
            "echo found 70 words of the last job",
            "no 'found 0 words",
        ),
        ("kernel_floods", "prints_without_end", "true", "finished, succeeded"),
        (
            "memory_by_watchdog",
            "takes_host_memory",
            "echo and the GPU read them",
            "pinned, 128 MiB: takes_host_memory: finished, succeeded",
        ),
        ("starts_kernels", "starts_kernels", "echo cudaMalloc: cudaErrorX; exit 1", "cudaErrorX"),
        ("compute_sanitizer", "under_a_tool", "echo killed by the filter; exit 1", "the filter"),
    ],
)
def test_the_checks_fail_where_it_is_not(
    stub_host: StubHost, tmp_path: Path, name: str, program: str, script: str, words: str
) -> None:
    stub_tools(tmp_path, "nothing")
    (tmp_path / "stub-programs" / f"{program}.cu").write_text(script)
    result, seen = outcome(stub_host, name)
    assert result == table.FAILED
    assert words in seen


@pytest.mark.long(25)
def test_a_gpu_that_does_not_recover_fails_the_check(stub_host: StubHost, stub: StubGpus) -> None:
    """And does not keep the command waiting for it."""
    assert outcome(stub_host, "runs_tightly")[0] == table.PASSED
    stub.change(0, **{"memory.used": 9000})  # which no process gives back
    result, seen = outcome(stub_host, "all_memory")
    assert result == table.FAILED
    assert "runs.cu is still queued" in seen


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, as whose programs nothing may run")
def test_a_program_with_roots_rights_fails_the_check(stub_host: StubHost) -> None:
    """Without a sandbox it has them."""
    result, seen = outcome(stub_host, "own_files")
    assert result == table.FAILED
    assert "it runs with these of root: {'Uid': [0, 0, 0, 0]" in seen


def test_memory_that_comes_back_late_fails_the_check(
    stub_host: StubHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        killed, "compiled", lambda *_: stub_of_a_process(tmp_path / "spins", "it spins")
    )
    monkeypatch.setattr(host.executor, "SETTLE_SECONDS", 0)
    result, seen = outcome(stub_host, "reaped")
    assert result == table.FAILED
    assert "the gate waits 0 s" in seen


def test_a_tool_that_may_read_no_counters_has_been_tried(
    stub_host: StubHost, tmp_path: Path
) -> None:
    stub_tools(tmp_path, "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission")
    result, seen = outcome(stub_host, "ncu")
    assert result == table.PASSED
    assert "may read no counters" in seen
    assert "ERR_NVGPUCTRPERM" in (stub_host.keep / "ncu.txt").read_text()


def test_a_tool_that_is_not_installed_is_not_here(
    stub_host: StubHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "places_of", lambda name: [stub_host.keep / name])
    assert outcome(stub_host, "nsys") == (table.NOT_HERE, "nsys is not installed")


# --- The GPUs' settings ------------------------------------------------------------------


@pytest.fixture
def stub_settings(stub: StubGpus, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """nvidia-smi's -pm, which the stub program does not know; a list of what it was asked."""
    really, asked = settings.nvidia_smi, []

    def as_stub(*arguments: str) -> str:
        if "-pm" not in arguments:
            return really(*arguments)
        asked.append(arguments)
        mode = "Enabled" if arguments[-1] == "1" else "Disabled"
        stub.change(0, persistence_mode=mode)
        return f"it is {mode}"

    for module in (settings, afterwards):
        monkeypatch.setattr(module, "nvidia_smi", as_stub)
    monkeypatch.setattr(settings, "IDLE_SECONDS", 0)
    monkeypatch.setattr(settings, "is_root", lambda: True)
    return asked


def test_persistence_mode_is_turned_off_only_if_that_is_allowed_and_on_again(
    stub: StubGpus, stub_settings: list[tuple[str, ...]], tmp_path: Path
) -> None:
    careful = StubHost(stub, tmp_path)
    assert outcome(careful, "persistence_off")[0] == table.NOT_TESTED
    assert stub_settings == []
    careful.may_change_settings = True
    result, seen = outcome(careful, "persistence_off")
    assert (result, seen[:22]) == (table.PASSED, "persistence mode off: "), seen
    assert [arguments[-1] for arguments in stub_settings] == ["0", "1"]
    assert outcome(careful, "settings_kept")[0] == table.PASSED
    careful.close()


def test_persistence_mode_is_on_again_when_the_check_fails(
    stub: StubGpus, stub_settings: list[tuple[str, ...]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def slow(_: host.Host) -> str:
        raise AssertionError("too slow")

    monkeypatch.setattr(settings, "looks", slow)
    bold = StubHost(stub, tmp_path, may_change_settings=True)
    assert outcome(bold, "persistence_off") == (table.FAILED, "too slow")
    assert [arguments[-1] for arguments in stub_settings] == ["0", "1"]
    bold.close()


def test_a_setting_that_was_changed_is_told_and_put_back_if_that_is_allowed(
    stub: StubGpus, stub_settings: list[tuple[str, ...]], tmp_path: Path
) -> None:
    its_host = StubHost(stub, tmp_path)
    stub.change(0, persistence_mode="Disabled")
    result, seen = outcome(its_host, "settings_kept")
    assert result == table.FAILED
    assert seen == f"{uuid(0)}: persistence_mode was Enabled and is Disabled"
    assert stub_settings == []
    its_host.may_change_settings = True
    assert outcome(its_host, "settings_kept")[0] == table.PASSED
    assert stub_settings == [("-i", uuid(0), "-pm", "1")]
    its_host.close()


def test_executors_cannot_change_settings_unless_that_is_allowed(stub_host: StubHost) -> None:
    def asked(*question: str) -> Any:
        return run(["nvidia-smi", *question], env={"PATH": stub_host.path()})

    assert uuid(0) in asked("-L").out
    assert uuid(1) in asked("--query-gpu=uuid", "--format=csv", "-i", uuid(1)).out
    for change in (["-pm", "1"], ["-i", uuid(0), "-pm", "1"], ["-r"], ["--gpu-reset"], ["-mig", "1"]):  # fmt: skip  # noqa: E501
        refused = asked(*change)
        assert refused.status == 1, change
        assert "gpu-check changes no settings" in refused.out
    stub_host.may_change_settings = True
    assert stub_host.path() == stub_host.options["PATH"]


# --- A cgroup, and a /dev as after a boot ------------------------------------------------


def test_a_cgroup_is_made_where_the_machine_gives_its_controllers(tmp_path: Path) -> None:
    given = tmp_path / "cgroup.subtree_control"
    with pytest.raises(table.NotHere, match=r"no cgroup \(version 2\)"):
        memory.new_group(tmp_path)
    given.write_text("cpu")
    with pytest.raises(table.NotHere, match="no memory and pids"):
        memory.new_group(tmp_path)
    given.write_text("cpu memory pids")
    group = memory.new_group(tmp_path)
    (group / "telerun-executor").mkdir()
    memory.remove(group)
    assert not group.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, who may make mount namespaces")
def test_as_after_a_boot_there_are_no_device_files_of_nvidia(tmp_path: Path) -> None:
    prefix = checks.after_a_boot.as_after_a_boot(tmp_path)
    script = "ls /dev; echo kept > /dev/null; head -c 8 /dev/urandom | wc -c; touch /dev/shm/x"
    done = run([*prefix, "sh", "-c", script])
    assert done.status == 0, done.err
    names = done.out.split()
    assert {"null", "zero", "full", "urandom", "tty", "shm", "fd", "8"} <= set(names)
    assert not [name for name in names if "nvidia" in name]
    assert not Path("/dev/shm/x").exists()


# --- The table, its deadline, its exit status --------------------------------------------


def one_check(seconds: float, test: Any) -> table.Check:
    return table.Check("it holds", "", seconds, False, test)


def gate_costs(_: host.Host) -> str:
    """Of a check's name, so that the table says what paper shows of it."""
    raise table.NotHere("no GPU")


def waits(_: host.Host) -> str:
    run(["sleep", "600"], timeout=600)
    return "it was waited for"


@pytest.fixture
def plain_host(tmp_path: Path) -> Iterator[host.Host]:
    plain_host = host.Host(tmp_path / "kept")
    yield plain_host
    plain_host.close()


def test_what_is_not_over_when_all_must_be_was_not_tested(plain_host: host.Host) -> None:
    done = table.run(one_check(60, waits), plain_host, Deadline(0.2))
    assert (done.result, done.seen[:11]) == (table.NOT_TESTED, "out of time")
    done = table.run(one_check(60, waits), plain_host, Deadline(0))
    assert (done.result, done.seen) == (table.NOT_TESTED, "out of time")


def test_a_check_that_takes_longer_than_it_may_has_failed(plain_host: host.Host) -> None:
    done = table.run(one_check(0.2, waits), plain_host, Deadline(600))
    assert (done.result, done.seen) == (table.FAILED, "it was not over after 0 s")


def raises(error: Exception) -> Any:
    def test(_: host.Host) -> str:
        raise error

    return test


@pytest.mark.parametrize(
    ("test", "result", "status"),
    [
        (lambda _: "seen", table.PASSED, 0),
        (raises(table.NotHere("no second GPU")), table.NOT_HERE, 0),
        (raises(table.NotTested("not root")), table.NOT_TESTED, 3),
        (raises(AssertionError("wrong")), table.FAILED, 1),
        (raises(ValueError("a bug")), table.FAILED, 1),
        (raises(host.executor.BadSetup("no bwrap")), table.FAILED, 1),
    ],
)
def test_what_a_check_says_and_the_exit_status(
    plain_host: host.Host, test: Any, result: str, status: int
) -> None:
    done = table.run(one_check(60, test), plain_host, Deadline(600))
    passed = table.run(one_check(60, lambda _: "seen"), plain_host, Deadline(600))
    assert done.result == result
    assert table.exit_status([passed, done]) == status


def test_a_row_of_what_is_not_here_says_what_paper_shows(plain_host: host.Host) -> None:
    done = table.run(one_check(60, gate_costs), plain_host, Deadline(600))
    assert table.line(done) == f"| it holds | not here | no GPU; on paper: {PAPER['gate_costs']} |"
    passed = table.Outcome(done.check, table.PASSED, "3 ms")
    assert table.line(passed) == "| it holds | passed | 3 ms |"


def test_a_failure_counts_more_than_what_was_not_tested(plain_host: host.Host) -> None:
    both = [
        table.run(one_check(60, raises(error)), plain_host, Deadline(600))
        for error in (table.NotTested("not root"), AssertionError("wrong"))
    ]
    assert table.exit_status(both) == 1
    assert table.summary(both) == "0 passed, 1 failed, 1 NOT TESTED (not root)."


def test_what_the_table_says_of_paper_is_there() -> None:
    assert PAPER.keys() <= BY_NAME.keys()
    for place in PAPER.values():
        path, _, name = place.partition(",")[0].partition("::")
        assert (ROOT / path).is_file(), place
        assert not name or f"def {name}(" in (ROOT / path).read_text(), place


def test_without_a_sandbox_no_host_is_accepted_and_no_hostile_program_runs(tmp_path: Path) -> None:
    done = command(tmp_path, "--without-sandbox", "--only", "corpus").no_traceback()
    assert done.status == 3
    assert "0 passed, 0 failed, 1 NOT TESTED (--without-sandbox was given)." in done.out
    assert command(tmp_path, "--without-sandbox", "--only", "examples").status == 0
    assert command(tmp_path, "--without-sandbox", "--only", "tools").status == 3
    boxed = {name for name, one in BY_NAME.items() if one.in_sandbox}
    assert {"corpus", "own_files", "one_gpu", "other_gpus", "compiles"} <= boxed


def test_a_gpu_without_its_driver_is_no_machine_without_a_gpu(tmp_path: Path) -> None:
    """A host whose driver does not start must not be accepted."""
    devices = tmp_path / "sys/bus/pci/devices"
    for name, vendor, kind in (
        ("0000:01:00.0", "0x10de", "0x030200"),  # a GPU
        ("0000:02:00.0", "0x10de", "0x020000"),  # a network card of theirs
        ("0000:03:00.0", "0x1002", "0x030000"),  # a GPU by others
    ):
        (devices / name).mkdir(parents=True)
        (devices / name / "vendor").write_text(vendor + "\n")
        (devices / name / "class").write_text(kind + "\n")
    assert host.nvidia_devices(tmp_path) == ["PCI device 0000:01:00.0"]
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidiactl", "null", "dxg"):
        (tmp_path / "dev" / name).touch()
    assert host.nvidia_devices(tmp_path)[1:] == ["/dev/dxg", "/dev/nvidia0"]


def test_such_a_host_fails(monkeypatch: pytest.MonkeyPatch, plain_host: host.Host) -> None:
    plain_host.gpus = []
    monkeypatch.setattr(checks.machine, "nvidia_devices", lambda: ["PCI device 0000:01:00.0"])
    done = table.run(BY_NAME["detection"], plain_host, Deadline(600))
    assert done.result == table.FAILED
    assert "this machine has PCI device 0000:01:00.0, and nvidia-smi" in done.seen


# --- The command -------------------------------------------------------------------------


def command(folder: Path, *arguments: str) -> Any:
    return run(
        [sys.executable, "-m", "tests.gpu_check", "--keep", folder / "kept", *arguments],
        cwd=ROOT, timeout=300,
        env={k: v for k, v in os.environ.items() if not k.startswith("TELERUN_")},
    )  # fmt: skip


def test_without_a_gpu_it_says_what_is_unproven_and_what_paper_shows(tmp_path: Path) -> None:
    if host.executor.find_gpus():
        pytest.skip("needs a machine without GPUs")
    done = command(tmp_path, "--only", "memory").no_traceback()
    assert done.status == 0
    assert "| the last job's memory on the GPU cannot be read | not here | no GPU |" in done.out
    assert "0 passed, 0 failed, 4 not here (no GPU)." in done.out.splitlines()
    assert "on paper: tests/test_gpus.py::test_memory_that_nobody_gives_back_fails" in done.out
    assert (tmp_path / "kept/table.md").read_text() in done.out
    done = command(tmp_path, "--only", "detection").no_traceback()
    assert done.status == 0
    assert "| passed | no GPU, and the executor does not start" in done.out


def test_a_check_that_fails_is_told_in_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVCC", str(tmp_path / "no-nvcc"))
    done = command(tmp_path, "--only", "tools").no_traceback()
    assert done.status == 1
    assert "| FAILED |" in done.out


def test_out_of_time_is_told_in_the_exit_status(tmp_path: Path) -> None:
    done = command(tmp_path, "--only", "tools", "--minutes", "0.00001").no_traceback()
    assert done.status == 3
    assert "| not tested | out of time |" in done.out


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    done = command(tmp_path, "--only", "tools").no_traceback()
    assert done.status == 1
    assert "gpu-check: " in done.err


def test_a_terminated_command_leaves_no_process_behind(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.gpu_check", "--only", "compiles", "--keep", tmp_path]
    started = Process("gpu-check", tmp_path / "log", argv, cwd=ROOT)
    started.wait_until_told("| what must hold |")
    assert started.stop() == 1
    assert "Traceback" not in started.told()


def test_what_it_needs_are_the_versions_that_are_tested() -> None:
    """A kit for a host without a network has them, and no more than the queue on SQLite needs."""

    def named(file: str) -> set[str]:
        lines = (ROOT / file).read_text().splitlines()
        return {line.partition("#")[0].strip() for line in lines} - {"", "-r requirements.txt"}

    queue, ours = named("requirements.txt"), named("requirements-gpu-check.txt")
    assert {one for one in queue if not one.startswith("psycopg")} <= ours
    assert ours <= queue | named("requirements-dev.txt")


def test_it_runs_without_the_driver_of_a_database_that_it_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('a stub: it is not installed')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, "-m", "tests.gpu_check", "--only", "detection"]
    done = run([*argv, "--keep", tmp_path / "kept"], cwd=ROOT, timeout=300, env=environment)
    assert done.status == 0, done
