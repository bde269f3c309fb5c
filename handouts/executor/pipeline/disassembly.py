"""What the compiler made, as text to be read: `asm` of a job."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from handouts.executor.machine.toolchain import Toolchain
from handouts.executor.results.archive import Found
from handouts.executor.sandbox.command import Places

PTX, SASS, ASSEMBLY = LISTINGS = ("asm-ptx.txt", "asm-sass.txt", "asm.s")

# Runs the compiler, and where that succeeded, what shows its program, in the time that is left.
# Its arguments: how many seconds a compile may take, what shows the program (a script, and its
# arguments below), and the compiler's command line.
COMPILE_AND_SHOW = """\
seconds=$1 show=$2 program=$3 out=$4 cuobjdump=$5 nvdisasm=$6 began=$(date +%s)
shift 6
"$@" || exit
left=$((began + seconds - 2 - $(date +%s)))
if [ "$left" -gt 0 ]; then
    timeout -k 1 "$left" /bin/sh -c "$show" sh "$program" "$out" "$cuobjdump" "$nvdisasm"
    [ $? != 124 ] && exit 0
fi
echo "asm: the compile's time limit left too little time to show all of the program."
exit 0
"""

# Each file appears in the folder for them when it is whole.
BEGIN = """\
program=$1 out=$2 cuobjdump=$3 nvdisasm=$4 here=$PWD parts=$2/../parts
mkdir -p "$parts" || exit 0
"""
SHOW_CUDA = f"""\
cd "$parts"
if [ -z "$cuobjdump" ]; then
    echo "asm: this host has no cuobjdump, so there is no {PTX} and no {SASS}."
else
    "$cuobjdump" -ptx "$program" | sed "s|\\"$here/\\(\\./\\)*|\\"|" | cat -s >{PTX}
    if grep -q '^\\.version' {PTX}; then mv {PTX} "$out"
    else echo "asm: the program holds no PTX, so there is no {PTX}."; fi
    if [ "$nvdisasm" ]; then
        "$cuobjdump" -xelf all "$program" >log || cat log
        for cubin in *.cubin; do
            echo "// $cubin"
            "$nvdisasm" -c -g "$cubin"
        done | sed "s|\\"$here/\\(\\./\\)*|\\"|" >{SASS}
    else
        "$cuobjdump" -sass "$program" >{SASS}
    fi
    mv {SASS} "$out"
fi
cd "$here"
"""
JOIN_ASSEMBLY = f"""\
cat "$parts"/[0-9]*.s >"$parts/all" 2>/dev/null
if [ -s "$parts/all" ]; then mv "$parts/all" "$out/{ASSEMBLY}"
else echo "asm: the compiler showed no assembly, so there is no {ASSEMBLY}."; fi
"""


def shown(
    argv: list[str],
    shows_cuda: bool,
    listed: list[list[str]],
    tools: Toolchain,
    places: Places,
    seconds: int,
) -> list[str]:
    """The command line of a compiler, and of what then shows its program: PTX and SASS if it
    `shows_cuda`, and the assembly that each command of `listed` makes. None of that makes a
    compile fail.

    `listed`: command lines that end before the name of what they make. `seconds`: what all of it
    may take.
    """
    script = BEGIN + (SHOW_CUDA if shows_cuda else "")
    for number, command in enumerate(listed):
        # Their complaints are those of the compile itself.
        script += f'{" ".join(map(shlex.quote, command))} "$parts/{number:03}.s" >/dev/null 2>&1\n'
    script += JOIN_ASSEMBLY if listed else ""
    given = [str(int(seconds)), script, places.program, places.asm, tools.cuobjdump, tools.nvdisasm]
    return ["/bin/sh", "-c", COMPILE_AND_SHOW, "sh", *given, *argv]


def only_ours(found: Iterable[Found]) -> list[Found]:
    """Of what is in the archive, the files that are asked for: a source may have made others."""
    names = {name.encode() for name in LISTINGS}
    return [entry for entry in found if entry.name in names]


def append(found: Iterable[Found], of: Path, archive: Path) -> list[Found]:
    """The same entries in another archive, to whose end the first one's bytes are written.

    Raises OSError.
    """
    with of.open("rb") as source, archive.open("ab") as target:
        begin = target.seek(0, 2)
        shutil.copyfileobj(source, target)
    return [entry._replace(offset=begin + entry.offset) for entry in found]
