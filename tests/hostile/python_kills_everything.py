# ruff: noqa: ERA001, SIM105
# All that it may signal, its own sandbox's first process too; what it leaves ends with it.
# outcome: succeeded
# log: "alive\n"
import os
import signal
import subprocess
import sys

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], start_new_session=True)
for pid in [1, os.getppid()]:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        try:
            os.kill(pid, number)
        except OSError:
            pass
print("alive")
