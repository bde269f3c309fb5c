"""Where a job may run: the platform that it asks for, or the one of its language."""

from accounts import platforms
from accounts.models import CUDA
from accounts.platforms import Offer
from jobs import errors
from jobs.files import language_of, platforms_for
from jobs.models import Job
from jobs.states import State

_WORDS = {"cuda": "CUDA", "cpp": "C++", "python": "Python"}


def platform_of(filename: str, wanted: str = "") -> str:
    """The platform for a program of this name. Raises UnknownPlatform if nobody offers one.

    A host that was there lately counts: the job waits for it. CUDA is what the queue is for, and
    is waited for before the first host has come.
    """
    language = language_of(filename)
    candidates = (wanted,) if wanted else platforms_for(language)
    found = _first_offered(candidates, language, platforms.offered())
    if found is None:  # a host may just have come
        offered = platforms.offered(now=True)
        found = _first_offered(candidates, language, offered)
        if found is None:
            raise errors.UnknownPlatform(_why_not(candidates[0], language, offered))
    return found


def _first_offered(candidates: tuple[str, ...], language: str, offered: list[Offer]) -> str | None:
    for candidate in candidates:
        if any(offer.name == candidate and language in offer.languages for offer in offered):
            return candidate
    if CUDA in candidates and language != "python":
        return None if any(offer.name == CUDA for offer in offered) else CUDA
    return None


def _why_not(platform: str, language: str, offered: list[Offer]) -> str:
    names = sorted({offer.name for offer in offered})
    fit = sorted({offer.name for offer in offered if language in offer.languages})
    there = f"there is {', '.join(names)}" if names else "no host has come yet"
    if platform not in names:
        return f"No host offers the platform {platform}; {there}."
    for_this = f"; {', '.join(fit)} do" if fit else ""
    return f"No host of the platform {platform} runs {_WORDS[language]} programs{for_this}."


def waits_for(job: Job) -> str | None:
    """What a queued job waits for: its turn, or an executor that can run it."""
    if job.state != State.QUEUED:
        return None
    for offer in platforms.offered():
        if offer.name == job.platform and job.language in offer.languages and offer.is_there:
            return "turn"
    return "no-executor"
