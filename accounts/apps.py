"""App configuration of accounts: who may talk to the queue."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, executors and their tokens. Knows nothing of jobs."""

    name = "accounts"

    def ready(self) -> None:
        """Registers what the server must know of log-ins."""
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from accounts import logins, sessions
        from foundation.serving import pages

        user_logged_in.connect(sessions.note_log_in)
        user_logged_in.connect(logins.note_log_in)
        user_logged_out.connect(logins.note_log_out)
        pages.has_logged_in.register(sessions.has_logged_in)
