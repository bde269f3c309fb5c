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
from tests.support.gpus import StubGpus
from tests.support.processes import ROOT, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]
BY_NAME = {one.test.__name__: one for one in table.CHECKS}

# What the programs of tests/gpu say on a GPU that is well, as shell.
STUB_PROGRAMS = {
    "runs": "echo all right on 1 GPU",
    "lists_devices": "echo sees 1 GPU without CUDA_VISIBLE_DEVICES; echo sees 1 device file",
    "writes_a_pattern": "echo 64 MiB written",
    "reads_memory": "echo found 0 words of the last job",
    "never_ends": "echo it runs; sleep 600",
    "never_ends_in_children": "setsid sleep 600 & exit",
    "stuck_barrier": "sleep 600",
    "takes_all_memory": "echo 64 MiB, then: out of memory",
    "prints_in_a_kernel": "echo thread 0 of 4; echo thread 3 of 4",
    "prints_without_end": "yes",
    "bad_address": "echo an illegal memory access was encountered; exit 1",
}


class StubHost(host.Host):
    """A host whose GPUs are stubs, without a sandbox."""

    patience = 15

    def __init__(self, stub: StubGpus, folder: Path) -> None:
        super().__init__()
        self.stub = stub
        programs = folder / "stub-programs"
        programs.mkdir()
        for name, script in STUB_PROGRAMS.items():
            (programs / f"{name}.cu").write_text(script)
        as_stub = f'[ -e {programs}/"$src" ] && cp {programs}/"$src" "$src"\n'
        text = stub.nvcc.read_text()
        before, loop, after = text.partition("src=$1\n")
        stub.nvcc.write_text(before + loop + as_stub + after)
        self.options = {**stub.options, "sandbox": "none"}
        del self.options["gpus"]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGpus:
    stub = StubGpus(tmp_path, 2)
    monkeypatch.setenv("PATH", stub.path)
    return stub


@pytest.fixture
def stub_host(
    stub: StubGpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StubHost]:
    monkeypatch.setitem(host.TIGHT, "TELERUN_EXECUTE_SECONDS", 2)
    stub_host = StubHost(stub, tmp_path)
    yield stub_host
    stub_host.close_course()


def outcome(stub_host: StubHost, name: str) -> tuple[str, str]:
    done = table.run(BY_NAME[name], stub_host)
    return done.result, done.seen


@pytest.mark.long(65)
def test_the_checks_pass_where_all_is_well(
    stub_host: StubHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder:
        """Stands for a process on the GPU."""

        def __init__(self) -> None:
            stub_host.stub.change(0, processes=[[4711, "holds"]])

        def kill(self) -> None:
            stub_host.stub.change(0, processes=[])

    assert outcome(stub_host, "locks")[0] == table.PASSED
    monkeypatch.setattr(checks, "start_holder", lambda _: Holder())
    names = [
        name for name, one in BY_NAME.items()
        if one.needs in ("a GPU", "two GPUs") and name != "no_choice"
    ]  # fmt: skip
    assert len(names) > 12
    wrong = {name: done for name in names if (done := outcome(stub_host, name))[0] != table.PASSED}
    assert wrong == {}
    assert outcome(stub_host, "instances") == (table.NOT_TESTED, "needs a split GPU (MIG)")


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
    ],
)
def test_the_checks_fail_where_it_is_not(
    stub_host: StubHost, tmp_path: Path, name: str, program: str, script: str, words: str
) -> None:
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


def command(*arguments: str) -> Any:
    return run(
        [sys.executable, "-m", "tests.gpu_check", *arguments], cwd=ROOT, timeout=300,
        env={k: v for k, v in os.environ.items() if not k.startswith("TELERUN_")},
    )  # fmt: skip


def test_without_a_gpu_it_says_what_was_not_tested() -> None:
    if host.executor.find_gpus():
        pytest.skip("needs a machine without GPUs")
    done = command("--only", "memory").no_traceback()
    assert done.status == 0
    assert "| the last job's memory on the GPU cannot be read | not tested | no GPU |" in done.out
    assert done.out.splitlines()[-1] == "0 passed, 0 failed, 2 NOT TESTED (no GPU)."
    done = command("--only", "detection").no_traceback()
    assert done.status == 0
    assert "| passed | no GPU, and the executor refuses to start" in done.out


def test_a_check_that_fails_is_told_in_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVCC", str(tmp_path / "no-nvcc"))
    done = command("--only", "tools").no_traceback()
    assert done.status == 1
    assert "| FAILED |" in done.out
