"""The fault matrix: what must hold when a server, an executor, a network or a disk fails.

`python -m tests.faults` runs it at length, `tests/test_faults.py` in short, and both on real
processes. `docs/reliability.md` says what it proves.
"""
