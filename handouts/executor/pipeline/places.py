"""How many jobs a host may claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from handouts.executor.pipeline.workers import Worker


def free_places(
    workers: list[Worker], ahead: int, untaken: Iterable[str], pending: list[set[str]]
) -> dict[str, int]:
    """For each platform, how many more jobs may be claimed for it; only those above 0.

    The workers of a kind have as many places as are idle, but at least `ahead`, so that the next
    jobs are compiled while they work. A job that waits for a kind takes one of its places; a job
    that any GPU can run takes one of all of theirs. So one kind that is full leaves the places of
    the others as they are.

    `untaken`: the platform of each job that was claimed and that no worker has taken yet;
    `pending`: of each claim that has no answer yet, the platforms that it may bring a job for.
    """
    jobs = Counter(untaken)
    kinds: dict[tuple[str, ...], list[Worker]] = {}
    for worker in workers:
        kinds.setdefault(worker.platforms, []).append(worker)
    places = {
        kind: max(sum(worker.works and worker.idle for worker in members), ahead)
        for kind, members in kinds.items()
        if any(worker.works for worker in members)
    }
    left = {kind: max(0, count - jobs[kind[-1]]) for kind, count in places.items()}
    free: dict[str, int] = {}
    for wide in {kind[0] for kind in places}:
        family = [kind for kind in places if kind[0] == wide]
        names = {name for kind in family for name in kind}
        shared = sum(left[kind] for kind in family) - sum(not names.isdisjoint(p) for p in pending)
        if (wide,) not in family:  # else its jobs are counted already
            shared -= jobs[wide]
        free[wide] = shared
        for kind in family:
            own = left[kind] - sum(kind[-1] in platforms for platforms in pending)
            free[kind[-1]] = min(shared, own)
    return {platform: count for platform, count in free.items() if count > 0}
