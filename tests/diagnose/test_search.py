"""The search as a job: it finds what was planted and makes it simple, and finds nothing where there is nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from ocr_conformance.diagnose import render, search
from ocr_conformance.diagnose.render import Picture, Word

HERE = Path(__file__).parent
TOYS = HERE.parent / "downstream"
PLAIN_WORD = {**dict.fromkeys(render.OF_WORD, 0), "face": render.faces()[0]}
PLAIN = dict.fromkeys(render.OF_PICTURE, 0)

Search = Callable[..., dict[str, Any]]


@pytest.fixture
def run_search(run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> Search:
    """Search ``artifacts.py:NAME`` beside a toy model; its facts, with ``out``, the job's folder."""

    def run(artifact: str, *, model: str = "models/reader/model.py:Reader", **params: Any) -> dict[str, Any]:
        weights = {"name": "seeded", "path": None, "sha256": ""}
        given = {
            "model": {"adapter": f"{TOYS / model}", "variant": "", "weights": weights},
            "open": f"{HERE / 'artifacts.py'}:{artifact}",
            "threads": 1,
            "examples": 60,
            "seed": 0,
            "seconds": 60.0,
            "replay": [],
            **params,
        }
        out = tmp_path / f"{artifact}-{time.monotonic_ns()}"
        done = run_job("ocr_conformance.diagnose.search:search", given, out=out)
        assert done["ok"], done
        return {**done["facts"], "out": out}

    return run


def test_what_was_planted_is_found_and_shrunk_to_the_simplest_picture(run_search: Search) -> None:
    facts = run_search("dark")
    assert 0 < facts["disagreements"] < facts["tried"] == 60
    found = facts["counterexample"]
    # White on black: one letter, the first, and nothing else is done to it.
    black = render.BACKGROUNDS.index("black")
    assert found["picture"] == {**PLAIN, "background": black, "words": [{**PLAIN_WORD, "text": "a"}]}
    assert found["differs"] and found["shrunk"] and not facts["stopped"]
    assert (found["source"][0], found["artifact"][0]) == ("a", "b")
    assert sorted(path.name for path in facts["out"].iterdir() if path.name[0] != ".") == [search.COUNTEREXAMPLE]
    assert not (facts["out"] / ".hypothesis").exists()
    drawn = render.render(Picture.from_json(found["picture"]), scene=False)
    with Image.open(facts["out"] / search.COUNTEREXAMPLE) as kept:
        assert np.array_equal(np.asarray(kept), np.asarray(drawn))


def test_nothing_is_found_where_there_is_nothing(run_search: Search) -> None:
    facts = run_search("exact")
    assert (facts["disagreements"], facts["counterexample"]) == (0, None)
    assert facts["tried"] == 60 <= facts["hunted"]
    assert not list(facts["out"].glob("*.png"))


def test_the_same_seed_finds_the_same_and_another_one_draws_others(run_search: Search) -> None:
    first, second, other = (run_search("dark", seed=seed) for seed in (7, 7, 8))
    assert {**first, "out": None} == {**second, "out": None}
    assert first["disagreements"] != other["disagreements"] or first["hunted"] != other["hunted"]


def test_a_kept_counterexample_is_judged_again(run_search: Search) -> None:
    black = Picture((Word("a", render.faces()[0]),), background=1, quality=40).to_json()
    white = Picture((Word("a", render.faces()[0]),)).to_json()
    facts = run_search("dark", examples=1, replay=[white, black])
    assert [each["differs"] for each in facts["replayed"]] == [False, True]
    assert facts["disagreements"] == 0
    assert facts["counterexample"]["picture"] == {**black, "quality": 0}  # made simpler
    healed = run_search("exact", examples=1, replay=[black])
    assert [each["differs"] for each in healed["replayed"]] == [False]
    assert healed["counterexample"] is None


def test_it_ends_in_time_and_says_how_many_it_tried(run_search: Search) -> None:
    began = time.monotonic()
    facts = run_search("slow", examples=10_000, seconds=4.0)
    assert time.monotonic() - began < 15  # a process and its imports come on top
    assert facts["stopped"]
    assert 0 < facts["tried"] < 100
    assert 0 < facts["hunted"] < 100


def test_outputs_that_do_not_decode_are_a_difference(run_search: Search) -> None:
    facts = run_search("broken", examples=3)
    assert facts["disagreements"] == 3
    assert facts["counterexample"]["artifact"] is None
    assert facts["counterexample"]["picture"] == {**PLAIN, "words": [{**PLAIN_WORD, "text": "a"}]}


def test_an_artifact_that_does_not_open_says_why(run_search: Search) -> None:
    assert run_search("refuses")["unopened"].startswith("RuntimeError: Select TensorFlow op(s)")


FINDER = "detectors/finder/model.py:Finder"


def test_scenes(run_search: Search) -> None:
    facts = run_search("blind", model=FINDER, examples=12)
    assert facts["disagreements"] > 0
    assert facts["source_right"] is None
    found = facts["counterexample"]
    assert len(found["source"]) != len(found["artifact"])
    # Words are no part of it: faint paper is enough, which the source takes for one box.
    assert found["picture"]["words"] == []
    assert sum(map(bool, (found["picture"][name] for name in render.OF_PICTURE))) == 1
    exact = run_search("exact", model=FINDER, examples=12)
    assert (exact["disagreements"], exact["counterexample"]) == (0, None)


