"""Run the queue's HTTPS server. The code is `manage.py telerun_serve`."""

from submission_queue import run

if __name__ == "__main__":
    run("telerun_serve")
