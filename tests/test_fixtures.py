"""The images that ship with the project, and the resolver that finds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ocr_conformance import images, resources
from ocr_conformance.errors import UserError

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


def test_all_of_them_are_small() -> None:
    assert sum(path.stat().st_size for path in resources.folder("fixtures").rglob("*.png")) < 2_000_000


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no built-in image set 'wrds'.*captcha, captcha-calibration, words"):
        images.fixture("wrds")


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
