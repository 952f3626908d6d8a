"""A detector and a recognizer, alone and one after the other, from the options to verdicts, pictures and artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_conformance.cases import MODES

from .conftest import Run

Judge = Callable[..., Run]

PIPELINE = "pipeline:finder+reader/pack+pack"
OF_PARTS = {
    *("conversion", "mode", "signature", "preprocessing", "tensors"),
    *("ops", "size", "latency", "memory", "repeatability"),
}
WORDS = {"0.png": 3, "1.png": 0, "2.png": 2}
"""Of the boards that the tests draw."""


@pytest.fixture(scope="module")
def whole(run_detectors: Judge) -> Run:
    """The toy pipeline in every mode with every check."""
    return run_detectors(
        "--ocr-model=pipeline:finder+reader",
        "--ocr-pictures=pictures",
        "--ocr-artifacts=artifacts",
        "--ocr-report=run.html",
    )


@pytest.fixture(scope="module")
def blind(run_detectors: Judge) -> Run:
    """A detector whose 8-bit artifact sees nothing, alone and before a recognizer."""
    return run_detectors(
        *("--ocr-model=finder:garbage", "--ocr-model=pipeline:finder.garbage+reader", "--ocr-mode=int8"),
        "--ocr-pictures=pictures",
    )


@pytest.fixture(scope="module")
def broken(run_detectors: Judge) -> Run:
    """A recognizer that does not convert, behind a detector that does."""
    return run_detectors(
        *("--ocr-model=pipeline:finder+reader.faulty", "--ocr-mode=float16", "--ocr-mode=full-int8"),
        "--ocr-pictures=pictures",
    )


def _blank(folder: Path) -> None:
    (folder / "blank").mkdir()
    for name in ("a", "b"):
        Image.new("L", (60, 30), 255).save(folder / "blank" / f"{name}.png")
    (folder / "blank" / "a.json").write_text('{"words": []}')


@pytest.fixture(scope="module")
def empty(run_detectors: Judge) -> Run:
    """Scenes without any text; of one of them that is known."""
    return run_detectors(
        *("--ocr-model=finder", "--ocr-model=pipeline:finder+reader", "--ocr-mode=float32", "--ocr-images=blank"),
        "--ocr-pictures=pictures",
        prepare=_blank,
    )


@pytest.fixture(scope="module")
def twins(run_detectors: Judge) -> Run:
    """Two detectors that are held against their twin: a right one and one whose boxes are too short."""
    return run_detectors(
        *("--ocr-model=seeker", "--ocr-model=seeker:short", "--ocr-mode=float32"),
        *("--ocr-check=twin", "--ocr-check=boxes", "--ocr-check=conversion"),
    )


def test_every_check_of_every_mode_has_a_verdict(whole: Run) -> None:
    assert whole.status == 0, whole.text
    assert "72 checks ran: 72 passed, 0 failed, 0 undecided, 0 unsupported, 0 skipped" in whole.text
    assert [name.partition("@")[0] for name in whole.record["cases"]] == [f"{PIPELINE}/{mode}" for mode in MODES]
    for mode in MODES:
        assert set(whole.case(f"{PIPELINE}/{mode}")) == {*OF_PARTS, "pipeline", "accuracy"}


def test_the_parts_are_judged_with_their_own_images(whole: Run) -> None:
    for name in OF_PARTS:
        message = whole.case(f"{PIPELINE}/int8")[name]["message"]
        assert message.startswith("finder: ")
        assert " | reader: " in message
    assert (
        "for all 3 images | reader: the app's recipe feeds the same as the source for all 6 images"
        in (whole.case(f"{PIPELINE}/int8")["preprocessing"]["message"])
    )


def test_words_are_found_and_read(whole: Run) -> None:
    for mode in MODES:
        message = whole.case(f"{PIPELINE}/{mode}")["pipeline"]["message"]
        assert message.startswith("5 words of the source in 3 images, 5 of the artifacts: 5 found and read the same")
        assert "on the source's own boxes the recognizer reads 5 of 5 the same" in message
        assert whole.value(f"{PIPELINE}/{mode}", "accuracy", "hmean") == 1.0
    truth = json.loads((whole.folder / "detectors" / "finder" / "boards" / "2.json").read_text())["words"]
    assert whole.boxes(f"{PIPELINE}/int8")["2.png"] == truth
    assert {name: len(words) for name, words in whole.boxes(f"{PIPELINE}/int8").items()} == WORDS


def test_the_record_says_what_was_used(whole: Run) -> None:
    model = whole.run["models"]["pipeline:finder+reader"]
    assert model["weights"]["name"] == "seeded+seeded"
    assert (model["images"]["name"], model["images"]["count"], model["images"]["labelled"]) == ("boards", 3, 3)
    assert model["calibration"]["name"] == "boards-calibration"
    assert whole.run["jobs_run"] > 50
    values = {each["name"] for each in whole.case(f"{PIPELINE}/float16")["size"]["values"]}
    assert values >= {"detector_bytes", "recognizer_bytes", "detector_ratio", "recognizer_ratio"}


def test_the_table_adds_sizes(whole: Run) -> None:
    sizes = [whole.value(f"{PIPELINE}/float16", "size", f"{kind}_bytes") for kind in ("detector", "recognizer")]
    assert f"float16 passed {sum(sizes) / 1024:.0f} KB 51 %" in whole.text
    assert "100 % 100 % of 100 %" in whole.text


def test_a_picture_a_scene_and_case(whole: Run) -> None:
    root = whole.folder / "pictures" / "pipeline.finder+reader" / "pack+pack"
    (toolchain,) = {path.name.partition("@")[2] for path in root.iterdir()}
    made = {path.relative_to(root).as_posix() for path in (whole.folder / "pictures").rglob("*") if path.is_file()}
    assert made == {f"{mode}@{toolchain}/{name}.png" for mode in MODES for name in WORDS}
    for name, count in WORDS.items():
        with Image.open(root / f"int8@{toolchain}" / f"{name}.png") as picture:
            picture.load()
            _, source, case, artifact = picture.info["Description"].splitlines()
        assert source == f"source: {count or 'no'} words"
        assert case == f"{PIPELINE}/int8@{toolchain}"
        assert artifact == f"artifact: {count or 'no'} words, 0 lost, 0 invented, 0 read otherwise"


def test_the_artifacts_of_both_parts_are_handed_out(whole: Run) -> None:
    root = whole.folder / "artifacts"
    manifests = sorted(root.rglob("*.json"))
    assert [path.relative_to(root).as_posix().partition("@")[0] for path in manifests] == [
        f"{part}/pack/{mode}" for part in ("finder", "reader") for mode in sorted(MODES)
    ]
    for path in manifests:
        known = json.loads(path.read_text())
        assert known["case"] == path.relative_to(root).as_posix().removesuffix(".json")
        assert known["sha256"] == hashlib.sha256(path.with_suffix(".bin").read_bytes()).hexdigest()


@pytest.mark.parametrize("check", ["pipeline", "size"])
def test_they_are_handed_out_whichever_check_is_asked(run_detectors: Judge, check: str) -> None:
    run = run_detectors(
        *("--ocr-model=pipeline:finder+reader", "--ocr-mode=int8", f"--ocr-check={check}"),
        "--ocr-artifacts=artifacts",
    )
    assert run.status == 0, run.text
    assert len(list((run.folder / "artifacts").rglob("*.bin"))) == 2


def test_a_detector_that_sees_nothing_is_judged(blind: Run) -> None:
    assert blind.status == 1
    checks = blind.case("finder:garbage/pack/int8")
    assert {name for name, each in checks.items() if each["verdict"] == "unsupported"} == {"tensors", "boxes"}
    assert "converts, runs, sees nothing" in checks["boxes"]["message"]
    assert blind.value("finder:garbage/pack/int8", "boxes", "recall") == 0.0
    assert blind.value("finder:garbage/pack/int8", "boxes", "precision") == 1.0
    # 5 words cannot tell whether all of them were lost by chance
    assert checks["accuracy"]["verdict"] == "undecided"
    assert {checks[name]["verdict"] for name in OF_PARTS - {"tensors"}} == {"passed"}
    assert "int8 undecided: accuracy" in blind.text
    assert "0 % / 100 % 0 % of 100 %" in blind.text


def test_a_pipeline_behind_it_loses_every_word(blind: Run) -> None:
    case = "pipeline:finder.garbage+reader/pack+pack/int8"
    result = blind.case(case)["pipeline"]
    assert result["verdict"] == "failed"
    assert blind.value(case, "pipeline", "lost") == blind.value(case, "pipeline", "cer") == 1.0
    assert blind.value(case, "pipeline", "same") == blind.value(case, "pipeline", "invented") == 0.0
    assert "on the source's own boxes the recognizer reads 5 of 5 the same" in result["message"]
    assert [line.partition(":")[0] for line in result["details"]] == ["0.png", "2.png"]
    assert result["details"][0].count(" lost") == 3
    # What is claimed of the part is seen in the whole: of its own checks nothing is claimed.
    assert blind.case(case)["tensors"]["verdict"] == "unsupported"
    assert blind.case(case)["conversion"]["verdict"] == "passed"
    assert "INTERNALERROR" not in blind.text
    assert "Traceback" not in blind.text


def test_a_part_that_does_not_convert_is_named_and_ends_its_pipeline(broken: Run) -> None:
    assert broken.status == 1
    pipeline = "pipeline:finder+reader.faulty/pack+pack"
    crashed, raised = broken.case(f"{pipeline}/float16"), broken.case(f"{pipeline}/full-int8")
    assert crashed["conversion"]["verdict"] == "unsupported"  # as the recognizer's contract claims
    assert crashed["conversion"]["message"].startswith("reader:faulty: the converter crashes [pack(float16) was killed")
    assert raised["conversion"]["verdict"] == "failed"
    assert raised["conversion"]["message"].startswith("reader:faulty: pack(full-int8) raised ValueError")
    for checks in (crashed, raised):
        others = {name: each for name, each in checks.items() if name != "conversion"}
        assert len(others) == 11
        assert {each["verdict"] for each in others.values()} == {"not-run"}
        assert all(each["message"].startswith("reader:faulty: pack(") for each in others.values())
    assert "2 checks ran: 0 passed, 1 failed, 0 undecided, 1 unsupported" in broken.text
    assert " KB" not in broken.text
    assert not (broken.folder / "pictures").exists()


def test_a_pipeline_that_did_not_convert_fails_whatever_check_was_asked(run_detectors: Judge) -> None:
    run = run_detectors(
        *("--ocr-model=pipeline:finder+reader.faulty", "--ocr-mode=full-int8", "--ocr-check=pipeline"),
    )
    assert run.status == 1
    assert "1 failed" in run.text
    assert "reader:faulty: pack(full-int8) raised ValueError" in run.text


def test_another_run_in_two_processes_judges_from_the_cache(whole: Run, run_detectors: Judge) -> None:
    pytest.importorskip("xdist")
    again = run_detectors("--ocr-model=pipeline:finder+reader", "--ocr-pictures=pictures", "-n2", "--ocr-mode=*int8")
    assert again.status == 0, again.text
    assert "24 checks ran: 24 passed" in again.text
    assert again.run["jobs_run"] == 0
    for mode in ("int8", "full-int8"):
        assert again.boxes(f"{PIPELINE}/{mode}") == whole.boxes(f"{PIPELINE}/{mode}")
    assert len([path for path in (again.folder / "pictures").rglob("*") if path.is_file()]) == 6


def test_the_page_has_the_scenes_and_what_was_made_of_both_parts(whole: Run) -> None:
    page = (whole.folder / "run.html").read_text()
    assert page.count('src="data:image/webp;base64,') == len(MODES) * len(WORDS)
    assert "not here: " not in page
    for part in ("finder", "reader"):
        assert page.count(f'<p class="artifact">{part}: model.bin, ') == len(MODES)
        assert page.count(f"<tr><td>{part}: pack(int8)</td><td>ok</td>") == 1


def test_lost_boxes_are_in_the_picture(blind: Run) -> None:
    said = {}
    for path in (blind.folder / "pictures").rglob("0.png.png"):
        with Image.open(path) as picture:
            said[path.relative_to(blind.folder / "pictures").parts[0]] = picture.info["Description"].splitlines()[3]
    assert said == {
        "finder.garbage": "artifact: no boxes, 3 lost, 0 invented",
        "pipeline.finder.garbage+reader": "artifact: no words, 3 lost, 0 invented, 0 read otherwise",
    }


def test_without_any_text_both_find_nothing_and_agree(empty: Run) -> None:
    assert empty.status == 0, empty.text
    for case in ("finder/pack/float32", f"{PIPELINE}/float32"):
        for side in ("source", "artifact"):
            assert empty.boxes(case, side) == {"a.png": [], "b.png": []}
        verdicts = {name: each["verdict"] for name, each in empty.case(case).items()}
        assert verdicts.pop("accuracy") == "skipped"
        assert set(verdicts.values()) == {"passed"}
    assert empty.case("finder/pack/float32")["boxes"]["message"].startswith("0 boxes of the source in 2 images, 0 of")
    message = empty.case(f"{PIPELINE}/float32")["pipeline"]["message"]
    assert message == "the source finds no words in 2 images, the artifacts none either"
    # The pictures that were named are the detector's: a recognizer is tried with its own.
    fed = empty.case(f"{PIPELINE}/float32")["preprocessing"]["message"]
    assert "for all 2 images | reader: the app's recipe feeds the same as the source for all 6 images" in fed
    accuracy = empty.case("finder/pack/float32")["accuracy"]["message"]
    assert accuracy.startswith("in 1 images with a ground truth no word counts, so none can be lost")
    assert empty.run["models"]["finder"]["images"]["labelled"] == 1
    assert len(list((empty.folder / "pictures").rglob("*.png"))) == 4


def test_a_twin_with_the_same_boxes_passes(twins: Run) -> None:
    result = twins.case("seeker/pack/float32")["twin"]
    assert result["verdict"] == "passed"
    assert result["message"].startswith("5 boxes in 3 images, 5 of the twin, 5 of them the same (IoU >= 0.75)")
    assert twins.value("seeker/pack/float32", "twin", "max_abs") == 0.0


def test_a_twin_with_other_boxes_fails(twins: Run) -> None:
    assert twins.status == 1
    result = twins.case("seeker:short/pack/float32")["twin"]
    assert result["verdict"] == "failed"
    assert "5 boxes in 3 images, 5 of the twin, 0 of them the same" in result["message"]
    assert result["details"] == [
        "0.png: 3 boxes, 3 of the twin, 0 the same",
        "2.png: 2 boxes, 2 of the twin, 0 the same",
    ]
    # The artifact does what its source does: the port is wrong, not the conversion.
    assert twins.case("seeker:short/pack/float32")["boxes"]["verdict"] == "passed"


def test_only_a_model_with_a_twin_is_asked_for_it(whole: Run, twins: Run) -> None:
    assert "twin" not in whole.case(f"{PIPELINE}/float32")
    assert set(twins.case("seeker/pack/float32")) == {"twin", "boxes", "conversion"}
