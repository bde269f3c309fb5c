"""What can be asked for beside a program's run: --list, --status, --cancel, --compare, --web."""

from __future__ import annotations

import argparse
from typing import Any

from handouts.submit.answers_in_json import put_json, put_lines, without_etag
from handouts.submit.as_typed import as_typed
from handouts.submit.comparing import compared, difference
from handouts.submit.job_client import Client
from handouts.submit.listing import in_order, job_table
from handouts.submit.notices import notice
from handouts.submit.own_jobs import jobs_of, number_of, unfinished_jobs
from handouts.submit.queue_status import queue_lines
from handouts.submit.stop import SUCCEEDED, Stop
from handouts.submit.web import open_page


def command(client: Client, options: argparse.Namespace) -> int | None:
    """Does what is asked for; the exit status, None if it is about one job's run. Raises Stop."""
    if options.cancel is not None:
        return cancel(client, options)
    if options.list is not None:
        return list_jobs(client, options)
    if options.web:
        return open_page(client)
    if options.status:
        return show_queue(client, options)
    if options.compare is not None:
        return compare(client, options)
    return None


def cancel(client: Client, options: argparse.Namespace) -> int:
    """--cancel: says what became of the job."""
    job = client.cancel(number_of(client, options.cancel))
    state = "cancelled" if job["state"] == "cancelled" else "told to stop"
    notice(f"Job {job['id']} is {state}.")
    if options.json:
        put_json(SUCCEEDED, job=job)
    return SUCCEEDED


def list_jobs(client: Client, options: argparse.Namespace) -> int:
    """--list: those that wait or run first, then the newest."""
    jobs = in_order(jobs_of(client, options.list))
    if options.json:
        put_json(SUCCEEDED, jobs=jobs)
    elif jobs:
        put_lines(job_table(jobs))
    else:
        notice("You have no job yet.")
    return SUCCEEDED


def show_queue(client: Client, options: argparse.Namespace) -> int:
    """--status: the queue, and what of it is one's own."""
    queue, own = client.ask("/queue"), unfinished_jobs(client)
    if options.json:
        put_json(SUCCEEDED, queue=queue, jobs=own)
    else:
        put_lines(queue_lines(queue, own))
    return SUCCEEDED


def compare(client: Client, options: argparse.Namespace) -> int:
    """--compare: two jobs side by side, and how their files differ."""
    first, second = (client.get(number_of(client, called)) for called in options.compare)
    files = [files_of(client, job["id"]) for job in (first, second)]
    is_same, lines = None, ["The queue is older than this submit.py: it does not tell the sources."]
    if None not in files:
        is_same, lines = difference((first["id"], files[0] or {}), (second["id"], files[1] or {}))
    if options.json:
        jobs = [without_etag(first), without_etag(second)]
        put_json(SUCCEEDED, jobs=jobs, same_source=is_same)
        return SUCCEEDED
    if is_same is not None:
        lines = ["The same source." if is_same else "Another source:", *lines]
    put_lines([*compared(first, second), *lines])
    for job in (first, second):
        if job["state"] in ("queued", "running"):
            notice(f"Job {job['id']} is not over: {as_typed('--attach', str(job['id']))}")
    return SUCCEEDED


def files_of(client: Client, number: int) -> dict[str, str] | None:
    """The texts of a job's files by name, its main file's first; None if the queue has no such
    address."""
    try:
        told: dict[str, Any] = client.ask(f"/jobs/{number}/source")
    except Stop:
        return None
    found = {str(told.get("filename")): str(told.get("source") or "")}
    for part in ("sources", "includes"):
        texts = told.get(part)
        found.update(texts if isinstance(texts, dict) else {})
    return {name: str(text) for name, text in found.items()}
