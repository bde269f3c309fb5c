"""Who may do what: the one table of the roles' permissions (accounts/roles.py, docs/adr/0033).

It stands at the roof, which knows the permissions of all packages. A page asks for a permission,
never for a role.
"""

from typing import Any

from accounts import roles
from accounts.roles import Role

PACKAGES = ("accounts", "courses", "jobs", "pages")

# Sees everything but tokens, which nobody sees; changes nothing.
_VIEWER = (
    "accounts.view_executor",
    "accounts.view_gpu",
    "accounts.view_platform",
    "accounts.view_user",
    "jobs.view_attempt",
    "jobs.view_auditentry",
    "jobs.view_bulkaction",
    "jobs.view_failuresseen",
    "jobs.view_job",
    "jobs.view_outputfile",
)
# Requeues and cancels, and says that failures were looked at.
_TA = (*_VIEWER, "jobs.change_job")
# Students in, out and back, their tokens and log-in codes; hosts; what runs in the background.
_HEAD_TA = (
    *_TA,
    "accounts.add_executor",
    "accounts.add_user",
    "accounts.change_executor",
    "accounts.change_platform",
    "accounts.change_user",
    "jobs.change_bulkaction",
    "jobs.export_auditentry",
)
TABLE: dict[Role, tuple[str, ...]] = {
    Role.VIEWER: _VIEWER,
    Role.TA: _TA,
    Role.HEAD_TA: _HEAD_TA,
}
# The owner has every permission of our packages. These are the owner's alone, with all that is in
# no other row: who is staff, passwords and the second factor; what cannot be undone.
OWNERS_ALONE = (
    "accounts.manage_staff",
    "accounts.purge_user",
    "accounts.delete_user",
    "accounts.delete_executor",
)


def keep(**_signal: Any) -> None:
    """Makes the groups what the table says. Receives Django's signal after migrations."""
    roles.keep({**TABLE, Role.OWNER: roles.known_permissions(PACKAGES)})


def keep_if_there() -> None:
    """The same when a server starts: a new version may have another table and no migration. The
    groups themselves are made by the migration alone, which looks for others of their names."""
    if roles.are_there():
        keep()
