"""The bare server: the queue's gunicorn, its settings and its certificate, and no queue in it.

`python -m bench.bare PORT`: it reads a request's body and answers with a job's worth of JSON.
"""

from foundation.serving import greenlets

greenlets.patch()

import json  # noqa: E402  (as the queue does: after that)
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from typing import Any  # noqa: E402

from telerun_site.server import Server  # noqa: E402

ANSWER = json.dumps({"id": 1, "state": "queued", "filler": "x" * 400}).encode()
HEADERS = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(ANSWER))),
    ("ETag", '"1-1"'),
]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", HEADERS)
    return [ANSWER]


class BareServer(Server):
    """Processes, greenlets, TLS and all as the queue has them."""

    def load_config(self) -> None:
        super().load_config()
        self.cfg.set("post_worker_init", lambda worker: None)  # no sweeper

    def load(self) -> Any:
        return application


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")
    BareServer("127.0.0.1", int(sys.argv[1])).run()
