"""What courses teach beyond a plain kernel, with what it takes of the host."""

from tests.gpu_check.checks.memory import roomy
from tests.gpu_check.host import Host
from tests.gpu_check.table import check

OLDEST_PTX = 75  # for which every toolkit from 11.8 on still compiles


@check("cooperative launches", "a GPU")
def cooperates(host: Host) -> str:
    return roomy(host).check("cooperates")


@check("CUDA graphs", "a GPU")
def graphs(host: Host) -> str:
    return roomy(host).check("captures_a_graph")


@check("PTX of an older architecture, which the driver compiles when the program starts", "a GPU")
def just_in_time(host: Host) -> str:
    own = int("".join(filter(str.isdigit, host.architecture)))
    ptx = f"compute_{min(own, OLDEST_PTX)}"
    return roomy(host).check("compiled_at_its_start", flags=[f"-gencode=arch={ptx},code={ptx}"])


@check("kernels that start kernels", "a GPU")
def starts_kernels(host: Host) -> str:
    return roomy(host).check("starts_kernels")
