"""What of ./out/ comes back, by the sandbox's first process and where there is no sandbox: both
must say the same of the same folder. And what is not believed of an archive, or of a queue."""

import io
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, has_sandbox
from tests.support.sandbox import own_uids
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
LIMITS = {
    **executor.DEFAULT_LIMITS,
    "log_bytes": 10_000,
    "output_bytes": 1 << 20,
    "output_files": 3,
    "output_file_bytes": 100_000,
}
UID_BASE = own_uids("outputs")


class Place:
    """Where shell scripts run as programs do."""

    def __init__(self, sandbox: Any, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.slot = executor.Slot(sandbox)
        self.given: dict[str, str] = {}  # what the program finds beside it
        (folder / "run" / "out").mkdir(parents=True)
        (folder / "tmp").mkdir()

    def run(self, script: str, **limits: int) -> Any:
        """The report's members about files, and the bytes of those that come back."""
        limits = {**LIMITS, **limits}
        program, archive = self.folder / "program", self.folder / "archive"
        program.write_text("#!/bin/bash\n" + script)
        program.chmod(0o755)
        command = self.sandbox.program(
            self.folder, [], "/usr/bin/true", None, archive, limits, self.given
        )
        ended = self.slot.run(command, 60, limits, lambda: True)
        assert ended.why == "ended", ended
        assert ended.log == b"", ended.log
        found = self.sandbox.outputs(self.folder, archive, limits, self.given)
        outputs = executor.Outputs(found, limits)
        whole = archive.read_bytes() if archive.exists() else b""
        contents = {f["name"]: whole[f["offset"] :][: f["size"]] for f in outputs.files}
        return outputs.report(), contents


@pytest.fixture(params=["bubblewrap", "none"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    sandbox = executor.NoSandbox()
    if request.param == "bubblewrap":
        need("bubblewrap", has_sandbox())
        options = executor.parse(
            ["--nproc-compile", "1", "--nproc-execute", "1", "--sandbox-uid-base", str(UID_BASE)]
        )
        sandbox = executor.Bubblewrap(options, executor.find_nvcc(NVCC), tmp_path / "sandbox")
    place = Place(sandbox, tmp_path / "job")
    yield place
    place.slot.close()


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["reason"] for file in report.get("files_left_out", [])}


def test_files_come_back_in_order_of_their_names(place: Place) -> None:
    report, contents = place.run("printf '\\0\\377' >out/b; printf x >'out/a b'; : >out/ü; exit 7")
    files = [{"name": "a b", "size": 1}, {"name": "b", "size": 2}, {"name": "ü", "size": 0}]
    assert report == {"files": files}
    assert contents == {"a b": b"x", "b": b"\0\xff", "ü": b""}


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "rmdir out",
        "rmdir out; mkdir out",
        "kill -9 $$",
        "mkdir __pycache__; mkfifo pipe; ln -s /etc/passwd link; ln -s /dev/zero device",
    ],
)
def test_nothing_is_said_of_nothing(place: Place, script: str) -> None:
    assert place.run(script) == ({}, {})


def test_the_folder_may_be_made_anew(place: Place) -> None:
    assert place.run("rm -r out; mkdir out; printf x >out/a")[1] == {"a": b"x"}


@pytest.mark.parametrize(
    "script", ["rmdir out; ln -s /usr out", "rmdir out; echo x >out", "rmdir out; mkfifo out"]
)
def test_a_folder_that_is_none_is_told(place: Place, script: str) -> None:
    report, contents = place.run(script)
    assert reasons(report) == {"out": "it is no folder that can be read"}
    assert contents == {}


def test_what_is_no_file_of_its_own_stays_behind(place: Place) -> None:
    report, contents = place.run(
        "cd out; printf x >fine; ln -s fine link; mkfifo pipe; mkdir -p folder/inner;"
        "printf x >../twice; ln ../twice twice; ln -s /dev/zero device"
    )
    assert contents == {"fine": b"x"}
    assert reasons(report) == {
        "link": "it is a link",
        "device": "it is a link",
        "pipe": "it is no plain file",
        "folder": "it is a folder; only files in out/ itself come back",
        "twice": "it is a link to a file that has another name too",
    }


