"""Addresses of accounts, below `/api/v1/`."""

from django.urls import path

from accounts.api.views import ExecutorReport

urlpatterns = [path("executor", ExecutorReport.as_view(), name="executor")]
