"""Addresses of accounts, below `/api/v1/`."""

from django.urls import path

from accounts.api.views import ExecutorReport, Login, OwnUser

urlpatterns = [
    path("executor", ExecutorReport.as_view(), name="executor"),
    path("login", Login.as_view(), name="login"),
    path("user", OwnUser.as_view(), name="user"),
]
