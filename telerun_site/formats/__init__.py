"""How the admin shows times."""
