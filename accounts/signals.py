"""What happened to accounts, for whoever keeps the record (jobs/audit.py does)."""

from django.dispatch import Signal

# Sent with: actor (who did it, a name), action ("token-issued", …), name (whom it concerns).
account_changed = Signal()
