"""A realistic course, made by the queue's own operations: for tests, pictures and benchmarks.

    from bench.course.course import Course, fill
    fill(Course(students=20, weeks=2))            # into the database that Django knows
    .venv/bin/python -m bench.course --students 300 --weeks 10 --into FOLDER

A weekly deadline, hosts that claim, report and die, staff who requeue, cancel and issue tokens:
all of it goes through `accounts.operations`, `jobs.submitting`, `claiming` and so on, with a clock
that is set, so that all invariants hold. The same seed makes the same course, but for tokens and
passwords.
"""
