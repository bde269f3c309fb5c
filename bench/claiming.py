"""Row E: a claim for three platforms from a long queue with a long history, against one from a
queue of ten jobs."""

from bench.place import Plan, in_a_process, queue, say
from bench.report import Table, ratio_at_most


def measure(plan: Plan, table: Table) -> None:
    users, queued, finished = plan.size(5000, 50), plan.size(100_000, 1000), plan.size(10**6, 5000)
    names = {
        "claim": f"claim, {queued:,} queued of {users:,} users, {finished:,} finished",
        "alone": "claim by a user with nothing else queued, same queue",
        "look": "GET of a job in the middle of that queue",
    }
    with queue() as world:
        world.executor("host")
        told = in_a_process(
            world, "bench.claim", users, queued, finished, plan.rounds, plan.size(200, 10)
        )
    say(f"  filled in {told['filled_in']:.0f} s")
    for name, what in names.items():
        goal = None if name == "look" else ratio_at_most(1.1)
        for long, short in zip(told["long"][name], told["short"][name], strict=True):
            table.add("E", what, long, "ms", goal, floor=short, than="10 queued of 10 users")
