"""What staff do to many jobs at once, in the background (docs/adr/0028)."""
