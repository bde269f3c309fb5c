"""App configuration of accounts: who may talk to the queue."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, executors and their tokens. Knows nothing of jobs."""

    name = "accounts"