# --- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "artifact", "different"),
    [
        ("ab", "ab", False),
        ("ab", "aB", True),
        ("", "", False),
        ("ab", None, True),
        ([], [], False),
        ([], None, True),
        ([[[0, 0], [9, 0], [9, 9], [0, 9]]], [], True),
        ([], [[[0, 0], [9, 0], [9, 9], [0, 9]]], True),
        ([[[0, 0], [9, 0], [9, 9], [0, 9]]], [[[1, 0], [10, 0], [10, 9], [1, 9]]], False),
        ([[[0, 0], [9, 0], [9, 9], [0, 9]]], [[[5, 0], [14, 0], [14, 9], [5, 9]]], True),
    ],
)
def test_what_differs(source: Any, artifact: Any, different: bool) -> None:
    assert search.differ(source, artifact) is different


def test_divergence_is_in_units_of_the_reference() -> None:
    expected = {"a": np.array([[4.0, -8.0]], np.float32), "b": np.zeros((1, 2), np.float32)}
    given = {"a": np.array([[4.0, -6.0]], np.float32), "b": np.array([[0.125, 0]], np.float32)}
    assert search.divergence(expected, given) == 0.25
    assert search.divergence(expected, {"a": given["a"], "b": np.zeros((1, 3), np.float32)}) == float("inf")
    given["b"][0, 1] = np.nan
    assert search.divergence(expected, given) == float("inf")


def test_margin_is_of_the_frame_that_is_least_sure() -> None:
    sure, unsure = [0.9, 0.1, 0.0], [0.4, 0.2, 0.4]
    assert search.margin({"p": np.array([[sure, [0.5, 0.3, 0.2]]])}) == pytest.approx(0.2 / 0.9)
    assert search.margin({"p": np.array([[sure]])}, {"p": np.array([[sure, unsure]])}) == 0
    assert search.margin({"map": np.zeros((1, 4, 4, 2))}) is None


class Pair:
    """Stands in for a source and its artifact that differ where ``differs`` says so."""

    seconds = 1e-4

    def __init__(self, differs: Callable[[Picture], bool]) -> None:
        self.differs = differs
        self.batches: list[int] = []

    def read_all(self, pictures: list[Picture]) -> list[search.Reading]:
        self.batches.append(len(pictures))
        return [self.read(picture) for picture in pictures]

    def read(self, picture: Picture) -> search.Reading:
        return search.Reading(picture, "a", "b", self.differs(picture), 0.0, None)


SPACE = render.Space("abcd", (1, 8), ("DejaVuSans", "DejaVuSerif"), False)
ODD = Picture((Word("dacab", "DejaVuSerif", size=4, weight=1, rotation=20),), contrast=30, noise=17, background=3)


def simplify(pair: Pair, *pictures: Picture, seconds: float = 60.0) -> tuple[search.Reading, bool]:
    found = [search.Reading(picture, "a", "b", True, 0.0, None) for picture in pictures]
    return search._simplify(cast(Any, pair), SPACE, found, time.monotonic() + seconds)


def test_a_counterexample_is_simplified_down_to_what_it_needs() -> None:
    smallest, shrunk = simplify(Pair(lambda picture: picture.noise >= 3 and "c" in picture.texts[0]), ODD)
    assert shrunk
    assert smallest.picture == Picture((Word("c", "DejaVuSans"),), noise=3)


def test_the_simplest_of_several_is_taken() -> None:
    plainer = Picture((Word("c", "DejaVuSans"),), noise=9)
    smallest, _ = simplify(Pair(lambda picture: picture in (ODD, plainer)), ODD, plainer)
    assert smallest.picture == plainer


def test_a_dead_end_is_left_for_a_plainer_one() -> None:
    stuck = Picture((Word("a", "DejaVuSans"),), contrast=7, blur=5)  # differs only just so
    other = Picture((Word("dab", "DejaVuSans", weight=1),), background=2)
    smallest, shrunk = simplify(Pair(lambda picture: picture == stuck or picture.background == 2), stuck, other)
    assert (smallest.picture, shrunk) == (Picture((Word("a", "DejaVuSans"),), background=2), True)


def test_one_that_does_not_differ_alone_stays_as_it_is() -> None:
    smallest, shrunk = simplify(Pair(lambda picture: False), ODD)
    assert (smallest.picture, shrunk) == (ODD, False)


def test_without_time_nothing_is_simplified() -> None:
    smallest, shrunk = simplify(Pair(lambda picture: True), ODD, seconds=-1)
    assert (smallest.picture, shrunk) == (ODD, False)


def sample(seed: int, *, examples: int = 70, seconds: float = 60.0) -> tuple[list[Picture], list[int]]:
    pair = Pair(lambda picture: False)
    readings = search._sample(cast(Any, pair), SPACE, seed, examples, time.monotonic() + seconds)
    return [reading.picture for reading in readings], pair.batches


def test_independent_pictures_come_from_the_seed_in_batches() -> None:
    pictures, batches = sample(3)
    assert (len(set(pictures)), batches) == (70, [32, 32, 6])
    assert pictures == sample(3)[0]
    assert pictures[:40] == sample(3, examples=40)[0]
    assert not set(pictures) & set(sample(4)[0])


def test_without_time_nothing_is_drawn() -> None:
    assert sample(3, seconds=-1) == ([], [])
