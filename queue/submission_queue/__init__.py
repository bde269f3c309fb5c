"""The queue's commands: `cd queue && python3 -m submission_queue.main`, `.auth`, `.db`.

Each is one of Django's management commands under the name that operators know.
"""

import sys
from pathlib import Path


def run(command: str) -> None:
    """Runs `manage.py COMMAND` with this process's arguments."""
    # Appended, never put first: the folder above holds one called `queue`, like the
    # standard library's module.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from manage import main

    main([sys.argv[0], command, *sys.argv[1:]])
