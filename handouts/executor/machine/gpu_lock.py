"""One executor a GPU, by a lock that only those who may run executors can take."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from handouts.client.errors import BadSetup
from handouts.executor.base.say import say
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.pci import text_of

# Of root, and of a group where root lends it to one. docs/adr/0019 says who can take what.
LOCK_FOLDER = Path("/run/telerun")
USER_FOLDERS = Path("/run/user")


def lock_gpu(gpu: Gpu) -> Any:
    """Takes a GPU for this process until it ends, even by SIGKILL; the open file that holds it.

    Raises BadSetup if another executor has it, or if others could take it at will.
    """
    folder = lock_folder()
    name = "gpu-" + re.sub(r"[^A-Za-z0-9-]", "_", gpu.uuid)
    lock = open_lock(folder / name)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder != LOCK_FOLDER and is_locked(LOCK_FOLDER / name):
            raise BlockingIOError
    except BlockingIOError:
        lock.close()
        raise BadSetup(
            f"Another executor on this machine has GPU {gpu.index} ({gpu.uuid}). "
            "Set CUDA_VISIBLE_DEVICES to give each its own."
        ) from None
    except OSError as error:  # as on Lustre and NFS that were mounted without locks
        lock.close()
        raise BadSetup(
            f"The file system of {folder} has no locks ({error.strerror}), so the GPUs' locks "
            "cannot be there: set XDG_RUNTIME_DIR to a folder of yours on this machine's own disk."
        ) from None
    say_of_others(gpu, folder, name)
    return lock


def open_lock(path: Path) -> Any:
    """Raises BadSetup if it is not a plain file of this folder that can be opened."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(str(path), flags, 0o660 if is_shared(path.parent) else 0o600)
    except OSError as error:
        raise BadSetup(
            f"The GPU's lock {path} cannot be opened: {os.strerror(error.errno or 0)}."
        ) from None
    lock = os.fdopen(descriptor, "r+")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o006:
        lock.close()
        raise BadSetup(f"Others can take the GPU's lock {path}: remove it, and start again.")
    if is_shared(path.parent) and status.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o660)  # whatever the umask
    return lock


def is_shared(folder: Path) -> bool:
    """Whether a group may have locks there."""
    return bool(folder.stat().st_mode & 0o020)


def lock_folder() -> Path:
    """Where this user's executors have their locks. Raises BadSetup if others can write there."""
    me = os.geteuid()
    if me == 0:
        return own_folder(LOCK_FOLDER, 0o755)
    if os.access(str(LOCK_FOLDER), os.W_OK | os.X_OK):
        return own_folder(LOCK_FOLDER, 0o755)
    given = os.environ.get("XDG_RUNTIME_DIR")
    runtime = Path(given) if given else USER_FOLDERS / str(me)
    if os.access(str(runtime), os.W_OK | os.X_OK):
        return own_folder(runtime / "telerun", 0o700)
    return own_folder(Path(os.path.expanduser("~")).absolute() / ".cache/telerun", 0o700)


def own_folder(folder: Path, mode: int) -> Path:
    """The folder, made if need be. Raises BadSetup unless it is root's or this user's, and closed
    to all others; a group may write in one of root's."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=mode, parents=True)
            folder.chmod(mode)  # whatever the umask
        status = folder.lstat()
    except OSError as error:
        raise BadSetup(
            f"The folder for the GPUs' locks, {folder}, cannot be made: {error.strerror}."
        ) from None
    is_shared_by_root = status.st_uid == 0 and folder == LOCK_FOLDER
    open_to_others = 0o002 if is_shared_by_root else 0o022
    is_ours = is_shared_by_root or status.st_uid == os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or not is_ours or status.st_mode & open_to_others:
        raise BadSetup(
            f"{folder} is no folder that only its owner can write in, so others could take the "
            f"GPUs' locks: rm -r {folder}, and start again."
        )
    return folder


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock, which a user who may not open the file can see too, in
    /proc/locks (proc(5))."""
    try:
        status = path.stat()
    except OSError:
        return False
    device = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    lines = [line.split() for line in text_of(Path("/proc/locks")).splitlines()]
    held = [line for line in lines if len(line) > 5 and line[1] == "FLOCK"]
    return any(lock_place(line[5]) == device for line in held)


def lock_place(text: str) -> tuple[int, ...]:
    """Device and inode, from "00:1b:4711"."""
    major, minor, inode = text.split(":")
    return int(major, 16), int(minor, 16), int(inode)


def say_of_others(gpu: Gpu, folder: Path, name: str) -> None:
    """Root does not yield to users, who could hold a lock of their own for ever: it says so."""
    if os.geteuid() != 0 or folder != LOCK_FOLDER:
        return
    for path in sorted(USER_FOLDERS.glob(f"*/telerun/{name}")):
        if is_locked(path):
            say(
                f"User {path.parent.parent.name} runs an executor with GPU {gpu.index} too, in "
                f"spite of this one: stop it. Until then its programs quarantine the GPU."
            )
