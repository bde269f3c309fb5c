"""The database: kept statements, the SQLite backend, backups, bringing the schema up to date."""
