"""One style of help: every command says what it does, what its arguments mean and how it ends."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_conformance.cli import _parser

from .conftest import Captured, run

CHECKOUT = Path(__file__).parents[2]


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command by its words, groups left out."""
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for group in groups:
        for word, each in group.choices.items():
            yield from commands(each, f"{name} {word}".strip())
    if not groups:
        yield name, parser


COMMANDS = dict(commands(_parser()))
JSON = (
    "list", "convert", "read", "judge", "explain", "search", "latency import", "toolchain list", "cache info",
    "cache prune",
)  # fmt: skip


def test_every_command_is_here() -> None:
    assert set(COMMANDS) == {
        *JSON, "repro", "contract update", "report", "merge", "diff", "toolchain create", "toolchain remove",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help(capsys: Captured, name: str) -> None:
    assert run(*name.split(), "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"usage: ocr-conformance {name}" in text
    assert re.search(r"Exit status: 0 .*; 4 a mistake of the user's, one line on stderr\.$", text)
    assert (COMMANDS[name].description or "").endswith((".", "?"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained_and_named_alike(name: str) -> None:
    for each in COMMANDS[name]._actions:
        assert each.help, (name, each.dest)
        assert not each.help.endswith("."), (name, each.dest)
        if "--output" in each.option_strings:
            assert each.option_strings == ["-o", "--output"]
        elif each.option_strings and each.dest != "help":
            assert [text[:2] for text in each.option_strings] == ["--"], (name, each.option_strings)
        takes_a_value = each.nargs != 0
        if takes_a_value and each.type is Path:
            assert each.metavar in ("FILE", "DIR", "IMAGE", "RECORD", "OLD", "NEW"), (name, each.dest)
    assert ("--json" in COMMANDS[name]._option_string_actions) == (name in JSON)


def test_the_top_command_says_how_commands_end(capsys: Captured) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    for line in (
        "  0    all is well",
        "  1    a check failed",
        "  4    a mistake",
        "  5    nothing was",
        "  130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP",
    ):
        assert line in text
    for name in COMMANDS:
        assert f"    {name.split()[0]} " in text or f"    {name.split()[0]}\n" in text


def sections() -> dict[str, str]:
    """What docs/cli.md says of each command, white space made one; a heading may name several."""
    found: dict[str, str] = {}
    text = (CHECKOUT / "docs" / "cli.md").read_text()
    for heading, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        first, *others = re.findall(r"`([a-z ]+)`", heading)
        group = first.rpartition(" ")[0]
        for name in (first, *(f"{group} {word}".strip() for word in others)):
            found[name] = " ".join(body.split())
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_says_what_the_help_says(name: str) -> None:
    text = (CHECKOUT / "docs" / "cli.md").read_text()
    general = text[: text.index("\n## ")]
    known = sections()[name]
    status = (COMMANDS[name].epilog or "").removeprefix("Exit status: ").partition("; 4 a mistake")[0]
    assert status in known
    assert f"ocr-conformance {name} " in f"{known} "  # an example
    for option in COMMANDS[name]._option_string_actions:
        if option.startswith("--") and option != "--help":
            assert option in known or option in general, option


def test_the_page_names_no_other_command() -> None:
    assert sections().keys() == COMMANDS.keys()
