"""The tests of the documentation can fail: what is wrong on a page is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_conformance.errors import UserError

from . import running
from .pages import Block, anchors, blocks, code_spans, links


def block(text: str, language: str = "sh", **marks: str) -> Block:
    return Block("page.md", 3, language, text, {name.replace("_", " "): value for name, value in marks.items()})


@pytest.fixture
def place(tmp_path: Path) -> running.Place:
    for name in ("repository", "cache", "copy"):
        (tmp_path / name).mkdir()
    return running.Place(tmp_path / "repository", tmp_path / "cache", tmp_path / "copy")


def test_blocks_and_their_marks() -> None:
    text = "# A\n\n<!-- needs: modern -->\n<!-- output -->\n```text\nx\n```\n\n- item\n\n  ```sh\n  ls\n  ```\n"
    first, second = blocks("page.md", text)
    assert first == Block("page.md", 5, "text", "x\n", {"needs": "modern", "output": ""})
    assert (second.text, second.marks) == ("ls\n", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("    indented\n", r"page.md:1: an indented block"),
        ("<!-- runs: x -->\n```sh\nls\n```\n", r"page.md:1: no mark is called 'runs'"),
        ("<!-- file: x -->\n\ntext\n", r"page.md:3: the mark 'file' stands above no block"),
    ],
)
def test_what_is_no_page(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blocks("page.md", text)


@pytest.mark.parametrize("language", ["", "text", "rust", "yaml"])
def test_a_block_that_nobody_can_test_is_an_error(language: str) -> None:
    with pytest.raises(ValueError, match=r"page.md:3: nobody knows how to test"):
        running.kind(block("x", language))


def test_headings_links_and_spans() -> None:
    text = "# `[a.B]` and *c*!\n\n## Twice\n\n## Twice\n\n[x](y.md#z) ![p](q.png) `--ocr-x`\n"
    assert anchors(text) == {"ab-and-c", "twice", "twice-1"}
    assert [target for _, target in links(text)] == ["y.md#z", "q.png"]
    assert ("--ocr-x") in [span for _, span in code_spans(text)]


def test_commands_run_where_the_page_says(place: running.Place) -> None:
    running.write(block("one\n", "text", file="some/where.txt"), place)
    assert running.run(block("cat some/where.txt"), place) == "one\n"
    assert running.run(block("pwd", **{"in": "checkout"}), place).strip() == str(place.copy)
    assert running.run(block("echo $NAME", **{"with": "NAME='a b'"}), place) == "a b\n"
    assert running.run(block("echo a  # why\n", adding="b"), place) == "a b\n"
    assert running.run(block("import sys; print(sys.version_info >= (3, 10))", "python"), place) == "True\n"


@pytest.mark.parametrize(
    ("text", "marks", "message"),
    [
        ("false\ntrue", {}, "ended with 1, not 0"),
        ("true", {"status": "1"}, "ended with 0, not 1"),
        ("echo $UNSET", {}, "unbound variable"),
    ],
)
def test_commands_that_end_otherwise_fail(place: running.Place, text: str, marks: dict[str, str], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        running.run(block(text, **marks), place)


def test_what_is_shown_is_compared(place: running.Place) -> None:
    running.run(block("$ echo a b; echo c\na ...\nc\n$ echo \\\nd\nd\n", "console"), place)
    running.run(block("$ echo a b\n", "console"), place)  # nothing shown
    with pytest.raises(AssertionError, match=r"page\.md:3: echo b shows"):
        running.run(block("$ echo b\na\n", "console"), place)


def test_interrupted(place: running.Place) -> None:
    trap = "trap 'echo saved; exit 130' INT\nwhile true; do sleep 0.1; done"
    assert running.run(block(trap, interrupt="1", status="130"), place).strip() == "saved"


@pytest.mark.parametrize(
    ("text", "language", "marks"),
    [
        ("[[promise]]\ntext = { agrement = 1.0 }\n", "toml", {}),
        ("[[promise]]\nroute = 'no-such'\n", "toml", {}),
        ("schema = 1\n", "toml", {}),
        ("[tool.pytest.ini_options]\nocr_mod = ['int8']\n", "toml", {}),
        ("[pytest]\nocr_mod = int8\n", "ini", {}),
        ('{"words": [{"polygon": [[1, 2]]}]}', "json", {}),
        ('{"a": 1}', "json", {}),
        ("1,2,3,x\n", "text", {"file": "gt_a.txt"}),
        ("def f(:\n", "python", {"file": "a.py"}),
    ],
)
def test_files_are_read_by_their_reader(place: running.Place, text: str, language: str, marks: dict[str, str]) -> None:
    with pytest.raises((AssertionError, UserError, SyntaxError)):
        running.write(block(text, language, **marks), place)


def test_a_part_of_a_contract_is_put_into_one(place: running.Place) -> None:
    running.write(block("[[promise]]\nroute = 'tf-lite'\ntext = { agreement = 1.0 }\n", "toml"), place)
    running.write(block("[[promise]]\nroute = 'litert-torch'\nboxes = { recall = 1.0 }\n", "toml", of="craft"), place)


def test_what_another_test_runs_is_there_word_for_word(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text('def test_x():\n    """a --b"""\n    run("c --d")\n')
    running.run_elsewhere(block("c --d   # why\n", run_by="test_x.py::test_x"), tmp_path)
    for text, where in (("a --b", "test_x.py::test_x"), ("c --d", "test_x.py::test_y"), ("c --d", "test_y.py")):
        with pytest.raises(AssertionError):
            running.run_elsewhere(block(text, run_by=where), tmp_path)
    running.quoted(block('run("c --d")', "python", quotes="test_x.py"), tmp_path)
    with pytest.raises(AssertionError, match="says otherwise"):
        running.quoted(block("run()", "python", quotes="test_x.py"), tmp_path)
