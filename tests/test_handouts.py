"""The two scripts are what their sources make, and what the builder refuses."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Done, pythons, run
from tests.support.scripts import load
from tests.support.stubs import fake_nvcc

pytestmark = [pytest.mark.once, pytest.mark.processes]
SCRIPTS = ("executor", "submit")
PARTS = (ROOT / "handouts/client/parts.py").read_text()


@pytest.mark.parametrize("python", pythons())
def test_the_scripts_are_what_their_sources_make(python: str, tmp_path: Path) -> None:
    done = run([python, ROOT / "handouts/build.py", "--into", tmp_path])
    assert done.status == 0, done.err
    for script in SCRIPTS:
        made = (tmp_path / f"{script}.py").read_bytes()
        assert made == (ROOT / f"{script}.py").read_bytes(), "run: make handouts"


# --- What the builder refuses ------------------------------------------------------------


def build(folder: Path, **sources: str) -> Done:
    """A script made of handouts/small/main.py and other modules of handouts/small/."""
    (folder / "handouts/client").mkdir(parents=True)
    (folder / "handouts/small").mkdir()
    (folder / "handouts/client/parts.py").write_text(PARTS)
    for name, text in sources.items():
        path = folder / "handouts/small" / (name if "." in name else name + ".py")
        path.write_text(text)
    return run(
        [sys.executable, ROOT / "handouts/build.py", "--sources", folder, "--into", folder, "small"]
    )


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ("from handouts.small import other", "5: say: from handouts.package.module import name"),
        ("import handouts.small.other", "5: say: from handouts.package.module import name"),
        ("from handouts.small.other import *", "5: no aliases, no star, no relative imports"),
        ("from handouts.small.other import A as B", "5: no aliases, no star, no relative imports"),
        ("import json as j", "5: no aliases, no star, no relative imports"),
        ("from .other import A", "5: no aliases, no star, no relative imports"),
        (
            "def f():\n    from handouts.small.other import Z",
            "6: handouts.small.other defines no Z",
        ),
        ("def f():\n    from handouts.small.quotes import A", "quotes.py:1: three single quotes"),
        ("load_late = 1", "5: load_late is also defined by the builder"),
        ("from handouts.small.other import Z", "5: handouts.small.other defines no Z"),
        ("from handouts.small.none import A", "none.py:1: cannot be read: No such file"),
        ("from handouts.small.queue import A", "queue is the name of a module of the standard"),
        ("from handouts.small.cycle import B", "an import cycle: handouts.small.main imports"),
        ("import django", "5: django is not in the standard library"),
        ("def f():\n    import pytest.mark", "6: pytest.mark is not in the standard library"),
        ("A = 1\nimport os", "6: imports come before everything else"),
        ("match x:\n    case 1:\n        pass", "is not Python 3.8: "),
        ("def f(:", "5: is not Python 3.8: "),
        ("from handouts.small.other import A\n\nB = 1\n\ndef A(): ...", "9: A is also defined by"),
        ("from handouts.small.other import A\nimport json\n\njson = 1", "8: json is also defined"),
        ("from handouts.small.bad_c import BAD_C", "bad.c:"),
    ],
)
def test_what_the_builder_refuses(tmp_path: Path, main: str, words: str) -> None:
    files = {
        "main": f'"""Main."""\n\nfrom __future__ import annotations\n\n{main}\n',
        "other": '"""Other."""\n\nA = 1\n',
        "queue": '"""Queue."""\n\nA = 1\n',
        "quotes": '"""Quotes."""\n\nA = "\'\'\'"\n',
        "cycle": '"""Cycle."""\n\nfrom handouts.small.main import A\n\nB = 1\n',
        "bad.c": 'char *x = """;\n',
    }
    done = build(tmp_path, **files)
    assert done.status == 1
    assert words in done.err, done.err
    assert re.fullmatch(r"handouts/small/\w+\.\w+:\d+: .+\n", done.err)  # one line
    assert not (tmp_path / "small.py").exists()


def test_what_a_script_is_made_of(tmp_path: Path) -> None:
    """Modules after what they import, each import once, and files of other languages."""
    done = build(
        tmp_path,
        main='"""It prints."""\n\nfrom typing import Any\n\n'
        "from handouts.client.parts import PARTS\n"
        "from handouts.small.other import words\n\nprint(words(), [part[1] for part in PARTS])\n",
        other='"""Words."""\n\nimport re\nfrom typing import Any\n\n'
        "from handouts.small.text_c import TEXT_C\n\n\n"
        'def words() -> Any:\n    return re.findall(r"\\w+", TEXT_C)\n',
        **{"text.c": "int main;\n"},
    )
    assert done.status == 0, done.err
    text = (tmp_path / "small.py").read_text()
    assert text.count("import re\n") == text.count("from typing import Any") == 1
    ran = run([sys.executable, tmp_path / "small.py"])
    parts = [f"handouts/small/{name}" for name in ("text.c", "other.py", "main.py")]
    assert ran.out == f"['int', 'main'] {parts}\n", ran.err


