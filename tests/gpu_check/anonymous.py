"""Raw answers without what tells whose machine it was.

The same UUID, serial number, process or name becomes the same stand-in wherever it is, so that what
refers to each other still does.
"""

import re
import socket
from collections.abc import Callable, Iterable

_HEX = "[0-9a-fA-F]"
_UUID = re.compile(rf"\b{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\b")
# As XML and as lines: <serial>165...</serial>, "Serial Number                         : 165...".
_SECRET = r"(?:chassis_|board_|gpu_)?serial(?:_number)?|pdi|gpu_pdi|gpu_fabric_guid|host_?name"
_SECRET_TAG = re.compile(rf"(<(?:{_SECRET})>)([^<]+)(</)", re.IGNORECASE)
_SECRET_LINE = re.compile(
    r"^(\s*(?:[\w ]*Serial Number|[\w ]*PDI|[\w ]*GUID|Host ?[Nn]ame)\s*: )(.+)$", re.MULTILINE
)
_PID_TAG = re.compile(r"(<pid>)(\d+)(</pid>)")
_PID_LINE = re.compile(r"^(\s*Process ID\s*: )(\d+)$", re.MULTILINE)
_NAME_TAG = re.compile(r"(<process_name>)([^<]+)(</process_name>)")
_NAME_LINE = re.compile(r"^(\s*Name\s*: )(.*/.*)$", re.MULTILINE)
_UNTOLD = re.compile(r"N/A|\[?(Not |Unknown|Insufficient).*|0+|0x0+")


class Anonymous:
    """Remembers what stands for what, over all the texts of one machine."""

    def __init__(self, names: Iterable[str] | None = None) -> None:
        """`names`: of the host and its users; this machine's own if there are none."""
        host = socket.gethostname()
        given = [host, host.partition(".")[0], socket.getfqdn()] if names is None else names
        self._names = sorted({name for name in given if len(name) > 2}, key=len, reverse=True)
        self._stand_ins: dict[tuple[str, str], str] = {}

    def text(self, text: str) -> str:
        """The same, anonymous."""
        text = _UUID.sub(lambda found: self._uuid(found[0]), text)
        for pattern in (_SECRET_TAG, _SECRET_LINE):
            text = pattern.sub(self._instead("serial", lambda n: f"{1000000000000 + n}"), text)
        for pattern in (_PID_TAG, _PID_LINE):
            text = pattern.sub(self._instead("pid", lambda n: str(1000 + n)), text)
        for pattern in (_NAME_TAG, _NAME_LINE):
            text = pattern.sub(self._instead("program", lambda n: f"/home/user/program{n}"), text)
        for name in self._names:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "host", text)
        return text

    def apps(self, text: str) -> str:
        """The rows of --query-compute-apps=gpu_uuid,pid,process_name."""
        rows = []
        for line in self.text(text).splitlines():
            cells = [cell.strip() for cell in line.split(",", 2)]
            if len(cells) == 3 and cells[1].isdigit():
                cells[1] = self._stand_in("pid", cells[1], lambda n: str(1000 + n))
                cells[2] = self._stand_in("program", cells[2], lambda n: f"/home/user/program{n}")
            rows.append(", ".join(cells) if len(cells) == 3 else line)
        return "".join(f"{row}\n" for row in rows)

    def _uuid(self, uuid: str) -> str:
        if set(uuid) <= set("0-"):
            return uuid
        return self._stand_in("uuid", uuid.lower(), lambda n: f"{n:08x}-0000-4000-8000-{n:012x}")

    def _instead(self, kind: str, make: Callable[[int], str]) -> Callable[[re.Match[str]], str]:
        """A replacement of what a pattern has as its second group."""

        def replaced(found: re.Match[str]) -> str:
            if _UNTOLD.fullmatch(found[2].strip()):
                return found[0]
            rest = found[0][found.end(2) - found.start() :]
            return found[1] + self._stand_in(kind, found[2], make) + rest

        return replaced

    def _stand_in(self, kind: str, value: str, make: Callable[[int], str]) -> str:
        count = sum(1 for known, _ in self._stand_ins if known == kind)
        return self._stand_ins.setdefault((kind, value), make(count + 1))
