"""Addresses of pages, below `/api/v1/`."""

from django.urls import path

from pages.api.views import PageLinks

urlpatterns = [path("page-links", PageLinks.as_view(), name="page-links")]