def test_what_functions_alone_import_is_compiled_when_they_are_called(tmp_path: Path) -> None:
    """Names, values and lines are as if it had been there all the time."""
    done = build(
        tmp_path,
        main='"""It prints."""\n\nfrom handouts.small.early import A\n\n\ndef call() -> None:\n'
        "    from handouts.small.late import fail\n    from handouts.small.late import words\n\n"
        '    print(words(), A)\n    fail()\n\n\nprint("load" in globals(), "words" in globals())\n'
        "call()\n",
        early='"""Early."""\n\nA = 1\n',
        late='"""Late."""\n\nfrom handouts.small.early import A\n'
        "from handouts.small.later import B\n"
        'C = "\\n"\n\n\ndef words() -> str:\n    return f"{A}{B}{C!r}"\n\n\n'
        'def fail() -> None:\n    raise ValueError("here")\n',
        later='"""Later."""\n\nB = 2\n',
    )
    assert done.status == 0, done.err
    ran = run([sys.executable, tmp_path / "small.py"])
    assert ran.out == "False False\n12'\\n' 1\n"
    place = re.findall(r'File ".*small.py", line (\d+), in fail', ran.err)
    assert len(place) == 1, ran.err
    lines = (tmp_path / "small.py").read_text().splitlines()
    assert lines[int(place[0]) - 1] == '    raise ValueError("here")'
    assert '    raise ValueError("here")' in ran.err  # Python finds the line
    table = dict(re.findall(r'\((\d+), "handouts/small/(\w+).py", 3\)', "\n".join(lines))[::1])
    assert {"early", "later"} <= set(table.values())


def nodes(text: str) -> list[ast.AST]:
    """Of the script's tree, and of that of the parts that are compiled late."""
    tree = ast.parse(text)
    found = list(ast.walk(tree))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LATE_PARTS":
            late = ast.parse(ast.literal_eval(node.value))
            found += ast.walk(ast.increment_lineno(late, node.lineno - 1))
    return found


# --- What the scripts import when they start ---------------------------------------------


@pytest.mark.parametrize("python", pythons())
def test_submit_imports_nothing_slow_and_nothing_that_another_system_lacks(python: str) -> None:
    script = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import submit;"
        "print(*sorted(set(sys.modules) - before))"
    )
    imported = run([python, "-I", "-B", "-c", script, ROOT]).out.split()
    assert "ssl" in imported
    assert set(imported) & {"typing", "uuid", "traceback", "subprocess"} == set()
    found = nodes((ROOT / "submit.py").read_text())
    own = {a.name for n in found if isinstance(n, ast.Import) for a in n.names}
    names = {n.module for n in found if isinstance(n, ast.ImportFrom)}
    assert own & {"fcntl", "pwd", "grp", "resource", "termios", "pty"} == set()
    assert names == {"__future__", "collections.abc", "pathlib", "typing"}  # typing: never run


# --- Tracebacks --------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_line_is_found_in_its_source(script: str) -> None:
    place_in_source = load(script).place_in_source
    text = (ROOT / f"{script}.py").read_text()
    lines = text.splitlines()
    checked = 0
    for number in sorted({n.lineno for n in nodes(text) if hasattr(n, "lineno")}):
        place = re.fullmatch(r"(handouts/\S+), line (\d+)", place_in_source(number))
        if place and place[1].endswith(".py"):
            source = (ROOT / place[1]).read_text().splitlines()
            was = source[int(place[2]) - 1]
            if lines[number - 1].strip() == "load_late()":
                assert re.match(r"\s+from handouts\.\S+ import ", was)
            else:
                assert was == lines[number - 1]
            checked += 1
    assert checked > 400
    first = load(script).PARTS[0][0]
    assert place_in_source(first - 1) == ""


def auth(folder: Path, kind: str, name: str) -> Path:
    """An auth.json for a queue that is not there."""
    path = folder / "auth.json"
    path.write_text(json.dumps({kind: name, "token": "x", "server": "https://localhost:1"}))
    path.chmod(0o600)
    return path


def source_line(traceback: str, file: str) -> str:
    """The line of a source that a traceback names."""
    place = re.search(rf"\({re.escape(file)}, line (\d+)\)", traceback)
    assert place, traceback
    return (ROOT / file).read_text().splitlines()[int(place[1]) - 1]


@pytest.mark.parametrize("python", pythons())
def test_a_fault_in_a_thread_of_the_executor_names_the_source(tmp_path: Path, python: str) -> None:
    """A file in the spool that nothing here would write."""
    spool = tmp_path / "scratch/gpu1/spool"
    spool.mkdir(parents=True)
    (spool / "1.json").write_text(json.dumps({"attempt": 1, "report": {}}))
    done = run(
        [python, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1, "--no-gpu",
         "--auth", auth(tmp_path, "executor", "gpu1"), "--scratch-dir", tmp_path / "scratch",
         "--nvcc", fake_nvcc(tmp_path), "--sandbox", "none", "--min-free-mib", 16],
    )  # fmt: skip
    assert done.status == 70
    assert re.search(r"Executor failed in its thread 'results-\d':\nTraceback", done.err)
    assert "KeyError: 'lease_token'" in done.err
    line = source_line(done.err, "handouts/executor/pipeline/sending.py")
    assert "self._send_files(connection, content)" in line
    assert "(handouts/executor/base/threads.py, line " in done.err


@pytest.mark.parametrize("python", pythons())
def test_a_fault_of_submit_names_the_source(tmp_path: Path, python: str) -> None:
    """With a stub for os.urandom that no system has."""
    script = (
        "import os, runpy, sys; os.urandom = None; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    (tmp_path / "a.cu").write_text("int main() {}")
    argv = ["--auth", auth(tmp_path, "username", "alice"), tmp_path / "a.cu"]
    done = run([python, "-c", script, ROOT / "submit.py", *argv], cwd=tmp_path)
    assert done.status == 1
    assert "TypeError: 'NoneType' object is not callable" in done.err
    line = source_line(done.err, "handouts/submit/job_client.py")
    assert "os.urandom" in line or "self._submission" in line
    assert "(handouts/submit/main.py, line " in done.err


def test_expected_errors_have_no_traceback(tmp_path: Path) -> None:
    for script, more in (("submit", ["x.cu"]), ("executor", ["--nproc-compile", "1"])):
        done = run([sys.executable, ROOT / f"{script}.py", *more], cwd=tmp_path)
        assert done.status == 2
        assert "Traceback" not in done.err
