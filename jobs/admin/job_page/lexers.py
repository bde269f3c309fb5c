"""What is a comment, a string, a word of the language: lexers for sources that nobody vouches for.

They run on Pygments' engine, with patterns of their own. Its own patterns for functions in C++ look
at the same text again and again: names with a thousand blanks between them take many seconds, in
one step, in which the server's process does nothing else. Here every pattern goes on from where it
begins, and no further than what it matches.
"""

import builtins
import keyword
from collections.abc import Iterator
from typing import ClassVar

from pygments.lexer import RegexLexer
from pygments.lexers.c_like import CudaLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Whitespace, _TokenType

_SPACE = (r"\s+", Whitespace)
_NUMBER = (r"\.?\d[\w.']*", Number)
_NAME = (r"[^\W\d][\w$]*", Name)
_OTHERS = (r"[^\w\s\"'/#.]+|.", Operator)


class _Words(RegexLexer):
    """Names that are words of the language are told from others."""

    WORDS: ClassVar[dict[str, _TokenType]] = {}

    def get_tokens_unprocessed(
        self, text: str, stack: tuple[str, ...] = ("root",)
    ) -> Iterator[tuple[int, _TokenType, str]]:
        """Position, kind and text of each token."""
        for index, token, value in super().get_tokens_unprocessed(text, stack):
            yield index, self.WORDS.get(value, token) if token is Name else token, value


_KEYWORDS = """
alignas alignof asm break case catch class concept const const_cast consteval constexpr constinit
continue decltype default delete do dynamic_cast else enum explicit export extern final for friend
goto if inline mutable namespace new noexcept operator override private protected public register
reinterpret_cast requires return sizeof static static_assert static_cast struct switch template
this thread_local throw try typedef typeid typename union using virtual volatile while
__restrict__
"""
_TYPES = """
auto bool char double float int int8_t int16_t int32_t int64_t long short signed size_t uint8_t
uint16_t uint32_t uint64_t unsigned void wchar_t half
"""


class Cuda(_Words):
    """CUDA and C++."""

    tokens: ClassVar = {
        "root": [
            _SPACE,
            (r"//[^\n]*", Comment),
            (r"/\*", Comment, "comment"),
            (r"#[ \t]*\w*", Comment.Preproc),
            (r'"(?:[^"\\\n]|\\.)*"?', String),
            (r"'(?:[^'\\\n]|\\.)*'?", String),
            _NUMBER,
            _NAME,
            _OTHERS,
        ],
        "comment": [(r"[^*]+", Comment), (r"\*/", Comment, "#pop"), (r"\*+", Comment)],
    }  # fmt: skip
    WORDS: ClassVar = {
        **dict.fromkeys(_KEYWORDS.split(), Keyword),
        **dict.fromkeys(_TYPES.split(), Keyword.Type),
        **dict.fromkeys(("true", "false", "nullptr", "NULL"), Name.Builtin),
        **dict.fromkeys(CudaLexer.function_qualifiers | CudaLexer.variable_qualifiers, Keyword),
        **dict.fromkeys(CudaLexer.vector_types, Keyword.Type),
        **dict.fromkeys(CudaLexer.variables | CudaLexer.functions, Name.Builtin),
    }


class Python(_Words):
    """Python."""

    tokens: ClassVar = {
        "root": [
            _SPACE,
            (r"#[^\n]*", Comment),
            (r'"""', String, "double"),
            (r"'''", String, "single"),
            (r'"(?:[^"\\\n]|\\.)*"?', String),
            (r"'(?:[^'\\\n]|\\.)*'?", String),
            (r"@\w+", Name.Decorator),
            _NUMBER,
            _NAME,
            _OTHERS,
        ],
        "double": [(r'[^"\\]+', String), (r'"""', String, "#pop"), (r'\\.|["\\]', String),
                   (r"\n", String)],
        "single": [(r"[^'\\]+", String), (r"'''", String, "#pop"), (r"\\.|['\\]", String),
                   (r"\n", String)],
    }  # fmt: skip
    WORDS: ClassVar = {
        **dict.fromkeys(dir(builtins), Name.Builtin),
        **dict.fromkeys((*keyword.kwlist, "match", "case"), Keyword),
    }


LEXERS: dict[str, type[RegexLexer]] = {"cuda": Cuda, "cpp": Cuda, "python": Python}
