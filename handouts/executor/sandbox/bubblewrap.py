"""The sandbox: bubblewrap around the compiler and around the program."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.machine.device_files import device_nodes
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.toolchain import toolkit
from handouts.executor.results.archive import Found, unpack
from handouts.executor.sandbox.command import Command, environment
from handouts.executor.sandbox.first_process import compile_init
from handouts.executor.sandbox.self_test import SELF_TEST
from handouts.executor.sandbox.system_calls import seccomp_filter
from handouts.executor.sandbox.uids import Uids

LIMITS_FOR_INIT = (  # in the order of init.c's arguments
    "output_files",
    "output_file_bytes",
    "processes",
    "disk_bytes",
    "memory_bytes",
)
ISOLATION = [
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session"),
    *("--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
]


class Bubblewrap:
    """Runs commands in bwrap, which never runs as root: it runs as the executor's user, or, where
    that is root, as a uid of each slot's own.

    A command sees /usr and the CUDA toolkit, a /tmp of its own in memory, and its one GPU. Files
    go in and out as open descriptors, never by a path.
    """

    def __init__(self, options: argparse.Namespace, nvcc: str, folder: Path) -> None:
        """`folder`: for its own files. Raises BadSetup if bubblewrap or a compiler is missing."""
        self._bwrap = find_bwrap()
        self.uids = Uids(options.sandbox_uid_base) if os.geteuid() == 0 else None
        self.binds = folders_to_bind(nvcc, options.sandbox_bind)
        folder.mkdir(parents=True, exist_ok=True)
        self._init = folder / "init"
        self._filter = folder / "seccomp"
        compile_init(self._init)
        self._filter.write_bytes(seccomp_filter(platform.machine()))
        supported = options_of(self._bwrap)
        if b"--perms" not in supported:
            raise BadSetup(f"{self._bwrap} is too old: bubblewrap 0.5 or newer is needed.")
        self._sized = b"--size" in supported  # 0.7 and newer; else only memory is limited
        self._isolation = ISOLATION + (
            ["--disable-userns"] if b"--disable-userns" in supported else []
        )
        self._nodes: dict[str, list[str]] = {}

    def about(self) -> str:
        """For the log and for staff."""
        return "bubblewrap, a uid for each worker" if self.uids else "bubblewrap"

    def use(self, gpus: list[Gpu]) -> None:
        """Finds the device files of the GPUs. Raises BadSetup."""
        self._nodes = {gpu.uuid: device_nodes(gpu) for gpu in gpus}
        every = {node for nodes in self._nodes.values() for node in nodes}
        if gpus and "/dev/nvidia-uvm" not in every:
            raise BadSetup(
                "/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it (as root)."
            )

    @property
    def groups(self) -> list[int]:
        """The groups that the device files ask for, where not everybody may use them."""
        files = [Path(node).stat() for nodes in self._nodes.values() for node in nodes]
        return sorted({file.st_gid for file in files if file.st_mode & 0o006 != 0o006})

    def compiler(
        self, folder: Path, source: Path, nvcc: list[str], limits: dict[str, int]
    ) -> Command:
        """Compiles `source`, to `folder`/program."""
        files = {
            "source": (source, os.O_RDONLY),
            "product": (folder / "program", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        }
        argv = [*nvcc, "-o", "/tmp/program", "./" + source.name]
        setup = ["--perms", "0644", "--file", "@source", "/tmp/run/" + source.name]
        return self._command(argv, setup, files, nvcc[0], None, limits)

    def program(
        self,
        folder: Path,
        args: list[str],
        nvcc: str,
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
    ) -> Command:
        """Runs `folder`/program; what it leaves in ./out/ goes to the archive."""
        files = {
            "program": (folder / "program", os.O_RDONLY),
            "archive": (archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        }
        setup = ["--dir", "/tmp/run/out", "--perms", "0555", "--file", "@program", "/job/program"]
        return self._command(["/job/program", *args], setup, files, nvcc, gpu, limits)

    def outputs(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the program left in ./out/, as its archive says."""
        with archive.open("rb") as file:
            return list(unpack(file))

    def check(self, auth: Path, scratch: Path, nvcc: str, gpu: Gpu | None) -> Command:
        """A command that ends with CHECKED if the sandbox holds what it should."""
        argv = ["/bin/sh", "-c", SELF_TEST, "sh", str(auth), nvcc, str(scratch)]
        return self._command(argv, [], {}, nvcc, gpu, DEFAULT_LIMITS)

    def _command(
        self,
        argv: list[str],
        setup: list[str],
        files: dict[str, tuple[Path, int]],
        nvcc: str,
        gpu: Gpu | None,
        limits: dict[str, int],
    ) -> Command:
        box = [self._bwrap, *self._isolation]
        env = environment(nvcc, "/tmp/run", "/tmp", gpu.uuid if gpu else "")
        for name, value in env.items():
            box += ["--setenv", name, value]
        size = ["--size", str(limits["disk_bytes"])] if self._sized else []
        box += [*system_folders(), "--proc", "/proc", "--dev", "/dev", *self._devices(gpu)]
        box += [*size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp", "--dir", "/tmp/run"]
        for number, path in enumerate(self.binds):  # after /tmp, since they may lie there
            box += ["--ro-bind", f"/tmp/{number}" if self.uids else path, path]
        box += ["--perms", "0555", "--file", "@init", "/job/init", *setup]
        box += ["--chdir", "/tmp/run", "--remount-ro", "/", "--remount-ro", "/dev"]
        box += ["--seccomp", "@seccomp", "--", "/job/init", "@report"]
        box += ["@product" if "product" in files else "-1", "/tmp/program"]
        box += ["@archive" if "archive" in files else "-1"]
        box += [str(limits[name]) for name in LIMITS_FOR_INIT]
        files = {**files, "init": (self._init, os.O_RDONLY), "seccomp": (self._filter, os.O_RDONLY)}
        return Command(box, argv, "/", {}, files)

    def _devices(self, gpu: Gpu | None) -> list[str]:
        if gpu is None:
            return []
        binds = ["--ro-bind", "/sys", "/sys"]
        for node in self._nodes[gpu.uuid]:
            binds += ["--dev-bind", node, node]
        return binds


def find_bwrap() -> str:
    """The path of bubblewrap's program. Raises BadSetup."""
    found = shutil.which("bwrap")
    if not found:
        raise BadSetup(
            "bubblewrap is missing, and no program runs without it: apt install bubblewrap "
            "(--sandbox none would run programs as this user)."
        )
    return os.path.abspath(found)


def options_of(bwrap: str) -> bytes:
    """What it says of its own options."""
    return subprocess.run(
        [bwrap, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def folders_to_bind(nvcc: str, more: list[Path]) -> list[str]:
    """What commands see beside the system's own folders. Raises BadSetup."""
    resolved = [path.resolve() for path in more]
    missing = [path for path in resolved if not path.exists()]
    if missing:
        raise BadSetup(f"There is no {missing[0]} to show in the sandbox.")
    folders = [*([toolkit(nvcc)] if nvcc else []), *resolved]
    return [str(path) for path in folders if Path("/usr") not in [path, *path.parents]]


def system_folders() -> list[str]:
    """bwrap's arguments for /usr and what belongs to it."""
    binds = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            binds += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            binds += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/nvcc.profile"):
        binds += ["--ro-bind-try", name, name]
    return binds
