"""The pipeline check: words found and read the same, lost, invented, misread; and what is to blame."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.cases import Case
from ocr_conformance.checks.pipeline import check
from ocr_conformance.contract import Limits, PipelineLimits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

Scene = list[tuple[float, str]]
"""Words by where they start."""


def box(left: float) -> list[list[float]]:
    return [[left, 0], [left + 10, 0], [left + 10, 10], [left, 10]]


def seen(source: list[Scene], artifact: list[Scene], crossed: list[str] | None = None) -> Evidence:
    """Evidence of a pipeline; the recognizer's artifact reads the source's boxes like the source unless told."""

    def boxes(scenes: list[Scene]) -> Outcome:
        return Outcome("ok", "", facts={"texts": None, "boxes": [[box(left) for left, _ in scene] for scene in scenes]})

    def read(texts: list[str]) -> Outcome:
        return Outcome("ok", "", facts={"texts": texts, "boxes": None})

    theirs, ours = ([text for scene in scenes for _, text in scene] for scenes in (source, artifact))
    return Evidence(
        Case("pipeline", "a+b", "tf-lite", "int8", "modern"),
        images=("a.png", "b.png"),
        source=boxes(source),
        run=boxes(artifact),
        source_words=read(theirs),
        run_words=read(ours),
        cross_words=read(theirs if crossed is None else crossed),
    )


def values(result: CheckResult) -> dict[str, float]:
    return {value.name: value.measured for value in result.values}


STRICT = Limits(pipeline=PipelineLimits(same=1, cer=0, lost=0, invented=0))
SOURCE: list[Scene] = [[(0, "HARBOUR"), (20, "to")], [(0, "exit"), (40, "now")]]
ARTIFACT: list[Scene] = [[(1, "HARBOR"), (60, "x")], [(40, "now"), (0, "exit")]]


def test_the_same_words_in_any_order_and_a_little_moved() -> None:
    moved: list[Scene] = [[(21, "to"), (1, "HARBOUR")], [(41, "now"), (0, "exit")]]
    result = check(seen(SOURCE, moved), STRICT)
    assert result.verdict == "passed"
    assert values(result) == {"same": 1, "cer": 0, "lost": 0, "invented": 0, "same_text_on_source_boxes": 1}
    assert result.details == ()
    assert "4 words of the source in 2 images, 4 of the artifacts: 4 found and read the same (1.000)" in result.message


def test_lost_invented_and_misread_words() -> None:
    result = check(seen(SOURCE, ARTIFACT, ["HARBOUR", "to", "exit", "mow"]), Limits())
    assert values(result) == pytest.approx(
        {
            "same": 2 / 4,
            "cer": (1 + 2 + 1) / 16,  # a letter less, a word of two lost, one of one letter invented
            "lost": 1 / 4,
            "invented": 1 / 4,
            "same_text_on_source_boxes": 3 / 4,
        }
    )
    assert result.details == ("a.png: 'HARBOUR' became 'HARBOR', 'to' lost, 'x' invented",)
    assert (
        "2 found and read the same (0.500), 1 found and read otherwise, 1 lost, 1 invented; CER 0.250; "
        "on the source's own boxes the recognizer reads 3 of 4 the same"
    ) in result.message


def test_what_a_picture_needs_is_in_the_data() -> None:
    first, second = check(seen(SOURCE, ARTIFACT), Limits()).data["images"]
    assert first == {
        "image": "a.png",
        "source": [{"polygon": box(0), "text": "HARBOUR"}, {"polygon": box(20), "text": "to"}],
        "artifact": [{"polygon": box(1), "text": "HARBOR"}, {"polygon": box(60), "text": "x"}],
        "lost": [1],
        "invented": [1],
        "changed": [[0, 0]],
    }
    assert (second["image"], second["lost"], second["invented"], second["changed"]) == ("b.png", [], [], [])


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({"same": 0.51}, "same = 0.5"),
        ({"cer": 0.24}, "cer = 0.25"),
        ({"lost": 0.2}, "lost = 0.25"),
        ({"invented": 0.2}, "invented = 0.25"),
    ],
)
def test_each_value_has_a_limit_of_its_own(limits: dict[str, float], needed: str) -> None:
    result = check(seen(SOURCE, ARTIFACT), Limits(pipeline=PipelineLimits(**limits)))
    assert result.verdict == "failed"
    assert result.message.endswith(f"(the tightest that would have passed: {needed})")
    met = PipelineLimits(same=0.5, cer=0.25, lost=0.25, invented=0.25)
    assert check(seen(SOURCE, ARTIFACT), Limits(pipeline=met)).verdict == "passed"


def test_no_words_anywhere_agree_and_invented_ones_do_not() -> None:
    nothing = check(seen([[], []], [[], []]), STRICT)
    assert nothing.verdict == "passed"
    assert values(nothing) == {"same": 1, "cer": 0, "lost": 0, "invented": 0, "same_text_on_source_boxes": 1}
    assert nothing.message == "the source finds no words in 2 images, the artifacts none either"
    invented = check(seen([[], []], [[(0, "ab")], []]), STRICT)
    assert invented.verdict == "failed"
    assert (values(invented)["invented"], values(invented)["cer"]) == (1, 2)
    lost = check(seen([[(0, "ab")], []], [[], []]), STRICT)
    assert lost.verdict == "failed"
    assert (values(lost)["same"], values(lost)["lost"], values(lost)["cer"]) == (0, 1, 1)


def test_a_lost_word_that_reads_as_nothing_is_lost_all_the_same() -> None:
    result = check(seen([[(0, ""), (20, "a")], []], [[(20, "a")], []]), STRICT)
    assert (values(result)["cer"], values(result)["lost"]) == (0, 0.5)
    assert result.verdict == "failed"


def test_words_are_sought_in_their_own_image() -> None:
    result = check(seen([[(0, "a")], []], [[], [(0, "a")]]), Limits())
    assert (values(result)["lost"], values(result)["invented"]) == (1, 1)
    assert result.details == ("a.png: 'a' lost", "b.png: 'a' invented")


def test_details_have_an_end() -> None:
    many: list[Scene] = [[(20 * place, str(place)) for place in range(6)] for _ in range(12)]
    result = check(seen(many, [[] for _ in many]), Limits())
    assert result.details[0] == "a.png: '0' lost, '1' lost, '2' lost, '3' lost and 2 more"
    assert result.details[2].startswith("sample 3: ")
    assert (len(result.details), result.details[-1]) == (11, "and 2 more images")


@pytest.mark.parametrize(
    ("entry", "facts", "words"),
    [
        ("source", {"boxes": None, "undecoded": "IndexError: no"}, "of the source do not decode: IndexError: no"),
        ("run", {"boxes": None, "undecoded": "IndexError: no"}, "of the artifact do not decode: IndexError: no"),
        ("run", {"boxes": [[]]}, "the source sees 2 images, the artifact 1"),
        ("source_words", {"texts": None}, "of the source recognizer do not decode: no reason given"),
        ("run_words", {"texts": None, "undecoded": "x"}, "of the recognizer's artifact do not decode: x"),
        ("cross_words", {"texts": None, "undecoded": "x"}, "artifact on the source's boxes do not decode: x"),
        ("source_words", {"texts": ["a"]}, "the source recognizer reads 1 words in 4 boxes"),
        ("run_words", {"texts": ["a"] * 5}, "the recognizer's artifact reads 5 words in 4 boxes"),
        ("cross_words", {"texts": []}, "the recognizer's artifact on the source's boxes reads 0 words in 4 boxes"),
    ],
)
def test_what_cannot_be_held_against_the_source_fails(entry: str, facts: dict[str, Any], words: str) -> None:
    evidence = seen(SOURCE, ARTIFACT)
    setattr(evidence, entry, Outcome("ok", "", facts=facts))
    result = check(evidence, Limits())
    assert result.verdict == "failed"
    assert words in result.message


scenes = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0.0, 20.0, 24.0, 40.0, 60.0]), st.text("ab", min_size=1, max_size=3)),
        max_size=4,
        unique_by=lambda word: word[0],
    ),
    min_size=2,
    max_size=2,
)


@given(scenes, scenes)
def test_no_character_is_wrong_only_where_all_words_are_the_same(source: list[Scene], artifact: list[Scene]) -> None:
    measured = values(check(seen(source, artifact), Limits()))
    clean = measured["same"] == 1 and measured["invented"] == 0
    assert (measured["cer"] == 0) == clean
    assert (check(seen(source, artifact), STRICT).verdict == "passed") == clean


@given(scenes, st.randoms(use_true_random=False))
def test_the_order_of_the_words_changes_nothing(source: list[Scene], shuffle: Any) -> None:
    artifact = [[(left + 1, text[::-1]) for left, text in scene if left != 40] for scene in source]
    before = values(check(seen(source, artifact), Limits()))
    for scene in artifact:
        shuffle.shuffle(scene)
    assert values(check(seen(source, artifact), Limits())) == before
    lost = sum(left == 40 for scene in source for left, _ in scene)
    assert before["lost"] == lost / max(1, sum(map(len, source)))