def test_those_that_fit_come_back(place: Place) -> None:
    report, contents = place.run(
        "cd out; head -c 60000 /dev/zero >a; head -c 40001 /dev/zero >b;"
        "head -c 40000 /dev/zero >c; truncate -s 1G d; : >e; : >f"
    )
    assert {name: len(content) for name, content in contents.items()} == {
        "a": 60000,
        "c": 40000,
        "e": 0,
    }
    assert reasons(report) == {
        "b": "it has 39.1 KiB, and all files together may have 97.7 KiB",
        "d": "it has 1 GiB, and all files together may have 97.7 KiB",
        "f": "no more than 3 files come back",
    }


def test_of_a_hundred_thousand_the_first_come_back_and_the_rest_is_counted(place: Place) -> None:
    report, contents = place.run(
        "cd out; seq -f %06.0f 100000 199999 | xargs touch; mkdir $(seq 200000 200024)"
    )
    assert sorted(contents) == ["100000", "100001", "100002"]
    told = reasons(report)
    assert len(told) == executor.NAMED
    assert len(told) + report["more_files_left_out"] == 100_000 + 25 - 3


def test_a_queue_that_keeps_none_is_told_of(place: Place) -> None:
    report, contents = place.run("echo x >out/a", output_files=0, output_file_bytes=0)
    assert reasons(report) == {"a": "this queue keeps no files"}
    assert contents == {}


def test_odd_names_are_spelled_out(place: Place) -> None:
    report, contents = place.run(r"cd out; : >$'\e[2J'; : >$'\n'; : >'a\b'; : >$'\xff'; : >$(printf %0255d 7)")  # fmt: skip  # noqa: E501
    assert list(contents) == ["0" * 254 + "7"]
    why = "its name is not printable text without slashes"
    assert reasons(report) == dict.fromkeys(["\\x1b[2J", "\\n", "a\\b", "\\xff"], why)


# --- Beside out/ -------------------------------------------------------------------------


def test_what_was_written_beside_it_is_told(place: Place) -> None:
    place.given = {"points.txt": "1 2", "data/more.txt": "3"}
    report, contents = place.run(
        "mkdir -p results/inner; printf 12345 >result.txt; : >empty; echo 1 >points.txt;"
        "echo 2 >data/new; mkfifo pipe; ln -s result.txt link; printf x >out/a"
    )
    assert contents == {"a": b"x"}
    beside = [
        {"name": "empty", "size": 0},
        {"name": "result.txt", "size": 5},
        {"name": "results/"},
    ]
    assert report == {"files": [{"name": "a", "size": 1}], "files_beside": beside}


def test_it_is_told_where_there_is_no_out(place: Place) -> None:
    report, _ = place.run("rmdir out; echo x >a; exit 3")
    assert report == {"files_beside": [{"name": "a", "size": 2}]}


def test_a_core_is_never_left(place: Place) -> None:
    assert place.run("ulimit -c unlimited 2>/dev/null; kill -ABRT $$")[0] == {}


def test_of_a_hundred_thousand_beside_it_eight_are_named(place: Place) -> None:
    place.given = {f"{n:06}": "" for n in range(100_000, 100_250)}
    report, _ = place.run("seq -f %06.0f 100000 199999 | xargs touch; mkdir $(seq 200000 200024)")
    names = [file["name"] for file in report["files_beside"]]
    assert names == [f"{n:06}" for n in range(100_250, 100_258)]
    assert len(names) + report["more_files_beside"] == 100_000 + 25 - 250


