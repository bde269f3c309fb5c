"""App configuration of the foundation: it has templates and static files, and no models."""

from django.apps import AppConfig


class FoundationConfig(AppConfig):
    """Serving, the database, problems, parsers, the admin's base."""

    name = "foundation"
