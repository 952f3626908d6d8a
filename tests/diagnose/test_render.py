"""Pictures from numbers: the same again from their JSON, plain where all is 0, and ever simpler."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_conformance.diagnose import render
from ocr_conformance.diagnose.render import Picture, Space, Word

FACES = render.faces()
SPACES = [Space("abcd", (1, 8), FACES, False), Space("ab", (3, 3), FACES, False), Space("abc", (1, 4), FACES, True)]


@st.composite
def pictures(draw: Any) -> tuple[Space, Picture]:
    space = draw(st.sampled_from(SPACES))
    return space, space.draw(lambda count: draw(st.integers(0, count - 1)))


@given(pictures())
@settings(max_examples=60)
def test_a_picture_looks_the_same_again_from_its_json(drawn: tuple[Space, Picture]) -> None:
    space, picture = drawn
    again = Picture.from_json(json.loads(json.dumps(picture.to_json())))
    assert again == picture
    first, second = (np.asarray(render.render(each, scene=space.scenes)) for each in (picture, again))
    assert first.dtype == np.uint8 and first.ndim == 2
    assert np.array_equal(first, second)


@given(pictures())
def test_each_step_is_simpler_and_stays_in_the_space(drawn: tuple[Space, Picture]) -> None:
    space, picture = drawn
    for simpler in space.simpler(picture):
        assert space.cost(simpler) < space.cost(picture)
        assert Picture.from_json(simpler.to_json()) == simpler
        for text in simpler.texts:
            assert space.lengths[0] <= len(text) <= space.lengths[1]
            assert set(text) <= set(space.alphabet)


def test_the_plainest_picture_has_no_simpler_one() -> None:
    for space in SPACES[:2]:
        assert list(space.simpler(space.plain)) == []
        assert space.plain.texts == ["a" * space.lengths[0]]
    (empty,) = SPACES[2].simpler(SPACES[2].plain)
    assert empty == Picture(())
    assert list(SPACES[2].simpler(empty)) == []


def test_numbers_that_are_0_leave_a_picture_black_on_white() -> None:
    pixels = np.asarray(render.render(Picture((Word("ab", FACES[0]),)), scene=False))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (pixels[0] == 255).all() and (pixels[:, 0] == 255).all()


PLAIN = Word("Hello", FACES[0])


@pytest.mark.parametrize("name", [name for name, count in render.OF_WORD.items() if count > 1])
def test_each_number_of_a_word_shows(name: str) -> None:
    scene = name in ("indent", "gap")
    drawn = [
        np.asarray(render.render(Picture((Word("Hello", FACES[0], **{name: value}),)), scene=scene)) for value in (0, 1)
    ]
    assert drawn[0].shape != drawn[1].shape or not np.array_equal(*drawn)


@pytest.mark.parametrize("name", render.OF_PICTURE)
def test_each_number_of_a_picture_shows(name: str) -> None:
    plain = np.asarray(render.render(Picture((PLAIN,)), scene=False))
    most = render.OF_PICTURE[name] - 1
    for value in range(1, most + 1) if name == "background" else (most,):
        assert not np.array_equal(plain, np.asarray(render.render(Picture((PLAIN,), **{name: value}), scene=False)))


@pytest.mark.parametrize(("taper", "smaller"), [(39, "right"), (40, "left")])
def test_perspective_makes_one_end_smaller(taper: int, smaller: str) -> None:
    ink = 255 - np.asarray(render.render(Picture((Word("HHHHHH", FACES[0], perspective=taper),)), scene=False))
    rows = [int((part.max(axis=1) > 127).sum()) for part in np.array_split(ink, 6, axis=1)]
    assert (rows[0] > rows[-1]) == (smaller == "right")
    assert rows == sorted(rows, reverse=smaller == "right")


def test_rotation_turns_both_ways() -> None:
    left, right = (
        255 - np.asarray(render.render(Picture((Word("______", FACES[0], rotation=value),)), scene=False), np.int64)
        for value in (29, 30)
    )
    assert (left[:, :20].sum(axis=1).argmax() > left[:, -20:].sum(axis=1).argmax()) is np.True_
    assert (right[:, :20].sum(axis=1).argmax() < right[:, -20:].sum(axis=1).argmax()) is np.True_


def test_words_of_a_scene_stand_apart() -> None:
    words = tuple(Word("MMMMMMMM", FACES[0], size=3) for _ in range(render.MOST_WORDS))
    image = render.render(Picture(words), scene=True)
    assert min(image.size) >= 320
    dark = (np.asarray(image) < 128).any(axis=1)
    assert int((np.diff(dark.astype(int)) == 1).sum()) == render.MOST_WORDS


def test_letters_that_a_face_cannot_draw_are_left_out() -> None:
    assert render.drawable("aab \t\uffff\U0010fffd", FACES) == "ab"
    assert render.drawable("ab1", (render.PILLOW_FACE,)) == "ab1"


def test_a_face_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise render.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(render.metadata, "distribution", missing)
    assert render.faces() == (render.PILLOW_FACE,)
    with pytest.raises(ValueError, match="the face DejaVuSerif is not here: it comes with matplotlib"):
        render.render(Picture((Word("a", "DejaVuSerif"),)), scene=False)


GOOD = Picture((Word("a", "DejaVuSans"),)).to_json()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "a list 'words'"),
        ({**GOOD, "words": "a"}, "a list 'words'"),
        ({**GOOD, "words": [{}]}, "each with a 'text'"),
        ({**GOOD, "words": [{**GOOD["words"][0], "text": ""}]}, "each with a 'text'"),
        ({**GOOD, "words": [{**GOOD["words"][0], "face": "Arial"}]}, "'face' to be one of DejaVuSans"),
        ({**GOOD, "words": [{**GOOD["words"][0], "size": 7}]}, "'size' to be a whole number from 0 to 6"),
        ({**GOOD, "words": [{**GOOD["words"][0], "sise": 0}]}, "there is no 'sise'"),
        ({**GOOD, "blur": 1.5}, "'blur' to be a whole number from 0 to 20"),
        ({**GOOD, "blur": True}, "'blur'"),
        ({**GOOD, "noise": -1}, "'noise'"),
        ({name: value for name, value in GOOD.items() if name != "quality"}, "'quality'"),
        ({**GOOD, "hue": 1}, "there is no 'hue'"),
    ],
)
def test_what_is_no_picture(data: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Picture.from_json(data)
