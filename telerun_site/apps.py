"""App configuration of the site itself, and of its admin."""

from django.apps import AppConfig, apps
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class TelerunSiteConfig(AppConfig):
    """Holds the commands that run the server: telerun_serve, telerun_certificate."""

    name = "telerun_site"

    def ready(self) -> None:
        """The roles' groups are made after the migrations of the last app: all permissions are
        there."""
        from telerun_site import rights

        last = [app for app in apps.get_app_configs() if app.models_module is not None][-1]
        post_migrate.connect(rights.keep, sender=last)


class TelerunAdminConfig(AdminConfig):
    """The admin with Telerun's name on it."""

    default_site = "telerun_site.admin.TelerunAdminSite"
