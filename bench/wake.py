"""Row B's floor: waking one of N sleeping threads. `python -m bench.wake N` prints JSON."""

import json
import sys
import threading
import time

from bench.measure import percentile

WAKES = 300
PAUSE_SECONDS = 0.005


def wake(threads: int) -> list[float]:
    """Milliseconds from waking a thread to its running, many times."""
    events = [threading.Event() for _ in range(threads)]
    woken: list[float] = [0.0] * threads
    done = threading.Semaphore(0)

    def sleep(place: int) -> None:
        while True:
            events[place].wait()
            woken[place] = time.perf_counter()
            events[place].clear()
            done.release()

    threading.stack_size(256 * 1024)
    for place in range(threads):
        threading.Thread(target=sleep, args=(place,), daemon=True).start()
    delays = []
    for number in range(WAKES):
        time.sleep(PAUSE_SECONDS)
        place = number * 7919 % threads
        began = time.perf_counter()
        events[place].set()
        done.acquire()
        delays.append(1000 * (woken[place] - began))
    return delays


if __name__ == "__main__":
    delays = wake(int(sys.argv[1]))
    print(json.dumps({"p50": percentile(delays, 50), "p99": percentile(delays, 99)}))
