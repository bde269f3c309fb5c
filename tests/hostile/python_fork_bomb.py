# ruff: noqa: ERA001, SIM105
# outcome: runtime_timeout
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
