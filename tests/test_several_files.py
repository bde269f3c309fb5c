"""A job of several files, with flags: what the queue takes, keeps, refuses and hands out."""

from typing import Any

import pytest

from accounts.models import Executor, User
from courses import flags
from jobs import submitting
from jobs.models import AuditEntry, Job
from jobs.submitting import Submission
from tests.support.api import Api, problem

MANY = {
    "source": '#include "inc/a.cuh"\nint main() {}',
    "filename": "lab.cu",
    "sources": {"b.cu": "void b() {}"},
    "includes": {"inc/a.cuh": "void b();"},
    "flags": ["-lcublas", "-std=c++20"],
    "asm": True,
}
PLAIN_HOST = {"nvcc": "13.0"}
NEW_HOST = {"offers": {"cuda": 1}, "languages": ["cuda", "cpp"], "platforms": {"cuda": 1}}


def test_all_of_it_is_kept_shown_and_on_record(as_alice: Api) -> None:
    answer = as_alice.post("/jobs", MANY)
    assert answer.status_code == 201
    job = answer.json()
    assert (job["files"], job["flags"]) == (["b.cu", "inc/a.cuh"], ["-lcublas", "-std=c++20"])
    assert job["platform"] == "cuda"
    entry = AuditEntry.objects.get(action="submitted")
    assert entry.request == {**MANY, "args": []}


def test_an_executor_that_names_platforms_gets_all_of_it(
    as_alice: Api, as_gpu1: Api, settings: Any
) -> None:
    settings.TELERUN_FLAGS = {"cuda": ["-lineinfo"]}
    as_alice.post("/jobs", MANY)
    assert as_gpu1.post("/claims", PLAIN_HOST).status_code == 204  # an older one
    claimed = as_gpu1.post("/claims", NEW_HOST).json()["job"]
    assert claimed["flags"] == ["-lineinfo", "-lcublas", "-std=c++20"]
    assert {name: claimed[name] for name in ("sources", "includes", "asm", "platform")} == {
        "sources": MANY["sources"],
        "includes": MANY["includes"],
        "asm": True,
        "platform": "cuda",
    }


def test_a_plain_job_looks_as_it_always_did_to_an_older_executor(
    as_alice: Api, as_gpu1: Api
) -> None:
    as_alice.submit()
    claimed = as_gpu1.post("/claims", {}).json()["job"]
    assert set(claimed) == {"id", "source", "filename", "args", "limits"}


def test_a_repeated_request_is_known_whether_or_not_it_names_what_is_empty(as_alice: Api) -> None:
    key = {"Idempotency_Key": "k"}
    first = as_alice.post("/jobs", {"source": "x"}, **key).json()
    again = as_alice.post("/jobs", {"source": "x", "sources": {}, "flags": []}, **key)
    assert again.json()["id"] == first["id"]
    other = as_alice.post("/jobs", {"source": "x", "flags": ["-g"]}, **key)
    assert problem(other) == (422, "idempotency-key-reused")


def test_one_mebibyte_is_for_all_files_together(as_alice: Api) -> None:
    half = "x" * (512 * 1024)
    fits = {"source": half, "includes": {"a.h": half}}
    assert as_alice.post("/jobs", fits).status_code == 201
    answer = as_alice.post("/jobs?override_pending=1", {**fits, "sources": {"b.cu": "y"}})
    assert problem(answer) == (413, "source-too-large")
    assert "3 files" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["../a.h"], "relative"),
        (["/etc/passwd"], "relative"),
        (["a/../b.h"], "relative"),
        (["a//b.h"], "relative"),
        ([""], "relative"),
        (["."], "relative"),
        (["a\\b.h"], "plain"),
        (["a\nb.h"], "plain"),
        (["a\u202eb.h"], "plain"),
        (["-o"], "dash"),
        (["x/-run"], "dash"),
        (["a.h", "A.h"], "case"),
        (["Lab.cu"], "case"),
        (["lab.cu"], "twice"),
        (["a", "a/b.h"], "folder"),
        (["lab.cu/x.h"], "folder"),
        (["a/" * 8 + "b.h"], "long"),
        (["a" * 256], "long"),
        (["a" * 101], "long"),
        (["straße.h", "strasse.h"], "case"),
        ([f"{n}.h" for n in range(256)], "257 files"),
    ],
)
@pytest.mark.parametrize("member", ["sources", "includes"])
def test_names_that_lead_elsewhere_or_meet_are_refused(
    as_alice: Api, names: list[str], word: str, member: str
) -> None:
    body = {"source": "x", "filename": "lab.cu", member: dict.fromkeys(names, "y")}
    answer = as_alice.post("/jobs", body)
    assert problem(answer) == (400, "invalid-request")
    assert word in answer.json()["detail"]
    assert not Job.objects.exists()


def test_one_name_as_a_source_and_as_an_include_is_refused(as_alice: Api) -> None:
    twice = {"source": "x", "sources": {"a.cu": "y"}, "includes": {"a.cu": "y"}}
    assert problem(as_alice.post("/jobs", twice)) == (400, "invalid-request")


@pytest.mark.parametrize(
    "body",
    [
        {"sources": []},
        {"sources": {"a.cu": 5}},
        {"includes": {"a.h": None}},
        {"includes": "x"},
        {"sources": {"a.cu": "a\0b"}},
        {"flags": "-g"},
        {"flags": [1]},
        {"flags": ["-g"] * 65},
        {"asm": "often"},
        {"platform": 5},
        {"platform": "../x"},
        {"platform": "H 100"},
    ],
)
def test_members_of_the_wrong_shape_are_refused_in_words(as_alice: Api, body: Any) -> None:
    answer = as_alice.post("/jobs", {"source": "x", **body})
    assert problem(answer) == (400, "invalid-request")
    assert answer.json()["detail"]


