"""The documentation's pages as CommonMark sees them: fenced blocks with their marks, links and headings.

A mark is an HTML comment on a line of its own right above a block, ``<!-- key: value -->``; CONTRIBUTING.md says which
there are. Parsed by markdown-it-py, which comes with rich.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

CHECKOUT = Path(__file__).parents[2]
MARKS = (
    "file",
    "with",
    "adding",
    "needs",
    "in",
    "given",
    "run by",
    "status",
    "interrupt",
    "output",
    "varies",
    "quotes",
    "figure",
    "of",
)
_COMMENT = re.compile(r"<!--\s*(?P<key>[a-z ]+?)\s*(?::\s*(?P<value>.*?))?\s*-->\s*")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: its page, as a path below the checkout.
        line: where its fence opens, from 1.
        language: first word of the info string; empty where there is none.
        text: what stands between the fences.
        marks: value by key.
    """

    page: str
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    @property
    def where(self) -> str:
        """``page:line``."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every Markdown page that belongs to the project, as a path below the checkout."""
    globs = ("*.md", "docs/**/*.md", "models/**/*.md", "fixtures/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
    return sorted({path.relative_to(CHECKOUT).as_posix() for each in globs for path in CHECKOUT.glob(each)})


def tokens(text: str) -> list[Token]:
    """The page's blocks; tables as GitHub has them."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def blocks(page: str, text: str) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: an indented code block (it has no language), a mark that nobody knows or that belongs to no block.
    """
    found: list[Block] = []
    marks: dict[str, str] = {}
    for token in tokens(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "code_block":
            raise ValueError(f"{page}:{line}: an indented block has no language: write a fenced one")
        if token.type == "fence":
            language = token.info.split()[0] if token.info.split() else ""
            found.append(Block(page, line, language, token.content, marks))
            marks = {}
            continue
        if token.type == "html_block" and token.content.lstrip().startswith("<!--"):
            for comment in _COMMENT.finditer(token.content):
                if comment["key"] not in MARKS:
                    raise ValueError(
                        f"{page}:{line}: no mark is called {comment['key']!r}; there are {', '.join(MARKS)}"
                    )
                marks[comment["key"]] = comment["value"] or ""
            continue
        if marks:
            raise ValueError(f"{page}:{line}: the mark {next(iter(marks))!r} stands above no block")
    return found


def inline(text: str) -> Iterator[tuple[int, Token]]:
    """Line and token of everything inside paragraphs, headings and cells."""
    for token in tokens(text):
        if token.type == "inline":
            line = token.map[0] + 1 if token.map else 0
            for child in token.children or ():
                yield line, child


def links(text: str) -> list[tuple[int, str]]:
    """Line and target of every link and picture."""
    found = [(line, child.attrGet("href") or child.attrGet("src")) for line, child in inline(text)]
    return [(line, str(target)) for line, target in found if target]


def code_spans(text: str) -> list[tuple[int, str]]:
    """Line and text of every ``code`` in running text."""
    return [(line, child.content) for line, child in inline(text) if child.type == "code_inline"]


def anchors(text: str) -> set[str]:
    """What ``#...`` can name on a page, as GitHub makes it of headings: lower case, punctuation dropped, ``-`` for
    spaces, ``-1`` and so on for those that come again (https://github.com/gjtorikian/html-pipeline, toc_filter)."""
    found: set[str] = set()
    counts: dict[str, int] = {}
    parsed = tokens(text)
    for opening, content in itertools.pairwise(parsed):
        if opening.type == "heading_open":
            shown = "".join(child.content for child in content.children or () if child.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            count = counts.get(name, 0)
            counts[name] = count + 1
            found.add(f"{name}-{count}" if count else name)
    return found
