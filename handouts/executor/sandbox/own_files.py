"""The files that the executor itself makes for its sandboxes, which get them as descriptors."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from handouts.executor.machine.libraries import DRIVER_STUB, Libraries
from handouts.executor.sandbox.call_log import check_call_log
from handouts.executor.sandbox.driver_files import driver_params
from handouts.executor.sandbox.first_process import compile_init
from handouts.executor.sandbox.system_calls import seccomp_filter


class OwnFiles:
    """By the names that stand for them among bwrap's arguments, such as "@init"."""

    def __init__(
        self, folder: Path, libraries: Libraries, log_calls: bool = False, compiler: str = ""
    ) -> None:
        """Makes them in `folder`. `libraries`: what was made of them before.
        `log_calls`: see `seccomp_filter`; `compiler`: see `compile_init`. Raises BadSetup."""
        if log_calls:
            check_call_log()
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = {
            "init": folder / "init",
            "seccomp": folder / "seccomp",
            "params": folder / "params",
            "stub": Path(libraries.folder) / DRIVER_STUB,
            "linked": Path(libraries.linked),
        }
        compile_init(self._paths["init"], compiler)
        self._paths["seccomp"].write_bytes(seccomp_filter(platform.machine(), log_calls))
        self._paths["params"].write_text(driver_params())

    def opened(self, box: Iterable[str]) -> dict[str, tuple[Path, int]]:
        """Those that bwrap's arguments name, to be read."""
        names = {argument[1:] for argument in box if argument.startswith("@")}
        return {name: (path, os.O_RDONLY) for name, path in self._paths.items() if name in names}
