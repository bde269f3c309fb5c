"""How many bytes are kept of each user: a counter a user, changed with what it counts (ADR 37)."""
