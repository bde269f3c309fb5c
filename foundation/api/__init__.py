"""What the addresses of the API have in common, whichever app they belong to."""
