"""Addresses of the queue, right ones and odd ones, as both scripts take them."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, pythons, run
from tests.support.scripts import load
from tests.support.stubs import fake_nvcc

pytestmark = pytest.mark.once
submit = load("submit")

RIGHT = {
    "https://queue.example.edu:4443": ("queue.example.edu", 4443, ""),
    "https://queue": ("queue", 443, ""),
    "https://queue/": ("queue", 443, ""),
    "https://queue:": ("queue", 443, ""),
    " HTTPS://Queue.Example.EDU:4443/ \n": ("Queue.Example.EDU", 4443, ""),
    "https://queue.example.edu.:1": ("queue.example.edu", 1, ""),
    "https://queue:65535/telerun/cs.149~x/": ("queue", 65535, "/telerun/cs.149~x"),
    "https://192.0.2.7:4443": ("192.0.2.7", 4443, ""),
    "https://[::1]:4443": ("::1", 4443, ""),
    "https://[2001:db8::192.0.2.7]": ("2001:db8::192.0.2.7", 443, ""),
    "https://bücher.example": ("xn--bcher-kva.example", 443, ""),
    "https://a_b-c.example:04443": ("a_b-c.example", 4443, ""),
}
ODD = {
    "": "it is empty",
    "  ": "it is empty",
    "queue.example.edu:4443": "put https:// before it",
    "queue": "put https:// before it",
    "//queue:4443": "put https:// before it",
    "http://queue:4443": "say https in place of http",
    "ftp://queue": "such as https://queue:4443",
    "https://": "such as https://queue:4443",
    "https:///a": "such as https://queue:4443",
    "https://:4443": "such as https://queue:4443",
    "https://[::1": "such as https://queue:4443",
    "https://::1]:4443": "such as https://queue:4443",
    "https://::1:4443": "such as https://queue:4443",
    "https://[queue.example.edu]:4443": "such as https://queue:4443",
    "https://[::1%eth0]": "such as https://queue:4443",
    "https://[1:2]": "that is no name of a host",
    "https://[]": "such as https://queue:4443",
    "https://queue:0": "a port is a number from 1 to 65535",
    "https://queue:65536": "a port is a number from 1 to 65535",
    "https://queue:" + "9" * 5000: "a port is a number from 1 to 65535",
    "https://queue:x": "such as https://queue:4443",
    "https://queue:-1": "such as https://queue:4443",
    "https://queue:4443:4443": "such as https://queue:4443",
    "https://queue:\u0664": "such as https://queue:4443",
    "https://user:SECRET@queue:4443": "leave out the name or password before @",
    "https://SECRET@queue": "leave out the name or password before @",
    "https://queue/?token=SECRET": "leave out what begins with ? or #",
    "tlru_SECRET": "put https:// before it",
    "https://tlrc_SECRET/ x": "it has a blank or a control character",
    "https://queue#SECRET": "leave out what begins with ? or #",
    "https://queue\\a": "such as https://queue:4443",
    "https://queue/a b": "it has a blank or a control character",
    "https://qu eue": "it has a blank or a control character",
    "https://que\tue": "it has a blank or a control character",
    "https://queue\n/x": "it has a blank or a control character",
    "https://que\x1b[31mue": "it has a blank or a control character",
    "https://que\u202eue": "it has a blank or a control character",
    "https://queue..edu": "that is no name of a host",
    "https://.queue": "that is no name of a host",
    "https://-queue": "that is no name of a host",
    "https://queue!": "that is no name of a host",
    "https://" + "a" * 64 + ".edu": "that is no name of a host",
    "https://" + "a." * 150: "that is no name of a host",
    "https://" + "\u00fc" * 200: "that is no name of a host",
    "https://a\uff0fb": "that is no name of a host",
    "https://queue/\u00fc": "such as https://queue:4443",
    "https://queue/%2e": "such as https://queue:4443",
    "https://\udcff": "it has a blank or a control character",
}


@pytest.mark.parametrize("text", RIGHT)
def test_an_address(text: str) -> None:
    found = submit.read_address(text)
    assert (found.host, found.port, found.base) == RIGHT[text]


@pytest.mark.parametrize("text", ODD)
def test_an_odd_address(text: str) -> None:
    with pytest.raises(submit.BadSetup) as error:
        submit.read_address(text)
    words = str(error.value)
    assert words.endswith(f"is not of the form https://host:port: {ODD[text]}.")
    assert words.isascii()
    assert words.isprintable()
    assert len(words) < 300
    assert "SECRET" not in words


SHOWN = ("https://[::1", "https://queue:0", "https://user:SECRET@queue:4443", "https://a..b", "")


@pytest.mark.processes
@pytest.mark.parametrize("python", [pythons()[0], pythons()[-1]])
@pytest.mark.parametrize("text", SHOWN)
def test_both_scripts_say_so_in_a_line(tmp_path: Path, text: str, python: str) -> None:
    """By the option, and in auth.json."""
    (tmp_path / "a.cu").write_text("int main() {}")
    more = ["--nproc-compile", 1, "--nproc-execute", 1, "--no-gpu", "--sandbox", "none",
            "--nvcc", fake_nvcc(tmp_path), "--scratch-dir", tmp_path / "scratch",
            "--min-free-mib", 16]  # fmt: skip
    for script, kind, words in (("submit", "username", ["a.cu"]), ("executor", "executor", more)):
        for option, server in (([f"--server={text}"], "https://localhost:1"), ([], text)):
            auth = tmp_path / f"{kind}.json"
            auth.touch(0o600)
            auth.write_text(json.dumps({kind: "x", "token": "x", "server": server}))
            argv = [python, ROOT / f"{script}.py", "--auth", auth, *option, *words]
            done = run(argv, cwd=tmp_path).no_traceback()
            assert done.status == 2
            assert done.out == ""
            assert len(done.err.splitlines()) == 1, done.err
            assert "is not of the form https://host:port" in done.err
            assert "SECRET" not in done.err


@pytest.mark.processes
def test_an_address_that_is_no_text_at_all(tmp_path: Path) -> None:
    argv = [sys.executable, ROOT / "submit.py", b"--server=https://\xff", "--attach", "1"]
    auth = tmp_path / "auth.json"
    auth.touch(0o600)
    auth.write_text(json.dumps({"username": "x", "token": "x"}))
    done = run([os.fsdecode(word) if isinstance(word, bytes) else word for word in argv]
               + ["--auth", auth])  # fmt: skip
    assert done.status == 2
    assert "is not of the form" in done.no_traceback().err
