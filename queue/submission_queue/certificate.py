"""Make a self-signed certificate. The code is `manage.py telerun_certificate`."""

from submission_queue import run

if __name__ == "__main__":
    run("telerun_certificate")
