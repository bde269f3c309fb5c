"""`python -m bench.course`: fills a data folder, or PostgreSQL, with a course."""

import argparse
import os
import sys
import time
from datetime import timedelta
from pathlib import Path


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.course", description=__doc__)
    parser.add_argument("--students", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--weeks", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, metavar="N", help="about so many (3.4 each and week)")
    parser.add_argument("--copies-up-to", type=int, default=0, metavar="N", help="so many jobs, by "
                        "copying in SQL what the operations made")  # fmt: skip
    parser.add_argument("--kernels", type=int, default=12, help="in a program (default: 12, 4 KB)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--into", type=Path, help="a folder for the data (default: TELERUN_DATA_DIR)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    if options.into:
        options.into.mkdir(parents=True, exist_ok=True)
        os.environ["TELERUN_DATA_DIR"] = str(options.into)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")

    import django

    django.setup()

    from django.core.management import call_command

    from bench.course.copying import copy_up_to, number_from, settle, without_syncs
    from bench.course.course import Course, fill
    from jobs.models import Job

    call_command("migrate", verbosity=0)
    if Job.objects.exists():
        print("There are jobs already: a course is made in a database without any.")
        return 1
    began = time.monotonic()
    course = Course(options.students, options.weeks, options.jobs, options.kernels, options.seed)
    with without_syncs():
        if options.copies_up_to:
            number_from(options.copies_up_to)
        fill(course)
        made = Job.objects.count()
        print(f"{made:,} jobs by operations in {time.monotonic() - began:.0f} s", flush=True)
        if options.copies_up_to > made:
            copy_up_to(options.copies_up_to, timedelta(weeks=course.weeks))
            settle()
            print(f"{Job.objects.count():,} after {time.monotonic() - began:.0f} s, by copying")
    return 0


if __name__ == "__main__":
    sys.exit(main())
