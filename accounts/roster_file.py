"""A roster as a file: which letters its bytes are."""

import codecs

# What files of text begin with that say it themselves.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"),
          (codecs.BOM_UTF16_BE, "utf-16-be"))  # fmt: skip
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls


class NotText(ValueError):
    """The file is no text; the message says what to do."""


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, Excel's UTF-16 ("Unicode text"), or else Windows-1252.

    Raises NotText.
    """
    if content.startswith(_SPREADSHEETS):
        raise NotText("That is a spreadsheet. Save it as CSV, and choose that file.")
    text = _decoded(content)
    if "\0" in text:
        raise NotText("That file is no text. Save the list as CSV, and choose that file.")
    return text


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # without its mark
        if content[start::2].count(0) > len(content) / 4:
            return content.decode(encoding, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
