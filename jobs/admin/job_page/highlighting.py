"""Sources in colours: classes for a style sheet, never a style of their own.

The time for all files of a page is bounded, and what is left then is plain.
"""

import time
from collections.abc import Iterator

from django.utils.html import escape
from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

from jobs.admin.job_page.lexers import LEXERS

MAX_CHARACTERS = 128 * 1024  # of a file with colours
SECONDS = 0.5  # of a core, for all files of a page

_CLASSES = (
    (Comment.Preproc, "hp"),
    (Comment, "hc"),
    (Keyword.Type, "ht"),
    (Keyword, "hk"),
    (String, "hs"),
    (Number, "hn"),
    (Name.Builtin, "hb"),
    (Name.Decorator, "hp"),
)


class Highlighter:
    """Turns the texts of a page into lines of HTML."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._until = time.thread_time() + seconds

    def lines(self, text: str, language: str) -> list[str]:
        """The text's lines, safe, without their ends. `text` holds no control character."""
        lexer = LEXERS.get(language)
        if lexer is None or len(text) > MAX_CHARACTERS:
            return escape(text).split("\n")
        return "".join(self._marked(text, lexer())).split("\n")

    def _marked(self, text: str, lexer: RegexLexer) -> Iterator[str]:
        """Parts of the text; a mark begins and ends in one line."""
        at = 0
        tokens = lexer.get_tokens_unprocessed(text)
        for count, (index, token, value) in enumerate(tokens):
            if count % 100 == 0 and time.thread_time() > self._until:
                break
            at = index + len(value)
            css, safe = _class_of(token), escape(value)
            if css:
                safe = "\n".join(
                    f'<span class="{css}">{line}</span>' if line else ""
                    for line in safe.split("\n")
                )
            yield safe
        yield escape(text[at:])


def _class_of(token: _TokenType) -> str:
    if token not in _known:
        _known[token] = next((css for kind, css in _CLASSES if token in kind), "")
    return _known[token]


_known: dict[_TokenType, str] = {}
