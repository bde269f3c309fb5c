"""Where a job may run: the platform that it asks for, or the one of its language."""

from datetime import datetime
from typing import NamedTuple

from accounts import platforms
from accounts.models import CPU, CUDA
from accounts.platforms import Offer
from jobs import errors
from jobs.files import language_of, platforms_for
from jobs.models import Job
from jobs.states import Phase, State

NOBODY = "no-executor"
_WORDS = {"cuda": "CUDA", "cpp": "C++", "python": "Python"}


def platform_of(filename: str, wanted: str = "", *, is_plain: bool = True) -> str:
    """The platform for a program of this name. Raises UnknownPlatform if nobody offers one.

    A host that was there lately counts: the job waits for it. CUDA is what the queue is for, and
    is waited for before the first host has come.
    """
    kind = (language_of(filename), is_plain)
    candidates = (wanted,) if wanted else platforms_for(kind[0])
    found = _first_offered(candidates, kind, platforms.offered())
    if found is None:  # a host may just have come
        offered = platforms.offered(now=True)
        found = _first_offered(candidates, kind, offered)
        if found is None:
            raise errors.UnknownPlatform(_why_not(candidates[0], kind, offered, wanted))
    return found


def _first_offered(
    candidates: tuple[str, ...], kind: tuple[str, bool], offered: list[Offer]
) -> str | None:
    """The first with a host that is there; else the first that was offered lately."""
    fit = [offer for offer in offered if offer.runs(*kind)]
    there = {offer.name for offer in fit if offer.is_there}
    lately = {offer.name for offer in fit}
    for names in (there, lately):
        for candidate in candidates:
            if candidate in names:
                return candidate
    is_awaited = CUDA in candidates and kind[0] != "python"
    return CUDA if is_awaited and not any(offer.name == CUDA for offer in offered) else None


def _why_not(platform: str, kind: tuple[str, bool], offered: list[Offer], wanted: str) -> str:
    language, is_plain = kind
    names = sorted({offer.name for offer in offered})
    there = f"there is {', '.join(names)}" if names else "no host has come yet"
    if platform not in names and not wanted:
        return (
            f"No host offers the platform {platform}, on which {_WORDS[language]} programs run; "
            f"{there}."
        )
    if platform not in names:
        return f"No host offers the platform {platform}; {there}."
    if not is_plain and any(o.name == platform and o.runs(language, True) for o in offered):
        return (
            f"The hosts of the platform {platform} are older than this queue, and take one file "
            "without compiler flags. Tell the course staff."
        )
    fit = sorted({offer.name for offer in offered if offer.runs(*kind)})
    for_this = f"; {', '.join(fit)} do" if fit else ""
    return f"No host of the platform {platform} runs {_WORDS[language]} programs{for_this}."


def waits_for(job: Job, offers: list[Offer] | None = None) -> str | None:
    """What a job waits for; None for one that runs or is over.

    Its turn, a GPU of its executor, or an executor that can run it. `offers`: as they were when
    the queue was looked at; else as they are.
    """
    # A pause, a held job and data that is missing come before these, once there are any.
    if job.state == State.RUNNING and job.phase == Phase.WAITING:
        return "turn" if job.platform == CPU else "gpu"
    if job.state != State.QUEUED:
        return None
    offers = platforms.offered() if offers is None else offers
    return "turn" if any(offer.is_there for offer in offers_for(kind_of(job), offers)) else NOBODY


def last_executor_at(job: Job, offers: list[Offer]) -> datetime | None:
    """When an executor was there last that can run the job; None if one is, or nobody knows."""
    fit = offers_for(kind_of(job), offers)
    if any(offer.is_there for offer in fit):
        return None
    return max((offer.gone_at for offer in fit if offer.gone_at), default=None)


class Kind(NamedTuple):
    """What decides who can run a job."""

    platform: str
    language: str
    is_plain: bool


def kind_of(job: Job) -> Kind:
    """A job's."""
    return Kind(job.platform, job.language, job.is_plain)


def offers_for(kind: Kind, offers: list[Offer]) -> list[Offer]:
    """Those that jobs of the kind run on."""
    name, language, is_plain = kind
    return [o for o in offers if o.name == name and o.runs(language, is_plain)]
