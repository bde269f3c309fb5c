"""Administer the job queue's database. The code is `manage.py telerun_db`."""

from submission_queue import run

if __name__ == "__main__":
    run("telerun_db")
