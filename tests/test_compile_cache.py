"""The same source is not compiled twice on a host. A stub compiler that counts, and a real one."""

import json
import os
from pathlib import Path

import pytest

from tests.support.processes import HELLO, World
from tests.support.scripts import load
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = pytest.mark.once
executor = load("executor")


def counting(folder: Path) -> Path:
    return fake_nvcc(folder, AS_SHELL + f"; echo x >>{folder}/compiled")


def compiled(folder: Path) -> int:
    return (folder / "compiled").read_text().count("x")


@pytest.mark.end_to_end
def test_the_same_source_is_compiled_once_for_all_users(world: World) -> None:
    alice, bob = world.users(2)
    world.start_server()
    stub = counting(world.folder)
    auth = world.executor("gpu1")
    first = world.start_executor(auth, "--compile-cache", 2, nvcc=stub)
    # What a program does to itself stays with it.
    meddles = world.source("grep -c meddled $0; echo '# meddled' >>$0")
    assert "--- program ---\n1\n" in world.submit(alice, meddles).out
    again = world.submit(bob, meddles)
    assert (again.status, compiled(world.folder)) == (0, 1)
    assert "--- program ---\n1\n" in again.out
    _, _, job = world.request(bob, "GET", "/jobs/2")
    assert job["result"]["details"]["compiled_before"] is True
    other = world.source("echo other", "other.cu")
    assert "other" in world.submit(alice, other).out
    assert compiled(world.folder) == 2
    assert first.stop() == 0
    world.start_executor(auth, "--compile-cache", 2, nvcc=stub)  # it outlives the executor
    assert "other" in world.submit(alice, other).out
    assert compiled(world.folder) == 2


@pytest.mark.end_to_end
def test_a_real_program_from_the_cache_runs_in_the_sandbox(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    world.start_executor(world.executor("gpu1"))
    for number in (1, 2):
        done = world.submit(alice, world.source(HELLO))
        assert "hello there" in done.out, done.err
        job = world.request(alice, "GET", f"/jobs/{number}")[2]
        assert job["result"]["details"].get("compiled_before", False) is (number == 2)


@pytest.mark.end_to_end
def test_what_did_not_compile_is_not_kept(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    stub = fake_nvcc(world.folder, f"echo x >>{world.folder}/compiled; exit 1")
    world.start_executor(world.executor("gpu1"), "--compile-cache", 2, nvcc=stub)
    for _ in range(2):
        assert "did not compile" in world.submit(alice, world.source("x")).out
    assert compiled(world.folder) == 2


def test_few_programs_are_kept_and_the_least_recently_used_go(tmp_path: Path) -> None:
    cache = executor.CompileCache(tmp_path / "cache", 2)
    program, copy = tmp_path / "program", tmp_path / "copy" / "program"
    copy.parent.mkdir()
    program.write_bytes(b"program")
    for place, key in enumerate("abc"):
        cache.put(key, [program], {"key": key})
        age(tmp_path / "cache" / key, place)
        if key == "b":
            assert cache.get("a", [copy]) == ({"key": "a"}, [])  # used last
            age(tmp_path / "cache" / "a", 5)
    assert copy.read_bytes() == b"program"
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["a", "c"]
    assert cache.get("b", [copy]) is None


def test_nothing_is_known_where_none_are_kept(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    executor.CompileCache(tmp_path / "cache", 1).put("key", [program], {})
    assert executor.CompileCache(tmp_path / "cache", 1).get("key", [program]) == ({}, [])
    assert executor.CompileCache(tmp_path / "cache", 0).get("key", [program]) is None


def test_a_damaged_entry_is_compiled_again(tmp_path: Path) -> None:
    cache = executor.CompileCache(tmp_path / "cache", 2)
    program = tmp_path / "program"
    program.write_bytes(b"program")
    cache.put("a", [program], {})
    (tmp_path / "cache/a/report.json").write_text(json.dumps({})[:1])
    assert cache.get("a", [tmp_path / "copy"]) is None


def age(entry: Path, seconds: int) -> None:
    if entry.exists():
        os.utime(entry, (1_000_000 + seconds, 1_000_000 + seconds))
