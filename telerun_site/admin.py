"""The admin site's own name and front page."""

from django.contrib import admin


class TelerunAdminSite(admin.AdminSite):
    """Where course staff run the course."""

    site_header = "Telerun"
    site_title = "Telerun"
    index_title = "Course staff"
    site_url = None
