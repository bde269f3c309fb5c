#!/usr/bin/env python3
"""Django's command line for Telerun."""

import os
import sys


def main(argv: list[str]) -> None:
    """Runs `argv`, a command line; ends the process with a line on what is not set up."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")
    try:
        if argv[1:2] == ["telerun_serve"]:
            from foundation.serving import greenlets

            greenlets.patch()  # before anything that waits is imported
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit(
            "Django is not installed for this Python. Run 'make venv' in the project's root and "
            "'. .venv/bin/activate', or install requirements.txt."
        )
    try:
        execute_from_command_line(argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Telerun is not set up: {error}")


if __name__ == "__main__":
    main(sys.argv)
