"""What the compiler made, as text to be read: `asm` of a job."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from handouts.executor.machine.toolchain import Toolchain
from handouts.executor.results.archive import Found
from handouts.executor.sandbox.command import Places

PTX, SASS, ASSEMBLY = "asm-ptx.txt", "asm-sass.txt", "asm.s"
KEEPS_ASSEMBLY = "-save-temps=obj"  # a host compiler: beside the program
KEEPS_ASSEMBLY_OF_NVCC = "-Xcompiler=-save-temps=cwd"  # which tidies up beside what it makes

# Runs the compiler, and where that succeeded, takes apart the very program that it made. Nothing
# here makes a compile fail. Its arguments: the program, the folder for what it makes, cuobjdump and
# nvdisasm ("" where there is none), which kinds are wanted, and the compiler's command line.
SHOW = f"""\
program=$1 out=$2 cuobjdump=$3 nvdisasm=$4 kinds=$5 here=$PWD
shift 5
"$@" || exit
mkdir -p "$out/../cubins" && cd "$out/../cubins" || exit 0
case $kinds in *cuda*)
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
            done | sed "s|\\"$here/\\(\\./\\)*|\\"|" >"$out/{SASS}"
        else
            "$cuobjdump" -sass "$program" >"$out/{SASS}"
        fi
    fi
esac
case $kinds in *host*)
    for file in "${{program%/*}}"/*.s "$here"/tmpxft_*.s; do
        case $file in *_dlink.s | *.cudafe1.s) continue ;; esac
        [ ! -f "$file" ] || cat "$file"
    done >"$out/{ASSEMBLY}"
esac
exit 0
"""


def shown(argv: list[str], kinds: Iterable[str], tools: Toolchain, places: Places) -> list[str]:
    """The command line of a compiler, and of what then shows its program.

    `kinds`: "cuda" for PTX and SASS, "host" for the assembly that a compiler was told to keep.
    """
    given = [places.program, places.asm, tools.cuobjdump, tools.nvdisasm, " ".join(kinds)]
    return ["/bin/sh", "-c", SHOW, "sh", *given, *argv]


def only_ours(found: Iterable[Found]) -> list[Found]:
    """Of what is in the archive, the files that are asked for: a source may have made others."""
    names = {name.encode() for name in (PTX, SASS, ASSEMBLY)}
    return [entry for entry in found if entry.name in names]


def append(found: Iterable[Found], of: Path, archive: Path) -> list[Found]:
    """The same entries in another archive, to whose end the first one's bytes are written.

    Raises OSError.
    """
    with of.open("rb") as source, archive.open("ab") as target:
        begin = target.seek(0, 2)
        shutil.copyfileobj(source, target)
    return [entry._replace(offset=begin + entry.offset) for entry in found]
