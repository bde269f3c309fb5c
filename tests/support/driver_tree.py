"""A stub of /sys and /proc as on a host with GPUs: two of them, one of which is split (MIG).

Names and forms are those of the kernel's documentation (sysfs-bus-pci, sysfs-devices-node) and of
the driver's (its README, and the MIG user guide).
"""

from pathlib import Path
from typing import Any

from tests.support.scripts import load

executor = load("executor")

GPU = executor.Gpu("0", "GPU-aaaa", "Stub", "sm_90", "535.261.03", bus="00000000:17:00.0")
HALF = GPU._replace(index="0:1", uuid="MIG-1", whole="GPU-aaaa", instance="gi2/ci0")
OTHER = GPU._replace(index="1", uuid="GPU-bbbb", bus="00010000:E1:00.0")
PARAMS = "ResmanDebugLevel: 4294967295\nRmLogonRC: 1\nModifyDeviceFiles: 1\nDeviceFileMode: 438\n"
FILES: dict[str, Any] = {
    "sys/devices/system/cpu/online": "0-63\n",
    "sys/devices/system/node/node0/cpumap": "ffffffff\n",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 1 kB\n",
    "sys/devices/system/memory/block_size_bytes": "8000000\n",
    "sys/module/nvidia/initstate": "live\n",
    "sys/module/nvidia/version": "535.261.03\n",
    "sys/module/nvidia/parameters/NVreg_DeviceFileMode": "438\n",
    "sys/module/nvidia_uvm/initstate": "live\n",
    "sys/module/ext4/initstate": "live\n",
    "sys/class/net/eth0/address": "02:00:00:00:00:01\n",
    "sys/class/dmi/id/board_name": "stub\n",
    "sys/fs/cgroup/system.slice/cgroup.procs": "1\n",
    "sys/kernel/debug/x": "x\n",
    "sys/block/sda/size": "1\n",
    "proc/driver/rtc": "rtc_time: 00:00:00\n",
    "proc/driver/nvidia/params": PARAMS,
    "proc/driver/nvidia/registry": 'Binary: ""\n',
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03\n",
    "proc/driver/nvidia/capabilities/mig/config": "DeviceFileMinor: 1\nDeviceFileMode: 256\n",
    "proc/driver/nvidia-nvlink/permissions": "x\n",
}
DEVICES = {  # by address: what is above it, UUID, minor number
    "0000:17:00.0": ("pci0000:16/0000:16:01.0", "GPU-aaaa", 3),
    "10000:e1:00.0": ("pci10000:e0/10000:e0:06.0", "GPU-bbbb", 0),
}


def stub_host(root: Path) -> None:
    """Makes it in a folder."""
    files = dict(FILES)
    for address, (above, uuid, minor) in DEVICES.items():
        for bridge in (f"sys/devices/{above}", f"sys/devices/{above}/{address}"):
            files[bridge + "/config"] = "\0" * 64
            files[bridge + "/vendor"] = "0x10de\n"
            files[bridge + "/numa_node"] = "1\n"
        files[f"proc/driver/nvidia/gpus/{address}/information"] = (
            f"Model: \t\t Stub\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
        )
        files[f"proc/driver/nvidia/gpus/{address}/numa_status"] = "Node: -1\nStatus: disabled\n"
    for place, number in (("gi1", 12), ("gi1/ci0", 13), ("gi2", 21), ("gi2/ci0", 22)):
        files[f"proc/driver/nvidia/capabilities/gpu3/mig/{place}/access"] = (
            f"DeviceFileMinor: {number}\nDeviceFileMode: 292\n"
        )
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    links = root / "sys/bus/pci/devices"
    links.mkdir(parents=True)
    for address, (above, _, _) in DEVICES.items():
        for name, below in ((address, f"{above}/{address}"), (above.split("/")[1], above)):
            (links / name).symlink_to(f"../../../devices/{below}")
    for folder in [root, *root.rglob("*")]:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
