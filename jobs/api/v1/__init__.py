"""The API v1: what it takes (`inputs`), what it answers (`answers`), a view an address."""
