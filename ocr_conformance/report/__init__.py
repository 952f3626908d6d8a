"""One record of a run, several views of it. The suffix of the file picks the view."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocr_conformance.errors import UserError

SUFFIXES = (".json", ".md")


def check_path(path: Path) -> Path:
    """Refuse a report that could not be written in the end.

    Raises:
        UserError: a suffix that no format has, or a folder that does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"--ocr-report {path}: unknown format {path.suffix or '(none)'!r}, expected {' or '.join(SUFFIXES)}"
        )
    if path.is_dir():
        raise UserError(f"--ocr-report {path}: this is a folder, expected a file name")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--ocr-report {path}: the folder {path.absolute().parent} does not exist: create it first")
    return path


def write(document: dict[str, Any], path: Path) -> None:
    """Write a record in the format of the file's suffix; the file appears whole.

    Raises:
        UserError: it cannot be written.
    """
    from ocr_conformance.report import markdown

    if path.suffix == ".md":
        text = markdown.render(document)
    else:
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UserError(f"--ocr-report {path}: cannot be written ({error.strerror})") from error