TAKEN = [
    *("-lcublas", "-lcuda", "-lm", "-std=c++20", "--std=c++17", "-std=gnu++2b"),
    *("-O3", "-Ofast", "-g", "-G", "-lineinfo", "-w", "-Xcompiler=-fopenmp"),
    "-Xcompiler=-Wall,-Wextra",
    *("-Xptxas=-v", "-Xptxas=-O3,-dlcm=cg", "--ptxas-options=-v", "--extended-lambda"),
    *("--expt-relaxed-constexpr", "-rdc=true", "--use_fast_math", "-maxrregcount=64"),
    *("-arch=sm_90a", "-gencode=arch=compute_90a,code=sm_90a"),
    "-gencode=arch=compute_80,code=[sm_80,compute_80]",
    *("-DN=3", "-DNAME", "-UNDEBUG", "-I.", "-Iinclude", "-I./a/b", "-march=native"),
    *("-mavx512f", "-mno-avx2", "-fopenmp", "-ffast-math", "-fno-exceptions", "-funroll-loops"),
    *("-Wno-unused", "-fsanitize=undefined", "-pthread", "-static"),
    *("-diag-suppress=177,20012", "-fmad=false", "-code=sm_90a", "--gpu-code=sm_90a,compute_90"),
    *("-Xcudafe=--diag_suppress=177", "-fopt-info-vec-missed", "-g3", "-ggdb", "-DN=1<<20"),
    *("-DT=std::vector<float>", "-t=4", "--threads=0", "-arch=all", "-lcublasLt", "-libverbs"),
]  # fmt: skip
REFUSED = [
    *("-o", "-o/tmp/x", "-o /tmp/x", "-ccbin", "-ccbin=/bin/sh", "--compiler-bindir=/bin"),
    *("@file", "--options-file=x", "-optf=x", "-Wl,-rpath,/x", "-Wa,-x", "-Wp,-MD,x"),
    *("-fplugin=x.so", "-specs=x", "-wrapper", "-B/tmp", "-I/etc", "-I../x", "-Ia/../..", "-L/x"),
    *("-l:libx.so", "-l/x", "-include", "-include=/etc/passwd", "-run", "--run", "--keep"),
    *("-Xlinker=-x", "-Xcompiler=-o,x", "-Xcompiler=-fplugin=x", "-Xcompiler=-Wl,-x", "-Xptxas=-o"),
    *("-c", "-E", "-M", "-MD", "-shared", "-x", "cu", "", " ", "-D X", "-save-temps", "-mllvm"),
    *("-lib", "-link", "-ldir=/x", "-I", "-dlto", "-fsanitize=address", "-DX=a b", "-t=x"),
    *("-Xcompiler=@f", "-DX=$(id)", "-DX=`id`", "-DX=1;id", "-g\n", "-\u202eg", "-fdump-tree-all"),
    *("-fprofile-use=/x", "-D" + "N" * 300, "-Xcompiler", "-g -G", "-odir=x", "-dumpdir"),
]  # fmt: skip


@pytest.mark.parametrize("flag", TAKEN)
def test_flags_that_a_lab_needs_are_taken(flag: str) -> None:
    assert flags.why_refused([flag]) == ""


@pytest.mark.parametrize("flag", REFUSED)
def test_flags_that_lead_elsewhere_are_refused_by_name(flag: str) -> None:
    reason = flags.why_refused(["-g", flag])
    assert reason.startswith("The compiler flag ")
    assert reason.isprintable()
    assert len(reason) < 300


def test_a_refused_flag_is_said_with_its_slug(as_alice: Api) -> None:
    answer = as_alice.post("/jobs", {"source": "x", "flags": ["-O2", "-o /tmp/x"]})
    assert problem(answer) == (422, "flag-refused")
    assert answer.json()["detail"] == (
        "The compiler flag -o /tmp/x is not one that the queue takes. Give each flag by itself."
    )
    assert not Job.objects.exists()


def test_a_job_of_a_replayed_key_is_found_though_its_flags_are_refused_now(
    alice: User, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken once is answered first, whatever has changed since."""
    flagged = Submission("x", flags=["-g"])
    job, _ = submitting.submit(alice, flagged, "key")
    monkeypatch.setattr(flags, "why_refused", lambda flags: "refused")
    assert submitting.submit(alice, flagged, "key") == (job, False)


def test_python_takes_no_flags(as_alice: Api, as_gpu1: Api) -> None:
    as_gpu1.post("/claims", {**NEW_HOST, "languages": ["python"]})
    body = {"source": "x", "filename": "a.py", "flags": ["-g"]}
    assert problem(as_alice.post("/jobs", body)) == (422, "flag-refused")


def test_where_all_hosts_are_older_more_than_one_file_is_refused(
    as_alice: Api, as_gpu1: Api
) -> None:
    as_gpu1.post("/claims", PLAIN_HOST)
    answer = as_alice.post("/jobs", MANY)
    assert problem(answer) == (422, "unknown-platform")
    assert "older" in answer.json()["detail"]
    assert as_alice.post("/jobs", {"source": "x"}).status_code == 201
