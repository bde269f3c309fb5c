"""The page of one job in the admin, a module a part of it."""
