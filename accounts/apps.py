"""App configuration of accounts: who may talk to the queue."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, executors and their tokens. Knows nothing of jobs."""

    name = "accounts"

    def ready(self) -> None:
        """Registers what the server must know of log-ins."""
        from accounts.sessions import has_logged_in
        from foundation.serving import pages

        pages.has_logged_in.register(has_logged_in)
