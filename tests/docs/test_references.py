"""What the documentation refers to is there: files, headings, options, commands."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from ocr_conformance import cli

from . import running
from .pages import CHECKOUT, anchors, blocks, code_spans, links, pages

OPTION = re.compile(r"(?<![\w-])--ocr-[a-z][a-z-]*")
FOLDERS = ("docs", "models", "fixtures", "tests", "examples", "benchmarks", "ocr_conformance", ".ci", ".github")


def _text(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: str) -> None:
    """Files beside the page, and headings in them. What lies on the web is not asked for."""
    wrong = []
    for line, target in links(_text(page)):
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (CHECKOUT / page).parent / path if path else CHECKOUT / page
        if not file.exists():
            wrong.append(f"{page}:{line}: there is no {path}")
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            wrong.append(f"{page}:{line}: {path or page} has no heading #{anchor}")
    assert not wrong, "\n".join(wrong)


def _said(page: str) -> Iterator[tuple[str, str]]:
    """Place and text of all code on a page, in blocks and in running text."""
    text = _text(page)
    yield from ((f"{page}:{line}", span) for line, span in code_spans(text))
    yield from ((block.where, block.text) for block in blocks(page, text))


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])  # it tells of what is gone, too
def test_options_and_commands_that_a_page_names_exist(page: str) -> None:
    wrong = []
    known = running.options()
    for where, text in _said(page):
        for option in OPTION.findall(text):
            if option not in known and not option.endswith("-"):
                wrong.append(f"{where}: pytest has no option {option}")
        for command in re.findall(r"(?:^|[\s`$])ocr-conformance +([^\n#|`&>]*)", text):
            problem = _no_command(command)
            if problem:
                wrong.append(f"{where}: ocr-conformance {command.strip()}: {problem}")
    assert not wrong, "\n".join(wrong)


def _no_command(text: str) -> str | None:
    """What is wrong with the words after ``ocr-conformance``: command, action and options must be known."""
    words = [word for word in shlex.split(text, comments=True) if word != "..."]
    parser = cli._parser()
    while True:
        below = [action for action in parser._actions if isinstance(action.choices, dict)]
        if not below or not words or not words[0].islower():
            break
        (choices,) = (action.choices for action in below)
        assert isinstance(choices, dict)
        if words[0] not in choices:
            return f"there is no {words[0]}, only {', '.join(choices)}"
        parser = choices[words.pop(0)]
    known = {option for action in parser._actions for option in action.option_strings}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {', '.join(unknown)}" if unknown else None


def _inline() -> list[tuple[str, str]]:
    """Place and text of each ``pytest ...`` in running text that is a whole command."""
    found = {}
    for page in pages():
        for line, span in code_spans(_text(page)):
            # `receipts` is the model that docs/add-your-model.md makes, and runs
            if span.startswith("pytest ") and not re.search(r"MODEL|\.\.\. |receipts", span):
                found.setdefault(span, f"{page}:{line}")
    return [(where, command) for command, where in found.items()]


@pytest.mark.parametrize(("where", "command"), _inline())
def test_commands_in_running_text_select_checks(where: str, command: str, tmp_path: Path) -> None:
    """They are not run to the end: what they would judge is there, models, routes and images."""
    reasons = [running.missing(need) for need in ("modern", *(["shared"] if "../shared" in command else []))]
    if any(reasons):
        pytest.skip("; ".join(filter(None, reasons)))
    shutil.copytree(CHECKOUT / "fixtures" / "captcha", tmp_path / "repository" / "unseen")
    shutil.copytree(CHECKOUT / "fixtures" / "words", tmp_path / "repository" / "DIR")
    if "../shared" in command:
        (tmp_path / "shared").symlink_to((CHECKOUT.parent / "shared").resolve())
    place = running.Place(tmp_path / "repository", tmp_path / "cache", tmp_path)
    marks = {"adding": "--collect-only -q"}
    said = running.run(running.Block(where, 0, "sh", command, marks), place)
    wanted = command.split('"')[1] if "::" in command else "tests collected"
    assert wanted in said


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])
def test_files_of_the_project_that_a_page_names_exist(page: str) -> None:
    wrong = []
    for line, span in code_spans(_text(page)):
        path = span.partition("::")[0]
        if "/" not in path or not re.fullmatch(r"[\w./*-]+", path) or path.split("/")[0] not in FOLDERS:
            continue
        if not any(CHECKOUT.glob(path.rstrip("/"))) and not any((CHECKOUT / page).parent.glob(path.rstrip("/"))):
            wrong.append(f"{page}:{line}: there is no {path}")
    assert not wrong, "\n".join(wrong)
