"""Stubs, for speed and for faults; never the only test of what they stand for."""

from pathlib import Path

# What the stub compiler does: "compiles" a file of shell commands into a program that runs them.
AS_SHELL = '{ echo "#!/bin/bash"; cat "$src"; } >"$out"; chmod +x "$out"'


def fake_nvcc(folder: Path, script: str = AS_SHELL) -> Path:
    """A stub compiler: a shell script that finds its input in $src and its output in $out."""
    path = folder / "stub-nvcc"
    path.write_text(
        '#!/bin/bash\n[ "$1" = --version ] && { echo "release 0.0, stub"; exit; }\n'
        'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done; src=$1\n' + script
    )
    path.chmod(0o755)
    return path
