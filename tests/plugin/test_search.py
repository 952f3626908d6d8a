"""`--ocr-search` as a user sees it: what is found, kept, replayed, reported and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from .conftest import Run, without_times

Judge = Callable[..., pytest.RunResult]
Refuse = Callable[..., None]

DARK = ("-q", "--ocr-model=reader:dark", "--ocr-mode=int8", "--ocr-check=search", "--ocr-search=60")


def text(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


def kept(cache: Path, case: str = "reader.dark/pack") -> list[Path]:
    return sorted((cache / "counterexamples" / case).glob("int8@*/*"))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of their own for the tests that count what is kept."""
    return tmp_path_factory.mktemp("planted")


def test_a_planted_difference_is_reported_with_its_rate_and_its_picture(
    judge: Judge, downstream: Path, planted: Path
) -> None:
    result = judge(*DARK, "--ocr-report=run.json", "--ocr-report=run.md", cache=planted)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    note, picture = kept(planted)
    assert (note.suffix, picture.suffix) == (".json", ".png")
    message = " ".join(result.outlines)
    assert " of 60 (" in message and "%), limit 0.1 %; smallest counterexample " in message
    assert str(picture) in result.stdout.str()
    known = json.loads(note.read_text())
    assert known["case"].startswith("reader:dark/pack/int8@")
    assert (known["seed"], known["differs"], known["shrunk"]) == (0, True, True)
    (word,) = known["picture"]["words"]
    assert word["text"] == "a"
    assert f'"a" read "{known["source"]}" / "{known["artifact"]}"' in message
    with Image.open(picture) as image:
        assert image.mode == "L"
    (case,) = json.loads((downstream / "run.json").read_text())["cases"].values()
    assert case["checks"]["search"]["data"]["counterexample"]["file"] == str(picture)
    assert str(picture) in (downstream / "run.md").read_text()
    again = judge(*DARK, cache=planted)
    assert "nothing converted or run" in text(again)
    assert kept(planted) == [note, picture]


def test_the_same_seed_gives_the_same_record_in_a_fresh_cache(judge: Judge, downstream: Path, tmp_path: Path) -> None:
    found: list[Any] = []
    for name in ("first", "second"):
        judge(*DARK, "--ocr-search-seed=5", "--ocr-report=run.json", cache=tmp_path / name)
        record = (downstream / "run.json").read_text().replace(str(tmp_path / name), "CACHE")
        (case,) = without_times(json.loads(record))["cases"].values()
        found.append((case, [path.read_bytes() for path in kept(tmp_path / name)]))
    assert found[0] == found[1]
    assert len(found[0][1]) == 2


