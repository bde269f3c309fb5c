"""Which compiler flags a job may have, by a table.

A sandbox holds the compiler; the table keeps flags away that would only surprise: other output
files, other compilers, plugins, files of flags. nvcc and g++ have one table: what the compiler of
a job does not know, it refuses itself.
"""

import difflib
import re

from django.conf import settings

MAX_FLAGS = 64
MAX_FLAG_LENGTH = 200

_NAME = r"[A-Za-z_]\w*"
_FILE = (
    r"(?!-)(?!\.\.?(/|$))[\w.+-]+(/(?!\.\.?(/|$))[\w.+-]+)*/?"  # relative, and leads nowhere else
)

_COMMON = [
    rf"-D{_NAME}(=[\w.+:\"'()*/<>,-]*)?",
    rf"-U{_NAME}",
    rf"-I(\.|(\./)?{_FILE})",
    r"-l(?!ib$|ib-|ink$|ink-|dir)[A-Za-z0-9_+][A-Za-z0-9_+.-]*",  # -lib and -link are nvcc's own
    r"--?std=(c|gnu)(\+\+)?\w{2}",
    r"-O([0-3sg]|fast)?",
    r"-g([0-3]|gdb[0-3]?)?",
    r"-w",
    r"-pthread",
]
_HOST = [
    r"-W(no-)?[a-z][a-z0-9+-]*(=[a-z0-9-]+)?",
    r"-(pedantic|static|static-libgcc|static-libstdc\+\+|ansi|s)",
    r"-m(arch|tune|cpu|prefer-vector-width|branch-cost|fpmath|abi|cmodel)=[a-z0-9.+-]+",
    r"-m(?!llvm)(no-)?[a-z0-9][a-z0-9.-]*",
    r"-f(no-)?(openmp|openmp-simd|open(acc)|fast-math|unroll-loops|unroll-all-loops|lto|inline\w*"
    r"|strict-aliasing|strict-overflow|omit-frame-pointer|finite-math-only|associative-math"
    r"|reciprocal-math|unsafe-math-optimizations|math-errno|trapping-math|signed-zeros|rounding-math"
    r"|tree-[a-z-]+|ipa-[a-z-]+|vectorize|slp-vectorize|exceptions|rtti|permissive|PIC|PIE|pic|pie"
    r"|wrapv|char8_t|concepts|coroutines|signed-char|unsigned-char|common|peel-loops|split-loops"
    r"|prefetch-loop-arrays|stack-protector(-all|-strong)?|verbose-asm|inline-functions|gcse|web)",
    r"-f(fp-contract|vect-cost-model|excess-precision|max-errors|visibility)=[a-z0-9,-]+",
    r"-fsanitize=(undefined|signed-integer-overflow|bounds|null|shift|integer-divide-by-zero)"
    r"|-fopt-info(-[a-z]+)*",
]
_DEVICE = [
    r"-G|-lineinfo|--generate-line-info|--device-debug",
    r"--?use_fast_math",
    r"--?(extended-lambda|expt-extended-lambda|expt-relaxed-constexpr)",
    r"--?(ftz|prec-div|prec-sqrt|fmad)=(true|false)",
    r"-rdc=(true|false)|--relocatable-device-code=(true|false)|-ewp",
    r"--?maxrregcount=\d{1,3}",
    r"--?(cudart)=(none|shared|static)",
    r"--?default-stream=(legacy|null|per-thread)",
    r"-(arch|-gpu-architecture)=(sm|compute)_\d{2,3}[af]?|-arch=(native|all|all-major)",
    r"--?(code|gpu-code)=((sm|compute|lto)_\d{2,3}[af]?,?)+",
    r"-(t|-threads)=\d{1,2}",
    r"-Xcudafe=--(diag_suppress|diag_warning|diag_error|display_error_number)(=[\w,]+)?",
    r"-(gencode|-generate-code)=arch=compute_\d{2,3}[af]?"
    r",code=\[?((sm|compute|lto)_\d{2,3}[af]?,?)+\]?",
    r"--?(res-usage|resource-usage|restrict|extra-device-vectorization|split-compile=\d{1,2})",
    r"--?(diag-suppress|diag_suppress|diag-warn|diag-error)=[\w,-]+",
    r"-Werror=[a-z,-]+",
]
_ASSEMBLER = [
    r"-v|--verbose|-O[0-3]|--opt-level=[0-3]",
    r"-(dlcm|dscm)=(ca|cg|cs|cv|wb|wt)|--def-(load|store)-cache=(ca|cg|cs|cv|wb|wt)",
    r"--?(warn-on-spills|warn-spills|warn-on-local-memory-usage|warn-lmem-usage|allow-expensive"
    r"-optimizations(=(true|false))?|fmad(=(true|false))?|disable-optimizer-constants)",
    r"--maxrregcount=\d{1,3}|-maxrregcount=\d{1,3}|--register-usage-level=\d{1,2}",
]


