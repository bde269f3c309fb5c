"""App configuration of courses."""

from django.apps import AppConfig


class CoursesConfig(AppConfig):
    """What a course sets for the jobs of its students. Knows nothing of jobs."""

    name = "courses"

    def ready(self) -> None:
        from courses import checks  # noqa: F401  (registers itself)
