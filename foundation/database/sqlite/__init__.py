"""Django's SQLite backend for a server of many threads."""
