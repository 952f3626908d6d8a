"""One record of a run, several views of it. The suffix of the file picks the view."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.errors import UserError
from ocr_conformance.whole import parts

if TYPE_CHECKING:
    from ocr_conformance.report.difference import Change

SUFFIXES = (".json", ".html", ".md")

_SUMMARY = "GITHUB_STEP_SUMMARY"
"""https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands: a file that a step appends to."""


def check_path(path: Path, option: str = "--ocr-report") -> Path:
    """Refuse a report that could not be written in the end.

    Raises:
        UserError: a suffix that no format has, or a folder that does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{option} {path}: unknown format {path.suffix or '(none)'!r}, expected {' or '.join(SUFFIXES)}"
        )
    try:
        if path.is_dir():
            raise UserError(f"{option} {path}: this is a folder, expected a file name")
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror})") from None
    if not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: the folder {path.absolute().parent} does not exist: create it first")
    return path


def write(
    document: dict[str, Any],
    path: Path,
    changes: Sequence[Change] | None = None,
    option: str = "--ocr-report",
    *,
    own: bool = False,
) -> None:
    """Write a record in the format of the file's suffix; the file appears whole.

    Args:
        changes: against an earlier record, for the views; a record itself holds one state.
        own: the record is of this run (see `ocr_conformance.report.html.render`).

    Raises:
        UserError: it cannot be written.
    """
    if path.suffix == ".md":
        from ocr_conformance.report import markdown

        text = markdown.render(document, changes)
    elif path.suffix == ".html":
        from ocr_conformance.report import html

        text = html.render(document, changes, own=own)
    else:
        text = as_json(document)
    put(text, path, option)


def as_json(document: Any) -> str:
    """A document as every JSON file of ours has it."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def put(text: str, path: Path, option: str) -> None:
    """Write a file that appears whole.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with parts(path) as (part,):
            # A name that is not UTF-8 (its bytes are surrogates in a str) stands there as JSON has it, \udcff.
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror})") from error


def summary_file(option: str) -> Path:
    """The file that GitHub shows as the summary of a job's step.

    Raises:
        UserError: this is no step of GitHub Actions.
    """
    path = os.environ.get(_SUMMARY)
    if not path:
        raise UserError(
            f"{option}: {_SUMMARY} is not set: this is no step of GitHub Actions; write a report.md instead"
        )
    return Path(path)


def add_summary(text: str, option: str) -> None:
    """Append Markdown to the summary of the step.

    Raises:
        UserError: it cannot be written.
    """
    path = summary_file(option)
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be written ({error.strerror})") from error
