"""App configuration of pages."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """The students' page, and who is logged in to it."""

    name = "pages"
