"""How the host is left."""

from tests.gpu_check.checks.settings import nvidia_smi
from tests.gpu_check.host import Host, settings
from tests.gpu_check.table import check


@check("the GPUs' settings are as they were before", "a GPU")
def settings_kept(host: Host) -> str:
    host.close_course()
    changed = changes(host)
    if host.may_change_settings:
        for gpu, name, before, _ in changed:
            if name == "persistence_mode":  # an executor turns it on, and leaves it so
                nvidia_smi("-i", gpu, "-pm", "1" if before == "Enabled" else "0")
        changed = changes(host)
    told = "; ".join(f"{gpu}: {name} was {before} and is {now}" for gpu, name, before, now in changed)  # fmt: skip  # noqa: E501
    assert not changed, told
    return f"{len(host.settings)} settings"


def changes(host: Host) -> list[tuple[str, str, str, str]]:
    """GPU, name, value before and now."""
    now = settings(host.gpus)
    return [
        (*key, before, now.get(key, "not told"))
        for key, before in host.settings.items()
        if now.get(key) != before
    ]
