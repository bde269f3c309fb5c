"""What the queue does not take of a submission, in words that lead to the line."""

from __future__ import annotations

import re
from typing import Any

from handouts.client.answer import Answer
from handouts.submit.older_queue import NEWER, older_queue
from handouts.submit.wishes import Wish, Wishes

SHOWN_PLACES = 5
UNKNOWN = re.compile("unknown|unexpected|not known|no such", re.IGNORECASE)


def refusal_of_wishes(answer: Answer, wishes: Wishes, body: dict[str, Any]) -> str:
    """What the answer says, and where that stands; "" if it is about something else."""
    if answer.problem == "flag-refused":
        return answer.detail + asked_for([flag for flag in wishes.flags if is_meant(flag, answer)])
    if answer.problem == "unknown-platform":
        return answer.detail + asked_for([wishes.platform])
    if answer.status == 400 and UNKNOWN.search(answer.detail):
        named = [key for key in NEWER if key in body and re.search(rf"\b{key}\b", answer.detail)]
        if named:
            return older_queue(named)
    if answer.status == 400:
        return malformed(answer, wishes)
    return ""


def malformed(answer: Answer, wishes: Wishes) -> str:
    """What a 400 says of the platform or the flags, and where they stand; "" if of neither."""
    if re.match(r"platform\b", answer.detail):
        return answer.detail + asked_for([wishes.platform])
    if re.match(r"flags\b", answer.detail):
        number = re.match(r"flags[.\[](\d{1,3})\b", answer.detail)
        meant = wishes.flags[int(number[1]) :][:1] if number else []
        return answer.detail + asked_for(meant or wishes.flags)
    return ""


def is_meant(flag: Wish, answer: Answer) -> bool:
    """Whether the answer names the flag, and no longer word that it is a part of."""
    pattern = rf"(?<![^\s\"'`(,;:]){re.escape(flag.text)}(?![\w=+-])"
    told = re.split(" Did you mean | Among those ", answer.detail)[0]  # else another's name
    return re.search(pattern, told) is not None


def asked_for(wishes: list[Wish]) -> str:
    """Such as " (lab.cu:3)", "" for what the command line asks for."""
    places = list(dict.fromkeys(wish.place for wish in wishes if wish.place))
    more = f" and {len(places) - SHOWN_PLACES} more lines" if len(places) > SHOWN_PLACES else ""
    return f" It stands in {', '.join(places[:SHOWN_PLACES])}{more}." if places else ""
