"""A start as after a boot, when nothing has made the GPUs' device files yet.

The machine is not touched: the executor is started in a mount namespace of its own, where /dev
holds what every machine has and nothing of NVIDIA's. What makes the files there, the driver's own
nvidia-modprobe, is the same. That the driver's module is not loaded yet cannot be tried so; it is
never unloaded here, since other programs may have it.
"""

from pathlib import Path
from typing import Any

from tests.gpu_check.host import TIGHT, Host, is_root
from tests.gpu_check.table import NotTested, check
from tests.support.processes import run

NEW_DEV = """
set -e
new=$1; shift
mkdir -p "$new"
mount -t tmpfs -o mode=755 telerun-dev "$new"
for one in null zero full random urandom tty kmsg; do
    if [ -e /dev/$one ]; then cp -a /dev/$one "$new"/$one; fi
done
ln -s /proc/self/fd "$new"/fd
ln -s pts/ptmx "$new"/ptmx
mkdir "$new"/shm "$new"/pts
mount -t tmpfs -o mode=1777 telerun-shm "$new"/shm
if [ -d /dev/pts ]; then mount --rbind /dev/pts "$new"/pts; fi
mount --move "$new" /dev
exec "$@"
"""


def as_after_a_boot(folder: Path) -> tuple[Any, ...]:
    """What to start a command with so that it finds no device file of NVIDIA's."""
    return (
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-c", NEW_DEV, "sh", folder / "new-dev"),
    )


@check(
    "the executor starts where nothing has made the device files yet, as after a boot", "a GPU",
    120,
)  # fmt: skip
def boot(host: Host) -> str:
    if not is_root():
        raise NotTested("it needs root: sudo make gpu-check")
    folder = host.course.world.folder
    prefix = as_after_a_boot(folder)
    tried = run([*prefix, "sh", "-c", "ls /dev"])
    if tried.status:
        raise NotTested(f"no mount namespace can be made here: {tried.err.strip()[-150:]}")
    assert "nvidia" not in tried.out, f"there are {tried.out.split()}"
    course = host.new_course(1, prefix=as_after_a_boot(Path("/tmp/telerun-gpu-check")), **TIGHT)
    try:
        seen = course.check("runs")
        made = Path(f"/proc/{course.executor.pid}/root/dev").glob("nvidia*")
        return f"{seen}; made anew: {' '.join(sorted(path.name for path in made))}"
    finally:
        host.close_course()
