"""Pages of the admin site that are no model's: logging in, and the second factor."""
