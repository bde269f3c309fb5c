"""The GPUs' own settings, which belong to the machine: changed only if somebody allows it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gpu_check.checks.gate import new_gate
from tests.gpu_check.host import Host, executor, is_root
from tests.gpu_check.table import NotHere, NotTested, check

FIRST_LOOK_SECONDS = 60  # what the executor allows a driver that has to start first
IDLE_SECONDS = 3  # after which a driver that nobody uses has stopped


@check(
    "a look at a GPU with persistence mode off is slow, and passes",
    "a GPU",
    150,
)
def persistence_off(host: Host) -> str:
    host.close_course()
    gpu = host.gpus[0].whole or host.gpus[0].uuid
    mode = setting(gpu, "persistence_mode")
    if mode not in ("Enabled", "Disabled"):
        raise NotHere(f"nvidia-smi says of persistence mode: {mode}")
    if mode == "Disabled":
        return looks(host)
    if not host.may_change_settings:
        raise NotTested("--change-settings was not given, and persistence mode is on")
    if not is_root():
        raise NotTested("only root may turn persistence mode off")
    with without_persistence(gpu):
        return looks(host)


def looks(host: Host) -> str:
    """How long three take, each after a while in which nobody used the driver."""
    took = []
    watched = new_gate(host)
    for _ in range(3):
        time.sleep(IDLE_SECONDS)
        began = time.monotonic()
        try:
            watched.look()
        except executor.SmiSlow as slow:
            raise AssertionError(f"{slow}: this GPU needs persistence mode") from None
        took.append(time.monotonic() - began)
    assert max(took) < FIRST_LOOK_SECONDS
    return "persistence mode off: " + ", ".join(f"{seconds:.2f} s" for seconds in took)


@contextmanager
def without_persistence(gpu: str) -> Iterator[None]:
    """Turns it off, and on again whatever happens."""
    try:
        done = nvidia_smi("-i", gpu, "-pm", "0")
        if setting(gpu, "persistence_mode") != "Disabled":
            raise NotHere(f"persistence mode cannot be turned off: {done[-150:]}")
        yield
    finally:
        nvidia_smi("-i", gpu, "-pm", "1")


def setting(gpu: str, name: str) -> str:
    """What nvidia-smi says of it."""
    return nvidia_smi("-i", gpu, f"--query-gpu={name}", "--format=csv,noheader").strip()


def nvidia_smi(*arguments: str) -> str:
    """All that it prints, on one line."""
    done = subprocess.run(
        ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return " ".join((done.stdout + done.stderr).split())