def test_odd_names_beside_it_are_spelled_out(place: Place) -> None:
    report, _ = place.run(
        r"mkdir $'\e[2J'; : >$'\n'; : >$'\xff'; : >$'\u202e'; : >$(printf %0255d 7)"
    )
    names = [file["name"] for file in report["files_beside"]]
    assert names == ["\\n", "\\x1b[2J/", "0" * 100, "\\u202e", "\\xff"]


def test_a_large_file_beside_it_is_told_and_not_read(place: Place) -> None:
    report, _ = place.run("truncate -s 1G large; chmod 000 large")
    assert report == {"files_beside": [{"name": "large", "size": 1 << 30}]}


def test_a_folder_that_is_taken_away_tells_nothing_wrong(place: Place) -> None:
    report, _ = place.run('run=$PWD; cd ..; rm -r "$run"; mkdir "$run"; echo x >"$run/a"')
    assert report in ({}, {"files_beside": [{"name": "a", "size": 2}]})


def test_a_folder_that_cannot_be_read_tells_nothing(place: Place) -> None:
    report, _ = place.run("rmdir out; echo x >a; chmod 000 .")
    may_read_all = isinstance(place.sandbox, executor.NoSandbox) and os.geteuid() == 0
    assert ("files_beside" in report) == may_read_all


# --- Archives and their results ----------------------------------------------------------


def test_an_archive_stays_as_long_as_its_result(tmp_path: Path) -> None:
    spool = executor.Spool(tmp_path)
    spool.archive(1).write_bytes(b"of a run that was killed")
    spool.archive(2).write_bytes(b"xabc")
    spool.archive(3).write_bytes(b"of a program whose files do not come back")
    files = [{"name": "a", "size": 3, "offset": 1}]
    path = spool.put(2, {"outcome": "succeeded"}, files)
    spool.put(3, {"outcome": "succeeded"}, [])
    spool = executor.Spool(tmp_path)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["2.json", "2.out", "3.json"]
    assert spool.file(2, spool.read(path)["files"][0]) == b"abc"
    for number in (2, 3, 4):
        spool.drop(number)
    assert list(tmp_path.iterdir()) == []


# --- Archives and queues that are not to be believed --------------------------------------


def found(data: bytes) -> list[Any]:
    with tempfile.TemporaryFile() as archive:
        archive.write(data)
        archive.seek(0)
        return list(executor.unpack(archive))


@pytest.mark.parametrize(
    "data",
    [b"", b"f", b"f 1\n", b"f -1 1\na", b"F 1 1\na", b"f 1 9999\na", b"\n" * 99, os.urandom(999)],
)
def test_an_archive_that_makes_no_sense_ends_there(data: bytes) -> None:
    assert found(data) == []


def test_a_file_that_is_cut_off_does_not_come_back() -> None:
    entries = found(b"f 3 1\naxyzf 999 1\nbxyz")
    outputs = executor.Outputs(entries, LIMITS)
    assert [file["name"] for file in outputs.files] == ["a"]
    assert reasons(outputs.report()) == {"b": "it cannot be read"}


