"""Errors that are the user's to mend: one sentence, no traceback of ours."""

from __future__ import annotations

import unicodedata


class UserError(Exception):
    """Something the user gave is wrong; the message names it, says what was expected and what to do.

    The plugin turns it into ``pytest.UsageError`` (exit 4), the command line into one line on stderr (exit 4).
    What a file or its name brings into the message is escaped where a terminal would obey it, or cannot write it.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(escaped, message.split("\n"))))


def escaped(text: str) -> str:
    """The text with control characters and halves of surrogate pairs as Python writes them: ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(ascii(each)[1:-1] if unicodedata.category(each) in ("Cc", "Cs") else each for each in text)


class CacheError(UserError):
    """The cache directory cannot be used (no space, no permission)."""
