"""Files that the program reads. Data sets are not served yet; a small text file goes along."""

from __future__ import annotations

from handouts.client.job_file_names import clash
from handouts.submit.gather import Gathering
from handouts.submit.notices import tell
from handouts.submit.printable import printable
from handouts.submit.relative_names import joined_name
from handouts.submit.source_file import MAX_SOURCE_BYTES
from handouts.submit.stop import Stop
from handouts.submit.together import MAX_FILES, utf8_size
from handouts.submit.wishes import Wish


def take_data(gathering: Gathering, wish: Wish) -> None:
    """Takes a text file for which there is room; else says that the program will not find it."""
    name = joined_name("", wish.text)
    if name in gathering.texts:
        return
    try:
        gathering.add(name, wish.place)
    except Stop:
        pass
    else:
        if fits(gathering):
            return
        del gathering.texts[name], gathering.places[name]
    tell(
        printable(
            f"{wish.place}: {wish.text} is not sent, and the program will not find it: data files "
            "are not served yet, except for text of at most 1 MiB in this folder."
        )
    )


def fits(gathering: Gathering) -> bool:
    """Whether the queue takes it as it is."""
    size = sum(utf8_size(text) for text in gathering.texts.values())
    few = len(gathering.texts) <= MAX_FILES
    return few and size <= MAX_SOURCE_BYTES and not clash(list(gathering.texts))
