"""What staff are asked before jobs are run again or cancelled."""

from typing import Any

from django.db.models import Count, QuerySet

from foundation.asking import Question
from foundation.figures import counted
from jobs.models import Job
from jobs.states import FINAL, Outcome, State

LARGEST = 5  # users that are named
_VERBS = {"requeue": "Run {} again", "cancel": "Cancel {}"}
_AS_IT_IS = ("stays as it is", "stay as they are")


def about_jobs(action: str, rows: QuerySet[Any]) -> Question:
    """Which jobs, whose they are, and which results they lose."""
    jobs = Job.objects.filter(pk__in=rows.order_by().values("pk")).order_by()
    groups = jobs.values_list("state", "outcome").annotate(Count("pk")).order_by("state", "outcome")
    counts = {(state, outcome): count for state, outcome, count in groups}
    total = sum(counts.values())
    one = f"job {jobs.values_list('pk', flat=True).first()}"
    asked = _about_requeue(counts) if action == "requeue" else _about_cancel(counts)
    facts = (*_by_state(counts), *_by_user(jobs, total), *asked["facts"])
    title = _VERBS[action].format(one if total == 1 else f"{total:,} jobs")
    return Question(title, total, **{**asked, "facts": facts})


def _about_requeue(counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    superseded, running, queued = (
        _in(counts, state) for state in (State.FINISHED, State.RUNNING, State.QUEUED)
    )
    warnings = []
    if superseded:
        lost = counted(superseded, "result is superseded", "results are superseded")
        warnings.append(f"{lost}. The attempts stay in the history.")
    if running:
        one = "that runs now is taken from its executor and begins anew."
        several = "that run now are taken from their executors and begin anew."
        warnings.append(counted(running, one, several))
    if queued:
        one, several = (f"in the queue {words}." for words in _AS_IT_IS)
        warnings.append(counted(queued, one, several))
    if sum(counts.values()) > 1:
        warnings.append("They go behind everyone who waits now. One alone keeps its old place.")
    facts = (("Results that will be superseded", f"{superseded:,}"),)
    return {"facts": facts, "warnings": tuple(warnings), "must_type": superseded > 0}


def _about_cancel(counts: dict[tuple[str, str], int]) -> dict[str, Any]:
    over = sum(_in(counts, state) for state in FINAL)
    queued, running = _in(counts, State.QUEUED), _in(counts, State.RUNNING)
    one, several = _AS_IT_IS
    said = counted(over, f"is over already and {one}.", f"are over already and {several}.")
    warnings = [said] if over else []
    facts = (
        ("Taken out of the queue", f"{queued:,}"),
        ("Stopped while they run", f"{running:,}"),
    )
    return {"facts": facts, "warnings": tuple(warnings)}


def _in(counts: dict[tuple[str, str], int], state: State) -> int:
    return sum(count for (one, _), count in counts.items() if one == state)


def _by_state(counts: dict[tuple[str, str], int]) -> list[tuple[str, str]]:
    return [
        (": ".join(_words(state, outcome)), f"{count:,}")
        for (state, outcome), count in counts.items()
    ]


def _words(state: str, outcome: str) -> list[str]:
    words = [str(State(state).label)]
    return [*words, str(Outcome(outcome).label).lower()] if outcome else words


def _by_user(jobs: QuerySet[Job], total: int) -> list[tuple[str, str]]:
    """Those who have most of them."""
    of_user = jobs.values_list("user__username").annotate(count=Count("pk"))
    most = list(of_user.order_by("-count", "user__username")[:LARGEST])
    named = ", ".join(f"{name} {count:,}" for name, count in most)
    others = total - sum(count for _, count in most)
    return [("Whose", named + (f", others {others:,}" if others else ""))]
