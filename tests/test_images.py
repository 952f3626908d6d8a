"""Folders of labelled images and of scenes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_conformance import images, resources
from ocr_conformance.errors import UserError
from ocr_conformance.truth import Word

SQUARE = ((0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0))


def make(folder: Path, *files: str, labels: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / file)
    if labels is not None:
        (folder / "labels.tsv").write_text(labels, encoding="utf-8")
    return folder


def test_labels_come_from_the_table_in_the_order_of_file_names(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.png", "sub/c.png", labels="b.png\tzwei Wörter\n\nsub/c.png\tdrei\na.png\teins\n")
    found = images.read(tmp_path)
    assert found.files == ("a.png", "b.png", "sub/c.png")
    assert found.labels == ("eins", "zwei Wörter", "drei")
    assert found.origin == "user"
    assert found.name == str(tmp_path)


def test_an_image_that_the_table_does_not_name_has_no_label(tmp_path: Path) -> None:
    assert images.read(make(tmp_path, "a.png", "b.png", labels="b.png\tb\n")).labels == (None, "b")


def test_labels_from_names_only_in_the_alphabet_and_only_without_a_table(tmp_path: Path) -> None:
    make(tmp_path, "2b4.png", "demo_1.png", "notes.txt.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert images.read(tmp_path, name_alphabet="24b").labels == ("2b4", None, None)
    assert images.read(tmp_path).labels == (None, None, None)
    make(tmp_path, labels="2b4.png\tother\n")
    assert images.read(tmp_path, name_alphabet="24b").labels == ("other", None, None)


def test_the_choice_is_seeded_ordered_and_stable_when_a_file_is_added() -> None:
    files = [f"{number:03}.png" for number in range(100)]
    chosen = images.choose(files, 10, "keras-ocr")
    assert chosen == images.choose(reversed(files), 10, "keras-ocr") == tuple(sorted(chosen))
    assert chosen != images.choose(files, 10, "captcha-ocr")
    assert len(set(chosen) - set(images.choose([*files, "new.png"], 10, "keras-ocr"))) <= 1
    assert images.choose(files, None, "x") == images.choose(files, 1000, "x") == tuple(files)
    # The rule itself, on every machine and version of Python.
    assert images.choose(files, 3, "keras-ocr") == ("010.png", "029.png", "092.png")


def test_the_set_has_another_hash_when_bytes_labels_or_names_change(tmp_path: Path) -> None:
    first = images.read(make(tmp_path / "1", "a.png", labels="a.png\tx\n"))
    assert first.sha256 == images.read(make(tmp_path / "2", "a.png", labels="a.png\tx\n")).sha256
    other_label = images.read(make(tmp_path / "3", "a.png", labels="a.png\ty\n"))
    other_name = images.read(make(tmp_path / "4", "b.png", labels="b.png\tx\n"))
    make(tmp_path / "5", "z.png", "a.png", labels="a.png\tx\n")
    (tmp_path / "5" / "z.png").unlink()
    other_bytes = images.read(tmp_path / "5")
    assert len({found.sha256 for found in (first, other_label, other_name, other_bytes)}) == 4


def test_a_missing_folder_an_empty_one_and_a_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"calibration image folder .*nowhere does not exist: --ocr-calibration expects"
    ):
        images.read(tmp_path / "nowhere", role="calibration")
    with pytest.raises(UserError, match=r"no calibration images in .*expects a folder with at least one of \.bmp"):
        images.read(tmp_path, role="calibration")
    make(tmp_path, "a.png")
    with pytest.raises(UserError, match=r"a\.png is a file: --ocr-images expects a folder"):
        images.read(tmp_path / "a.png")


@pytest.mark.parametrize("count", [0, -3])
def test_at_least_one_sample(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=f"--ocr-samples is {count}"):
        images.read(make(tmp_path, "a.png"), count=count)


def test_only_chosen_images_must_decode(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number}.png" for number in range(4)))
    whole = (tmp_path / "3.png").read_bytes()
    for broken in (b"not an image", whole[:-30], b""):
        (tmp_path / "3.png").write_bytes(broken)
        with pytest.raises(UserError, match=r"the image .*3\.png does not decode \(.+\)"):
            images.read(tmp_path)
    chosen = images.choose([f"{number}.png" for number in range(4)], 1, "seed")
    assert images.read(tmp_path, count=1, seed="seed").files == chosen != ("3.png",)


def scene(folder: Path, stem: str, *texts: str) -> None:
    """Ground truth of a scene."""
    words = [{"polygon": SQUARE, "text": text} for text in texts]
    (folder / f"{stem}.json").write_text(json.dumps({"words": words}))


def test_the_words_of_scenes_stand_beside_them_and_labels_are_not_used(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png", "c.png", "d.png", labels="a.png\tx\nnot a table\n")
    scene(tmp_path, "a", "Hello", "###")
    (tmp_path / "gt_b.txt").write_text("0,0,9,0,9,5,0,5,Hi\n")
    scene(tmp_path, "c")
    found = images.read(tmp_path, scenes=True, name_alphabet="abcd")
    assert found.labels == (None,) * 4
    assert found.words == ((Word(SQUARE, "Hello"), Word(SQUARE, "###", ignore=True)), (Word(SQUARE, "Hi"),), (), None)
    make(tmp_path, labels="a.png\tx\n")
    assert images.read(tmp_path).words == (None,) * 4


def test_only_the_truth_of_chosen_scenes_must_be_in_order(tmp_path: Path) -> None:
    files = [f"{number}.png" for number in range(4)]
    make(tmp_path, *files)
    (tmp_path / "3.json").write_text("[]")
    with pytest.raises(UserError, match=r"3\.json has no list 'words'"):
        images.read(tmp_path, scenes=True)
    chosen = images.choose(files, 1, "seed")
    assert images.read(tmp_path, count=1, seed="seed", scenes=True).files == chosen != ("3.png",)
    assert images.read(tmp_path).files == tuple(files)


def test_the_hash_covers_the_words(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    hashes = [images.read(tmp_path, scenes=True).sha256]
    assert images.read(tmp_path).sha256 == hashes[0]
    for texts in ([], [""], ["x"], ["y"], ["x", "x"]):
        scene(tmp_path, "a", *texts)
        hashes.append(images.read(tmp_path, scenes=True).sha256)
    words = [{"polygon": [[0, 0.5], *SQUARE[1:]], "text": "x"}, {"polygon": SQUARE, "text": "x", "ignore": True}]
    for word in words:
        (tmp_path / "a.json").write_text(json.dumps({"words": [word]}))
        hashes.append(images.read(tmp_path, scenes=True).sha256)
    assert len(set(hashes)) == len(hashes) == 8


def test_the_hash_of_words_is_the_one_that_records_have() -> None:
    """Whatever becomes part of the hash of scenes: what is stored of recognizers stays valid."""
    assert images.fixture("words").sha256 == "6250832621c9c5ec17c729033d115df8dbb44c03d2a5f1fc6b531baa64455161"
    assert (
        images.fixture("words", count=3, seed="keras-ocr").sha256
        == "bb69735fb0246a2554b7d4a9cc2d19fd3feffbd620be5347f1ac74460beb05a2"
    )


def test_a_built_in_set_of_words_can_be_scenes_whose_words_are_not_known() -> None:
    found = images.fixture("words", count=3, seed="craft", scenes=True)
    assert found.words == found.labels == (None,) * 3
    assert (found.name, found.origin, found.folder) == ("words", "rendered", resources.folder("fixtures") / "words")


def test_shared_words_and_captchas(shared: Callable[[str], Path]) -> None:
    words = images.read(shared("words/represent_data"))
    assert len(words.samples) == 100
    assert words.samples[0].label == "flying"
    captchas = images.read(shared("captcha"), count=64, seed="captcha-ocr", name_alphabet="2345678bcdefgmnpwxy")
    assert len(captchas.samples) == 64
    assert all(sample.label == sample.path.stem for sample in captchas.samples)
    assert set(images.read(shared("words/clovaai_demo"), name_alphabet="0123456789abcdefg").labels) == {None}


def test_the_module_imports_neither_numpy_nor_pillow() -> None:
    code = "import sys, ocr_conformance.images; sys.exit(bool({'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
