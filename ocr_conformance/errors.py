"""Errors that are the user's to mend: one sentence, no traceback of ours."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave is wrong; the message names it, says what was expected and what to do.

    The plugin turns it into ``pytest.UsageError`` (exit 4), the command line into one line on stderr (exit 4).
    """


class CacheError(UserError):
    """The cache directory cannot be used (no space, no permission)."""
