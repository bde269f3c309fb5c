"""Administer users, executors and their tokens. The code is `manage.py telerun_auth`."""

from submission_queue import run

if __name__ == "__main__":
    run("telerun_auth")
