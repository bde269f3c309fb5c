"""Django's PostgreSQL backend, with connections of their own for the server's native threads.

psycopg's pool is the hub's: what it waits for, and with, are greenlets. A native thread must not
use it, and keeps a few connections beside it.
"""

import contextlib
from collections import deque
from typing import Any

from django.db.backends.postgresql import base

from foundation.serving import greenlets

_kept: "deque[Any]" = deque(maxlen=greenlets.THREADS)  # idle, of native threads


class DatabaseWrapper(base.DatabaseWrapper):
    """One greenlet's or thread's connection, as Django has them."""

    @property
    def pool(self) -> Any:
        return None if self._is_beside_the_hub() else super().pool

    @staticmethod
    def _is_beside_the_hub() -> bool:
        return greenlets.are_used() and greenlets.in_native_thread()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self._is_beside_the_hub():
            with contextlib.suppress(IndexError):
                while not _is_usable(kept := _kept.pop()):
                    kept.close()
                return kept
        return super().get_new_connection(conn_params)

    def _close(self) -> None:
        connection = self.connection
        may_be_kept = self._is_beside_the_hub() and not self.errors_occurred
        if may_be_kept and connection is not None and len(_kept) < greenlets.THREADS:
            _kept.append(connection)
        else:
            super()._close()


def _is_usable(connection: Any) -> bool:
    """Whether it is still one, after a restart of its server, and in no transaction."""
    try:
        connection.execute("SELECT 1")
    except base.Database.Error:
        return False
    return connection.info.transaction_status == base.Database.pq.TransactionStatus.IDLE
