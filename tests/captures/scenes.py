"""What is captured. A scene is a line of shell in a student's folder, and when to look at it.

    Scene("name", "python3 submit.py prog.cu", Seen("step 3"), needs="--option")

Without a moment to look at, a scene is its command run to its end. Programs are in `programs/`.
One whose option `submit.py` does not have is left out, and said so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.captures.stage import Stage

CTRL_C = b"\x03"
SUBMIT = "python3 submit.py"


class Seen(NamedTuple):
    """Until these words stand on the screen."""

    words: str


class Press(NamedTuple):
    """A key."""

    keys: bytes


class Do(NamedTuple):
    """Something that happens elsewhere."""

    what: Callable[[Stage], Any]


class End(NamedTuple):
    """Until the command is over."""


class Scene:
    """A picture of a terminal."""

    def __init__(
        self,
        name: str,
        line: str,
        *steps: Any,
        columns: int = 80,
        rows: int = 30,
        needs: str = "",
        others: int = 0,
        first: tuple[tuple[str, ...], ...] = (),
        is_kept: bool = False,
    ) -> None:
        """`others`: so many jobs of others come before. `first`: command lines that Alice runs
        before. `is_kept`: the picture belongs in docs/images."""
        self.name = name
        self.line = line
        self.steps = steps or (End(),)
        self.columns = columns
        self.rows = rows
        self.needs = needs
        self.others = others
        self.first = first
        self.is_kept = is_kept


def both(name: str, line: str, *steps: Any, **more: Any) -> list[Scene]:
    """At 80 columns and at 40."""
    return [
        Scene(name, line, *steps, **more),
        Scene(f"{name}-narrow", line, *steps, **{**more, "columns": 40, "is_kept": False}),
    ]


WAITS = Seen("ob ")  # the line that says what it waits for, or that it is submitted
SCENES = [
    # Waiting and the result
    Scene("success", f"{SUBMIT} hello.cu", is_kept=True),
    Scene("cached", f"{SUBMIT} hello.cu", first=(("hello.cu",),)),
    *both("waiting", f"{SUBMIT} hello.cu", Seen("queue"), others=6, is_kept=True),
    *both("waiting-for-a-gpu", f"{SUBMIT} hello.cu", Seen("GPU"), others=1),
    Scene("no-host", f"{SUBMIT} hello.cu --platform cpu", Seen("host")),
    Scene("unknown-platform", f"{SUBMIT} hello.cu --platform h1000"),
    *both("live", f"{SUBMIT} steps.cu", Seen("step 3"), is_kept=True),
    *both("progress", f"{SUBMIT} progress.cu"),
    Scene("progress-half-way", f"{SUBMIT} progress.cu", Seen("50 %")),
    # Each kind of failure
    *both("compile-error", f"{SUBMIT} src/broken.cu", is_kept=True),
    Scene("crash", f"{SUBMIT} crash.cu", is_kept=True),
    Scene("abort", f"{SUBMIT} abort.cu"),
    Scene("time-out", f"{SUBMIT} forever.cu"),
    Scene("memory", f"{SUBMIT} hungry.cu"),
    *both("illegal-address", f"{SUBMIT} illegal.cu"),
    Scene("python-failure", f"{SUBMIT} plots.py --platform cuda"),
    Scene("hostile-output", f"{SUBMIT} hostile.cu"),
    Scene("files", f"{SUBMIT} files.cu"),
    Scene("much-output", f"{SUBMIT} flood.cu | tail -3"),
    # Plain
    Scene("pipe", f"{SUBMIT} steps.cu 2>&1 | cat"),
    Scene("no-color", f"NO_COLOR=1 {SUBMIT} steps.cu", Seen("step 3")),
    Scene("dumb", f"TERM=dumb {SUBMIT} steps.cu"),
    # Ctrl-C, cancelled, replaced
    Scene("ctrl-c-once", f"{SUBMIT} steps.cu", Seen("step 2"), Press(CTRL_C), Seen("step 4")),
    Scene("ctrl-c-twice", f"{SUBMIT} steps.cu", Seen("step 2"), Press(CTRL_C), Seen("^C"),
          Press(CTRL_C), End()),
    Scene("ctrl-c-waiting", f"{SUBMIT} steps.cu", WAITS, Press(CTRL_C), Seen("^C"),
          Press(CTRL_C), End(), others=3),
    Scene("cancelled", f"{SUBMIT} steps.cu", Seen("step 2"), Do(Stage.cancel_newest), End()),
    Scene("replaced", f"{SUBMIT} steps.cu", WAITS, Do(Stage.submit_better), End(), others=3),
    Scene("one-waits-already", f"{SUBMIT} hello.cu", first=(("steps.cu", "--detach"),), others=3,
          needs="--detach"),
    # More than submitting
    Scene("help", f"{SUBMIT} --help", rows=70),
    Scene("help-narrow", f"{SUBMIT} --help", rows=90, columns=60),
    Scene("nothing", f"{SUBMIT}"),
    Scene("list", f"{SUBMIT} --list", needs="--list", is_kept=True),
    Scene("list-narrow", f"{SUBMIT} --list", needs="--list", columns=40),
    Scene("list-piped", f"{SUBMIT} --list | cat", needs="--list"),
    Scene("list-meanwhile", f"{SUBMIT} --list", needs="--list", others=2,
          first=(("steps.cu", "--detach"),)),
    *both("status", f"{SUBMIT} --status", needs="--status", others=2, is_kept=True),
    Scene("compare", f"{SUBMIT} --compare $(({{job}} - 2)) $(({{job}} - 1))", needs="--compare",
          first=(("tick.cu", "2"), ("tick.cu", "1.3")), is_kept=True),
    Scene("detach", f"{SUBMIT} steps.cu --detach", needs="--detach"),
    Scene("attach-last", f"{SUBMIT} --attach last", needs="last", first=(("hello.cu",),)),
    Scene("quiet", f"{SUBMIT} hello.cu --quiet", needs="--quiet"),
    Scene("json", f"{SUBMIT} hello.cu --json", needs="--json"),
    Scene("version", f"{SUBMIT} --version", needs="--version"),
    *both("doctor", f"{SUBMIT} --doctor", needs="--doctor", is_kept=True),
    Scene("doctor-ill", f"mv server.cert away; chmod 644 auth.json; {SUBMIT} --doctor; "
          "mv away server.cert; chmod 600 auth.json", needs="--doctor"),
    Scene("no-certificate", f"mv server.cert away; {SUBMIT} hello.cu; mv away server.cert"),
    Scene("login", f"{SUBMIT} --login", Seen(":"), needs="--login"),
    Scene("typos", f"{SUBMIT} list; {SUBMIT} --atach 3; {SUBMIT} --attach -1; {SUBMIT} hallo.cu"),
]  # fmt: skip
