"""What happened to accounts, for the audit log (jobs/audit)."""

from django.dispatch import Signal

# Sent with: actor (who did it, a name), action ("token-issued", …), name (whom it concerns),
# and for a change by hand changed (the names of the fields).
account_changed = Signal()

# Staff named a host's platform otherwise. Sent with: actor, old, new.
platform_renamed = Signal()