def test_limits_hold_whatever_an_archive_says() -> None:
    many = executor.Outputs(found(b"".join(b"f 0 1\n%c" % n for n in b"abcdef")), LIMITS)
    assert len(many.files) == 3
    large = executor.Outputs(found(b"f 100001 1\na" + bytes(100_001)), LIMITS)
    assert large.files == []
    odd = found(b"f 0 2\n..f 0 4\n/etcf 0 0\nb 1 1\nac 0 1\nbz 5 1\nqm 7 0\n")
    report = executor.Outputs(odd, LIMITS).report()
    assert "files" not in report
    assert len(report["files_left_out"]) == 6
    assert report["more_files_left_out"] == 7
    many = executor.Outputs(found(b"w 9 1\na" * 20 + b"v 0 1\nbx 5 0\n"), LIMITS).report()
    assert many["files_beside"] == [{"name": "a", "size": 9}] * executor.NAMED_BESIDE
    assert many["more_files_beside"] == 12 + 1 + 5


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("image.ppm", "image.ppm"),
        (".hidden", ".hidden"),
        ("größe", "größe"),
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("../up", ".._up"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\up", ".._up"),
        ("C:\\autoexec.bat", "C__autoexec.bat"),
        ("a:stream", "a_stream"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1 .x", "_com1 .x"),
        ("lpt\u00b9", "_lpt\u00b9"),
        ("console", "console"),
        ("trailing. .", "trailing_"),
        ("\x1b[2J\n\0", "_[2J__"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("\udcff", "_"),
    ],
)
def test_names_that_a_queue_sends(name: str, safe: str) -> None:
    assert load("submit").safe_name(name) == safe


def test_two_names_that_come_out_the_same_are_two_files(tmp_path: Path) -> None:
    submit = load("submit")

    class Client:
        """A stub for one: each file holds its own name."""

        def file(self, _job: int, name: str) -> Any:
            return submit.Answer(200, {}, name.encode())

    names = ["a:b.c", "a_b.c", "A_B.c", "a_b-2.c", "other"]
    job = {"id": 1, "result": {"files": [{"name": name} for name in names]}}
    for _ in range(2):  # a second time finds them there already
        assert submit.save_files(Client(), job, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a_b.c": "a:b.c", "a_b-2.c": "a_b.c", "A_B-3.c": "A_B.c", "a_b-2-2.c": "a_b-2.c",
        "other": "other",
    }  # fmt: skip


@pytest.mark.parametrize("files", [None, 7, "a", [1], [{}], [{"size": 1}], {"name": "a"}])
def test_a_queue_that_sends_no_list(files: Any, tmp_path: Path) -> None:
    job = {"id": 1, "result": {"files": files, "details": {"files_left_out": files}}}
    assert load("submit").save_files(None, job, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("beside", "more", "line"),
    [
        (
            [{"name": "a.txt", "size": 12288}],
            None,
            "a.txt (12 KiB) was written beside the program and is lost: "
            "write it to out/a.txt to get it back.",
        ),
        (
            [{"name": "results/"}],
            None,
            "results/ was written beside the program and is lost: "
            "write its files to out/ to get them back.",
        ),
        (
            [{"name": "a", "size": 0}, {"name": "b/"}],
            5,
            "a (0 bytes), b/ and 5 more were written beside the program and are lost: "
            "write them to out/ to get them back.",
        ),
        (
            [{"name": "a", "size": "x"}, {"name": "b", "size": 2}, {}, 7],
            "many",
            "a and b (2 bytes) were written beside the program and are lost: "
            "write them to out/ to get them back.",
        ),
        (None, None, ""),
        ("a", 3, ""),
        ([None, {}, {"name": ""}], 3, ""),
    ],
)
def test_what_was_written_beside_the_program_is_said_in_a_line(
    beside: Any, more: Any, line: str
) -> None:
    details = {"files_beside": beside, "more_files_beside": more}
    assert load("submit").lost_beside(details) == line


def test_half_a_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub for a disk that fills up."""

    class Full(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(28, "No space left on device")

    really_open = Path.open

    def opened(path: Path, mode: str) -> Full:
        with really_open(path, mode) as file:
            file.write(b"half")
        return Full()

    submit = load("submit")
    monkeypatch.setattr(submit.Path, "open", opened)
    with pytest.raises(OSError, match="No space"):
        submit.save(submit.Answer(200, {}, b"whole"), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_is_saving_just_now(tmp_path: Path) -> None:
    """Two watch a job in one folder: both have its files."""
    submit = load("submit")
    (tmp_path / "a").write_bytes(b"who")
    later = threading.Timer(0.3, (tmp_path / "a").write_bytes, [b"whole"])
    later.start()
    told = submit.save(submit.Answer(200, {}, b"whole"), tmp_path / "a")
    assert told == f"{tmp_path / 'a'} is there already."
    later.join()
    with pytest.raises(submit.Stop, match="another file of that name"):
        submit.save(submit.Answer(200, {}, b"whatever"), tmp_path / "a")
