# Until all is imported, Ctrl-C ends this program at once: there is nothing yet to be undone.
import _signal  # not signal, which takes time to import
import os


def end_at_once(*_):
    os.write(2, b"Interrupted.\n")
    os._exit(130)


if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, end_at_once)