def _pattern(parts: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{part})" for part in parts), re.ASCII)


_ALLOWED = _pattern(_COMMON + _HOST + _DEVICE)
_FOR_HOST = _pattern(_COMMON + _HOST)
_FOR_ASSEMBLER = _pattern(_ASSEMBLER)
_TAKE_A_VALUE = ("-Xcompiler", "-Xptxas", "-gencode", "-arch", "-std", "-maxrregcount")
_PASSED_ON = re.compile(
    r"(?:-Xcompiler|--compiler-options|-Xptxas|--ptxas-options)=(.+)", re.DOTALL
)


# Those that people mean: nobody lists all that the patterns take.
_USUAL = (
    *("-O0", "-O1", "-O2", "-O3", "-Ofast", "-g", "-G", "-w", "-pthread", "-lm", "-lcuda"),
    *("-lcublas", "-lcublasLt", "-lcudart", "-lcufft", "-lcurand", "-lcusparse", "-lcusolver"),
    *("-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20", "-std=c11", "-lineinfo"),
    *("-arch=sm_80", "-arch=sm_89", "-arch=sm_90", "-arch=sm_90a", "-arch=native"),
    *("-gencode=arch=compute_90a,code=sm_90a", "-maxrregcount=64", "-rdc=true"),
    *("-use_fast_math", "--use_fast_math", "--extended-lambda", "--expt-relaxed-constexpr"),
    *("--default-stream=per-thread", "-Wall", "-Wextra", "-march=native", "-mavx2", "-mavx512f"),
    *("-fopenmp", "-ffast-math", "-funroll-loops", "-fsanitize=undefined", "-Xcompiler=-fopenmp"),
    *("-Xcompiler=-Wall", "-Xcompiler=-march=native", "-Xptxas=-v", "-Xptxas=-O3", "-DNAME=1"),
)
_EXAMPLES = ("-O2", "-g", "-lineinfo", "-std=c++17", "-lcublas", "-DNAME=1", "-Xcompiler=-fopenmp")


def why_refused(flags: list[str]) -> str:
    """Why one of a job's flags is not taken, in a sentence; "" if all are."""
    if len(flags) > MAX_FLAGS:
        return f"There are {len(flags)} compiler flags; the queue takes {MAX_FLAGS}."
    return next((reason for reason in map(_why, flags) if reason), "")


def _why(flag: str) -> str:
    shown = flag if flag.isprintable() else ascii(flag)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if len(flag) > MAX_FLAG_LENGTH:
        return f"The compiler flag {shown} is longer than {MAX_FLAG_LENGTH} characters."
    if not _is_allowed(flag):
        hint = " Give each flag by itself." if " " in flag.strip() else ""
        if flag in _TAKE_A_VALUE:
            hint = f" Write {flag}=VALUE as one flag."
        hint = hint or _nearest(flag)
        return f"The compiler flag {shown} is not one that the queue takes.{hint}"
    return ""


def _nearest(flag: str) -> str:
    """What may have been meant, or some of what there is."""
    found = difflib.get_close_matches(flag[:MAX_FLAG_LENGTH], _USUAL, n=1, cutoff=0.55)
    if found:
        return f" Did you mean {found[0]}?"
    return f" Among those that it takes are {', '.join(_EXAMPLES)}; the course staff know all."


def _is_allowed(flag: str) -> bool:
    passed_on = _PASSED_ON.fullmatch(flag)
    if passed_on is None:
        return _ALLOWED.fullmatch(flag) is not None
    is_for_host = "ompiler" in flag.partition("=")[0]
    pattern = _FOR_HOST if is_for_host else _FOR_ASSEMBLER
    return all(pattern.fullmatch(part) for part in passed_on[1].split(","))


def of_the_course(language: str) -> list[str]:
    """The flags of every job in a language, which come before its own."""
    return settings.TELERUN_FLAGS.get(language, [])
