"""App configuration of the site itself, and of its admin."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class TelerunSiteConfig(AppConfig):
    """Holds the commands that run the server: telerun_serve, telerun_certificate."""

    name = "telerun_site"


class TelerunAdminConfig(AdminConfig):
    """The admin with Telerun's name on it."""

    default_site = "telerun_site.admin.TelerunAdminSite"
