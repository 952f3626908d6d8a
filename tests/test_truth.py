"""Ground truth of scenes: JSON and ICDAR 2015 files, and what is wrong with a wrong one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.errors import UserError
from ocr_conformance.truth import Word, of_image

SQUARE = ((0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0))


def test_an_image_without_ground_truth(tmp_path: Path) -> None:
    assert of_image(tmp_path / "a.jpg") is None


def test_icdar_lines(tmp_path: Path) -> None:
    text = "\ufeff0,0,9,0,9,5,0,5,Hello, world\r\n\n0,0,9,0,9,5,0,5,###\n0,0,9,0,9,5,0,5,\n"
    (tmp_path / "gt_img_1.txt").write_text(text, encoding="utf-8")
    assert of_image(tmp_path / "img_1.jpg") == (
        Word(SQUARE, "Hello, world"),
        Word(SQUARE, "###", ignore=True),
        Word(SQUARE, ""),
    )


def test_json(tmp_path: Path) -> None:
    words = [
        {"polygon": [[0, 0], [9, 0], [9, 5], [0, 5]], "text": "Hi"},
        {"polygon": [[0, 0], [1, 0], [1, 1]], "ignore": True},
        {"polygon": [[0, 0], [1, 0], [1, 1]], "text": "###"},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"words": words}))
    first, second, third = of_image(tmp_path / "a.png") or ()
    assert first == Word(SQUARE, "Hi")
    assert (second.text, second.ignore, third.ignore) == (None, True, True)
    (tmp_path / "b.json").write_text('{"words": []}')
    assert of_image(tmp_path / "b.png") == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "is no JSON"),
        ("a.json", "[]", "has no list 'words'"),
        ("a.json", '{"words": [{}]}', "word 1: 'polygon' is not a list"),
        ("a.json", '{"words": [{"polygon": [[0, 0], [1, 1]]}]}', "at least three points"),
        ("a.json", '{"words": [{"polygon": [[0, 0], [1, 1], [2, NaN]]}]}', "word 1: 'polygon'"),
        ("a.json", '{"words": [{"polygon": [[0, 0], [1, 1], [2, 1]], "text": 3}]}', "'text' is a string"),
        ("gt_a.txt", "1,2,3,word", "line 1: '1,2,3,word' is not x1,y1"),
        ("gt_a.txt", "0,0,9,0,9,5,0,5", "line 1"),
        ("gt_a.txt", "0,0,9,0,9,5,0,inf,x", "line 1"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        of_image(tmp_path / "a.png")
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_two_ground_truths_and_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "gt_a.txt").write_bytes(b"0,0,9,0,9,5,0,5,\xff")
    with pytest.raises(UserError, match=r"gt_a\.txt is not UTF-8"):
        of_image(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match=r"two ground truths, a\.json and gt_a\.txt"):
        of_image(tmp_path / "a.png")


@given(st.text(max_size=60), st.sampled_from(["a.json", "gt_a.txt"]))
def test_any_text_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: str, name: str
) -> None:
    folder = tmp_path_factory.mktemp("truth")
    (folder / name).write_text(content, encoding="utf-8", errors="replace")
    with contextlib.suppress(UserError):
        of_image(folder / "a.png")
