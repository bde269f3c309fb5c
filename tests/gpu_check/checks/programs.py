"""CUDA programs in the sandbox, on one GPU."""

from tests.gpu_check.course import PROGRAMS
from tests.gpu_check.host import TIGHT, Host
from tests.gpu_check.table import check


@check(
    "CUDA starts and computes in the sandbox under the default limits",
    "a GPU",
)
def runs(host: Host) -> str:
    try:
        return host.new_course(1).check("runs")
    except AssertionError as error:
        if not with_all_of_sys(host):
            raise
        raise AssertionError(
            f"{error}; but with {SYS} it does: CUDA reads more of /sys here than is shown to it"
        ) from None


SYS = "--sandbox-sys whole"


def with_all_of_sys(host: Host) -> bool:
    """Whether CUDA starts where programs see all of /sys."""
    option = SYS.split()
    if host.is_without_sandbox or not host.executor_knows(option[0]):
        return False
    try:
        host.new_course(1, *option).check("runs")
    except AssertionError:
        return False
    return True


@check("and under tight limits on memory, processes and disk", "a GPU")
def runs_tightly(host: Host) -> str:
    tight = f"{TIGHT['TELERUN_MEMORY_BYTES'] >> 20} MiB, {TIGHT['TELERUN_PROCESSES']} processes"
    return f"{host.course.check('runs')}, with {tight}"


@check(
    "each result is stamped with its GPU, clocks and temperature",
    "a GPU",
)
def stamps(host: Host) -> str:
    gpu = host.course.run(PROGRAMS / "runs.cu")["result"]["details"]["gpu"]
    wanted = host.gpus[0]
    assert (gpu["uuid"], gpu["name"], gpu["driver"]) == (wanted.uuid, wanted.name, wanted.driver)
    unknown = [k for k in ("sm_clock_mhz", "temperature_c", "throttled") if gpu[k] is None]
    assert not unknown or wanted.whole, f"nvidia-smi does not tell: {unknown}"
    return f"{gpu['sm_clock_mhz']} MHz, {gpu['temperature_c']} °C, throttled by {gpu['throttled']}"


@check("a program sees one GPU and one device file, whatever it sets", "a GPU", in_sandbox=True)
def one_gpu(host: Host) -> str:
    return host.course.check("lists_devices")


@check("the last job's memory on the GPU cannot be read", "a GPU", 120)
def memory_is_clean(host: Host) -> str:
    written = host.course.check("writes_a_pattern")
    return f"{written}; then {host.course.check('reads_memory')}"


@check("all of its memory can be taken, and is there again for the next job", "a GPU", 120)
def all_memory(host: Host) -> str:
    return host.course.check_after("takes_all_memory")


@check("a kernel's bad address is its program's failure, not the GPU's", "a GPU")
def bad_address(host: Host) -> str:
    return host.course.check_after("bad_address")


@check("what kernels print is in the log", "a GPU")
def kernel_prints(host: Host) -> str:
    return host.course.check("prints_in_a_kernel")


@check("kernels that print without end are stopped", "a GPU")
def kernel_floods(host: Host) -> str:
    host.course.check_after("prints_without_end")
    return "output_exceeded"
