"""The images that ship with the project, and the resolver that finds them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from PIL import Image

from ocr_conformance import images, polygons, resources
from ocr_conformance.errors import UserError
from ocr_conformance.truth import of_image

SCENES = {"scenes": 8, "scenes-calibration": 24}
SETS = {"words": 64, "words-calibration": 100, "captcha": 64, "captcha-calibration": 100}


@pytest.mark.parametrize(("name", "count"), SETS.items())
def test_a_set_is_what_its_manifest_says(name: str, count: int) -> None:
    found = images.fixture(name)
    manifest = json.loads((found.folder / "manifest.json").read_text(encoding="utf-8"))
    assert len(found.samples) == count
    assert {sample.path.name: sample.sha256 for sample in found.samples} == manifest["sha256"]
    assert None not in found.labels
    assert found.origin == "rendered"
    assert found.name == name


@pytest.mark.parametrize("kind", ["words", "captcha"])
def test_no_text_is_in_both_sets(kind: str) -> None:
    evaluation, calibration = (images.fixture(name).labels for name in (kind, f"{kind}-calibration"))
    texts = [label.lower() for label in evaluation + calibration if label]
    assert len(set(texts)) == len(texts) == 164


def _range(image: Image.Image) -> int:
    """Lightest minus darkest grey."""
    greys = image.tobytes()
    return max(greys) - min(greys)


def test_captchas_have_the_shape_and_the_alphabet_of_the_network() -> None:
    for sample in images.fixture("captcha").samples + images.fixture("captcha-calibration").samples:
        assert sample.label == sample.path.stem
        assert len(sample.label) == 5
        assert set(sample.label) <= set("2345678bcdefgmnpwxy")
        with Image.open(sample.path) as image:
            assert (image.mode, image.size) == ("L", (200, 50))
            assert _range(image) >= 100, f"{sample.path.name} is nearly blank"


def test_words_have_the_size_of_real_crops_and_contrast() -> None:
    for sample in images.fixture("words").samples + images.fixture("words-calibration").samples:
        with Image.open(sample.path) as image:
            assert image.mode == "RGB"
            assert 20 <= image.height <= 60
            assert _range(image.convert("L")) >= 40, f"{sample.path.name} is nearly blank"


@pytest.mark.parametrize(("name", "count"), SCENES.items())
def test_a_set_of_scenes_is_what_its_manifest_says(name: str, count: int) -> None:
    found = images.fixture(name, scenes=True)
    manifest = json.loads((found.folder / "manifest.json").read_text(encoding="utf-8"))
    assert len(found.samples) == count
    assert {sample.path.name: sample.sha256 for sample in found.samples} == manifest["sha256"]
    assert {path.name for path in found.folder.iterdir()} == {
        "manifest.json",
        *(f"scene_{number:03}{suffix}" for number in range(count) for suffix in (".json", ".png")),
    }
    assert (found.origin, found.name) == ("rendered", name)
    assert found.words == tuple(of_image(sample.path) for sample in found.samples)
    assert set(found.labels) == {None}


def test_scenes_have_words_and_some_have_none_and_no_word_is_in_both_sets() -> None:
    texts: dict[str, set[str]] = {}
    for name, without in (("scenes", 1), ("scenes-calibration", 2)):
        found = images.fixture(name, scenes=True)
        assert [words for words in found.words if not words] == [()] * without
        assert all(3 <= len(words) <= 9 for words in found.words if words)
        assert not any(word.ignore for words in found.words for word in words or ())
        texts[name] = {str(word.text) for words in found.words for word in words or ()}
        # The words that a recognizer is judged on, or calibrated with.
        assert texts[name] <= set(images.fixture(name.replace("scenes", "words")).labels)
    assert not texts["scenes"] & texts["scenes-calibration"]
    assert len(texts["scenes"]) == 44


def _area(polygon: polygons.Polygon) -> float:
    """Positive where it goes clockwise, y down."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True)) / 2


@pytest.mark.parametrize("name", SCENES)
def test_words_of_scenes_are_inside_apart_and_have_contrast(name: str) -> None:
    upright = 0
    for sample in images.fixture(name, scenes=True).samples:
        with Image.open(sample.path) as image:
            assert image.mode == "RGB"
            assert 320 <= max(image.size) <= 480
            upright += image.height > image.width
            grey = image.convert("L")
        assert sample.words is not None
        for word in sample.words:
            assert len(word.polygon) == 4
            assert _area(word.polygon) > 200
            assert word.polygon[0][0] < word.polygon[1][0], (
                f"{sample.path.name}: {word.text} does not begin at its left"
            )
            x, y = zip(*word.polygon, strict=True)
            assert 0 <= min(x) < max(x) <= grey.width
            assert 0 <= min(y) < max(y) <= grey.height
            assert _range(grey.crop((int(min(x)), int(min(y)), int(max(x)), int(max(y))))) >= 40, word.text
        for first, second in itertools.combinations(sample.words, 2):
            assert polygons.overlaps([first.polygon], [second.polygon]) == [[0]]
    assert upright == SCENES[name] / 2


def test_all_of_them_are_small() -> None:
    assert sum(path.stat().st_size for path in resources.folder("fixtures").rglob("*.png")) < 2_500_000


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no built-in image set 'wrds'.*captcha, captcha-calibration, words"):
        images.fixture("wrds")
    with pytest.raises(UserError, match=r"set 'scenes' in .*choose one of captcha, captcha-calibration, words"):
        images.fixture("scenes")
    with pytest.raises(UserError, match=r"set 'scns' in .*scenes, scenes-calibration, words"):
        images.fixture("scns", scenes=True)


def test_a_wheel_s_data_come_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "ocr_conformance"
    monkeypatch.setattr(resources, "_PACKAGE", package)
    (tmp_path / "site" / "models").mkdir(parents=True)
    with pytest.raises(UserError, match=r"built-in models are neither in .*_data/models nor in .*site/models"):
        resources.folder("models")  # somebody else's `models` in site-packages is not ours
    (tmp_path / "site" / "pyproject.toml").touch()
    assert resources.folder("models") == tmp_path / "site" / "models"
    (package / "_data" / "models").mkdir(parents=True)
    assert resources.folder("models") == package / "_data" / "models"
