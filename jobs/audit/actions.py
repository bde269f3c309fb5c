"""What an audit entry may say that was done: the choices of the list's filter.

A fixed list: which there are in the table would cost a look at every entry.
"""

from jobs.states import Event

ACTIONS = (
    *Event.values,
    "platform-changed",
    "jobs-deleted",
    "texts-dropped",
    "files-removed",
    "logs-removed",
    "bulk-action-begun",
    "bulk-action-stopped",
    "failures-seen",
    "logged-in",
    "logged-out",
    "login-failed",
    "login-limit-reached",
    "user-created",
    "user-changed",
    "user-deleted",
    "user-purged",
    "staff-created",
    "role-changed",
    "second-factor-added",
    "second-factor-removed",
    "second-factor-policy-changed",
    "recovery-codes-made",
    "recovery-code-used",
    "token-issued",
    "token-revoked",
    "login-code-made",
    "login-code-redeemed",
    "login-code-used",
    "executor-created",
    "executor-changed",
    "executor-deleted",
    "executor-enabled",
    "executor-disabled",
    "audit-exported",
)
