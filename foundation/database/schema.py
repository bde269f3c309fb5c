"""The database's tables: made, or changed to what this version expects."""

import fcntl

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def bring_schema_up_to_date() -> None:
    """Makes the tables, or changes them to what this version expects. One process at a time."""
    if _is_current():
        return
    with open(settings.TELERUN_DATA_DIR / "migrate.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call_command("migrate", verbosity=0, interactive=False)


def _is_current() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())