def test_no_false_alarm_and_a_pass_is_told_as_well(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=search", "--ocr-search=400")
    result.assert_outcomes(passed=1)
    assert "search passed: disagreement 0 of 400 (0.00 - 0.92 %), limit 1 %; none of " in text(result)


def test_too_few_examples_are_undecided(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=search", "--ocr-search=20")
    assert result.ret == 1
    assert "1 undecided" in text(result)
    assert "more examples would settle it" in text(result)


def test_without_the_option_there_is_no_search(judge: Judge) -> None:
    listed = judge("--collect-only", "-q", "--ocr-model=reader", "--ocr-mode=int8").stdout.str()
    assert "-text]" in listed
    assert "-search]" not in listed
    asked = judge("--collect-only", "-q", "--ocr-model=reader", "--ocr-mode=int8", "--ocr-search=5").stdout.str()
    assert "-search]" in asked


def test_what_was_kept_is_replayed_and_may_have_healed(judge: Judge, downstream: Path, tmp_path: Path) -> None:
    judge(*DARK, cache=tmp_path)
    assert len(kept(tmp_path)) == 2
    still = text(judge(*DARK, "--ocr-replay", cache=tmp_path))
    assert "; 1 of 1 kept counterexamples still differ; smallest counterexample" in still
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text().replace('fault = "dark"', 'fault = ""'))
    healed = judge(*DARK, "--ocr-replay", cache=tmp_path)
    assert "1 undecided" in text(healed)  # 60 examples cannot tell 0.1 %
    assert "; 0 of 1 kept counterexamples still differ; none of " in text(healed)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no counterexample (Expecting"),
        ("[]", "is no counterexample (expected an object with a list 'words')"),
        ("{}", "is no counterexample (there is no 'picture')"),
        ('{"picture": {"words": [{"text": "a", "face": "Arial"}]}}', "expected 'face' to be one of DejaVuSans"),
        ("two words", "expected one word: the model is a recognizer"),
    ],
)
def test_a_kept_file_that_is_none_is_one_sentence(
    refuse: Refuse, judge: Judge, evidence: Path, content: str, words: str
) -> None:
    listed = judge("--collect-only", "-q", *DARK[1:]).outlines
    case = next(line for line in listed if "-search]" in line).partition("[")[2].removesuffix("-search]")
    folder = evidence / "counterexamples" / case.replace(":", ".")
    folder.mkdir(parents=True, exist_ok=True)
    if content == "two words":
        from ocr_conformance.diagnose.render import Picture, Word

        content = json.dumps({"picture": Picture((Word("a", "DejaVuSans"), Word("b", "DejaVuSans"))).to_json()})
    broken = folder / "0.json"
    broken.write_text(content)
    try:
        refuse([*DARK, "--ocr-replay"], f"--ocr-replay: {broken} {words}" if "is no" in words else words, "delete it")
    finally:
        broken.unlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ocr-search=0"], "--ocr-search 0: expected a whole number of at least 1"),
        (["--ocr-search=x"], "--ocr-search x: expected a whole number of at least 1"),
        (["--ocr-search=1.5"], "--ocr-search 1.5: expected a whole number"),
        (["--ocr-search=9", "--ocr-search-seed=monday"], "--ocr-search-seed monday: expected a whole number"),
        (["--ocr-search=9", "--ocr-search-seed=-1"], "--ocr-search-seed -1: expected a whole number of at least 0"),
        (["--ocr-replay"], "--ocr-replay: no search was asked for: add --ocr-search N"),
        (["--ocr-check=search"], "--ocr-check search: no search was asked for: add --ocr-search N"),
    ],
)
def test_bad_input(refuse: Refuse, arguments: list[str], words: str) -> None:
    refuse(["--ocr-model=reader", *arguments], words)


def test_two_workers_find_the_same(judge: Judge, planted: Path) -> None:
    pytest.importorskip("xdist")
    result = judge(*DARK, "-n2", "--ocr-check=text", cache=planted)
    assert " of 60 (" in text(result)
    assert len(kept(planted)) == 2


def test_detectors_are_searched_by_scenes_and_pipelines_by_their_parts(run_detectors: Callable[..., Run]) -> None:
    run = run_detectors(
        *("--ocr-model=finder:garbage", "--ocr-model=pipeline:finder+reader", "--ocr-mode=int8"),
        *("--ocr-check=search", "--ocr-search=12"),
    )
    found = run.case("finder:garbage/pack/int8")["search"]
    assert found["verdict"] == "failed"
    assert "smallest counterexample without words found 1 / 0 boxes" in found["message"]
    whole = run.case("pipeline:finder+reader/pack+pack/int8")["search"]
    assert (whole["verdict"], whole["message"]) == (
        "skipped",
        "a pipeline is not searched as a whole: search its parts, --ocr-model finder and --ocr-model reader",
    )


def test_a_format_that_does_not_open_is_skipped(judge: Judge, downstream: Path) -> None:
    conftest = downstream / "conftest.py"
    conftest.write_text(conftest.read_text().replace("open=open_, ", ""))
    result = judge("-q", "-rs", *DARK[1:])
    result.assert_outcomes(skipped=1)
    assert "model.bin cannot be opened beside the source: its format has no `open`" in text(result)
