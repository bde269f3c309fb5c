"""What happened to accounts, for the audit log (jobs/audit)."""

from django.dispatch import Signal

# Sent with: actor (who did it, a name), action ("token-issued", …), name (whom it concerns).
# Also, as far as there is any: before and after (of a change of settings: values by field),
# about (what else there is to say, by its name), and address (the client's; absent: that of
# whoever acts).
account_changed = Signal()

# Staff named a host's platform otherwise. Sent with: actor, old, new.
platform_renamed = Signal()
