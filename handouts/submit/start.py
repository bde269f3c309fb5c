# Ctrl-C ends this program at once until it has begun: there is nothing yet to be undone.
import os  # these, and no others: they take no time to import
import sys

if sys.version_info < (3, 8):  # noqa: UP036  (so all here is what Python 2 can read)
    about = (sys.executable or "python", sys.version_info[0], sys.version_info[1])
    sys.stderr.write("submit.py: it needs Python 3.8 or newer; %s is Python %d.%d.\n" % about)
    sys.exit(2)
import _signal


def end_at_once(*_):
    os.write(2, b"Interrupted.\n")
    os._exit(130)


if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, end_at_once)

# What is compiled is kept where Python keeps a module's code: compiling it each time would take a
# quarter of a student's wait for a short program.
import _imp
import marshal
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source

PROGRAM_LINE = 0  # where its text begins in this file


def code_of(program):
    """The compiled program, from the cache if it is there. Else it is put there, if that can be."""
    place = cache_from_source(os.path.splitext(__file__)[0] + "-program.py")
    about = "%s:%d:%d:%s" % (__file__, PROGRAM_LINE, sys.flags.optimize, program)
    key = MAGIC_NUMBER + _imp.source_hash(0, about.encode())
    try:
        with open(place, "rb") as file:
            if is_ours(file) and file.read(len(key)) == key:
                return marshal.load(file)  # noqa: S302  (as Python does with a module's code)
    except (OSError, EOFError, TypeError, ValueError):
        pass
    lines_before = "\n" * (PROGRAM_LINE - 1)
    code = compile(lines_before + program, __file__, "exec", dont_inherit=True)
    if not sys.dont_write_bytecode:
        keep(place, key + marshal.dumps(code))
    return code


def is_ours(file):
    """Whether somebody made the file who may change this program anyway."""
    return os.name != "posix" or os.fstat(file.fileno()).st_uid in (
        os.getuid(),
        os.stat(__file__).st_uid,
    )


def keep(place, data):
    """Makes the file, whole or not at all. Where that cannot be, nothing is lost but time."""
    part = "%s.%d" % (place, os.getpid())
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(part, "xb") as file:
            file.write(data)
        os.replace(part, place)
    except OSError:
        try:  # noqa: SIM105  (contextlib takes time to import)
            os.remove(part)
        except OSError:
            pass
