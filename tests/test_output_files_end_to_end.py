"""Output files on their whole way: a real program, the sandbox and none, TLS, `submit.py`."""

from pathlib import Path

import pytest

from tests.support.processes import World

pytestmark = pytest.mark.end_to_end
EVERY_BYTE = bytes(range(256)) * 4096
WRITES = r"""#include <cstdio>
int main() {
    FILE *hello = fopen("out/hello.txt", "w");
    fputs("hello file\n", hello);
    fclose(hello);
    FILE *bytes = fopen("out/all bytes.bin", "wb");
    for (int n = 0; n < 4096 * 256; n++) fputc(n & 255, bytes);
    fclose(bytes);
    puts("written");
}
"""


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("sandbox", [None, "none"])
def test_what_a_program_writes_to_out_comes_back(world: World, sandbox: str | None) -> None:
    alice = world.user("alice")
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"), sandbox=sandbox)
    done = world.submit(alice, world.source(WRITES), cwd=world.folder)
    assert done.no_traceback().status == 0, done.err
    assert "--- program ---\nwritten\n--- job 1 succeeded" in done.out
    assert "Saved telerun-out/1/all bytes.bin (1 MiB).\n" in done.err
    assert "Saved telerun-out/1/hello.txt (11 bytes).\n" in done.err
    files = {"hello.txt": b"hello file\n", "all bytes.bin": EVERY_BYTE}
    assert saved(world.folder / "telerun-out/1") == files
    again = world.submit(alice, "--attach", 1, "--out", world.folder / "mine", cwd=world.folder)
    assert again.status == 0, again.err
    assert saved(world.folder / "mine") == files
    assert executor.stop() == 0
    assert not list((world.folder / "scratch/gpu1/spool").iterdir())


@pytest.mark.once
@pytest.mark.parametrize("sandbox", [None, "none"])
def test_what_does_not_come_back_is_told(tmp_path: Path, sandbox: str | None) -> None:
    limits = {"TELERUN_OUTPUT_FILES": 2, "TELERUN_OUTPUT_FILE_BYTES": 1 << 20}
    source = r"""#include <cstdio>
    #include <sys/stat.h>
    #include <unistd.h>
    static void make(const char *name, int size) {
        FILE *file = fopen(name, "w");
        for (int n = 0; n < size; n++) fputc('x', file);
        fclose(file);
    }
    int main() {
        make("out/1 fits", (1 << 20) - 10);
        make("out/2 too large", 11);
        make("out/3 fits", 10);
        make("out/4 too many", 0);
        mkdir("out/folder", 0755);
        make("out/folder/inner", 1);
        (void)!symlink("1 fits", "out/link");
        mkfifo("out/pipe", 0644);
        return 3;
    }
    """
    with World(tmp_path, **limits) as world:
        alice = world.user("alice")
        world.start_server()
        world.start_executor(world.executor("gpu1"), sandbox=sandbox)
        done = world.submit(alice, world.source(source), cwd=tmp_path)
        assert done.no_traceback().status == 1, done.err
        assert sorted(saved(tmp_path / "telerun-out/1")) == ["1 fits", "3 fits"]
        told = {line for line in done.err.splitlines() if line.startswith("Not saved")}
        assert told == {
            "Not saved: 2 too large: it has 11 bytes, and all files together may have 1 MiB.",
            "Not saved: 4 too many: no more than 2 files come back.",
            "Not saved: folder: it is a folder; only files in out/ itself come back.",
            "Not saved: link: it is a link.",
            "Not saved: pipe: it is no plain file.",
        }
