"""Labels and ground truth as editors, spreadsheets and other people's scripts write them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_conformance import images, metrics, polygons, truth
from ocr_conformance.errors import UserError

from . import toy

LONG = 10_000_000


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A folder with the image a.png."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


READ = {
    "plain": (b"a.png\tx\n", "x"),
    "no line feed at the end": (b"a.png\tx", "x"),
    "byte order mark": (b"\xef\xbb\xbfa.png\tx\n", "x"),
    "CRLF": (b"a.png\tx\r\n\r\n", "x"),
    "lone CR": (b"a.png\tx\r", "x"),
    "empty lines": (b"\n \n\t\n\na.png\tx\n\n", "x"),
    "quotes": (b'a.png\t"x""y"\n', '"x""y"'),
    "a name with ./": (b"./a.png\tx\n", "x"),
    "blanks around": (b"a.png\t x \n", " x "),
    "only a blank": (b"a.png\t \n", " "),
    "a no-break space": ("a.png\t\u00a0\n".encode(), "\u00a0"),
    "a separator of lines that is none of a file's": ("a.png\tx\u2028y\n".encode(), "x\u2028y"),
    "right to left": ("a.png\t\u05e9\u05dc\u05d5\u05dd\u202e\n".encode(), "\u05e9\u05dc\u05d5\u05dd\u202e"),
    "beyond 16 bits": ("a.png\t\U0001f600\n".encode(), "\U0001f600"),
    "of one character": ("a.png\t\u00e9\n".encode(), "\u00e9"),
    "of a letter and its accent": ("a.png\te\u0301\n".encode(), "e\u0301"),
}
"""As they stand, nothing stripped or unquoted: what a network reads is compared with it."""


@pytest.mark.parametrize("kind", READ)
def test_a_table_is_read_as_it_stands(words: Path, kind: str) -> None:
    data, label = READ[kind]
    (words / "labels.tsv").write_bytes(data)
    found = images.read(words)
    assert (found.files, found.labels) == (("a.png",), (label,))


REFUSED = {
    "UTF-16": ("a.png\tx\n".encode("utf-16"), "labels.tsv is not UTF-8 ("),
    "UTF-16 without a mark": ("a.png\tx\n".encode("utf-16-le"), r"line 1: there is a '\x00' in the name 'a\x00"),
    "UTF-32": ("a.png\tx\n".encode("utf-32"), "labels.tsv is not UTF-8 ("),
    "Latin-1": (b"a.png\tW\xf6rter\n", "labels.tsv is not UTF-8 ("),
    "half a surrogate pair": (b"a.png\t\xed\xa0\x80\n", "labels.tsv is not UTF-8 ("),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbfa.png\tx\n", r"there is no image '\ufeffa.png'"),
    "NUL in a name": (b"a\0.png\tx\n", r"line 1: there is a '\x00' in the name 'a\x00.png'"),
    "NUL in a text": (b"a.png\tx\0\n", r"line 1: there is a '\x00' in the text 'x\x00': take it out"),
    "an escape sequence": (b"a.png\t\x1b[31mx\n", r"line 1: there is a '\x1b' in the text '\x1b[31mx'"),
    "a form feed": (b"\na.png\tx\x0cy\n", r"line 2: there is a '\x0c' in the text 'x\x0cy'"),
    "a next line": ("a.png\tx\u0085y\n".encode(), r"line 1: there is a '\x85' in the text"),
    "a tab in the text": (b"a.png\tx\ty\n", r"line 1: 'a.png\tx\ty' is not 'file<TAB>text'"),
    "blanks for a tab": (b"a.png    x\n", "line 1: 'a.png    x' is not 'file<TAB>text'"),
    "commas for tabs": (b"a.png,x\n", "line 1: 'a.png,x' is not 'file<TAB>text'"),
    "a header": (b"file\ttext\na.png\tx\n", "line 1: there is no image 'file' in"),
    "no text": (b"a.png\t\n", r"line 1: 'a.png\t' is not 'file<TAB>text'"),
    "no name": (b"\tx\n", r"line 1: '\tx' is not 'file<TAB>text'"),
    "twice": (b"a.png\tx\na.png\tx\n", "line 2: a.png is named twice: keep one of the lines"),
    "twice in two spellings": (b"a.png\tx\n./a.png\ty\n", "line 2: a.png is named twice"),
    "a file that is not there": (b"a.png\tx\nb.png\ty\n", "line 2: there is no image 'b.png' in"),
    "a blank behind the name": (b"a.png \tx\n", "line 1: there is no image 'a.png ' in"),
    "a backslash": (b"sub\\a.png\tx\n", r"line 1: there is no image 'sub\\a.png' in"),
    "an absolute name": (b"/etc/passwd\tx\n", "line 1: /etc/passwd is outside of"),
    "a way out": (b"sub/../../a.png\tx\n", "line 1: sub/../../a.png is outside of"),
    "the folder": (b".\tx\n", "line 1: . is a folder in"),
    "the table": (b"labels.tsv\tx\n", "labels.tsv does not decode (it is no BMP"),
    "a name that no disk has": (b"x" * 300 + b".png\tx\n", "line 1: there is no image 'xxx"),
    "a line without end": (b"x" * LONG, "is not 'file<TAB>text'"),
    "a text without end": (b"a.png\t" + b"x" * LONG, f"has {LONG} characters: at most 10000 are read"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_table_that_is_wrong_is_one_sentence_with_the_line(words: Path, kind: str) -> None:
    data, said = REFUSED[kind]
    (words / "labels.tsv").write_bytes(data)
    with pytest.raises(UserError) as caught:
        images.read(words)
    text = str(caught.value)
    assert said in text
    assert "labels.tsv" in text
    assert text.isprintable()
    assert len(text) < 500 + 2 * len(str(words))


INSTEAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "a pipe": (os.mkfifo, "is no file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link to nothing"),
    "a file that cannot be read": (lambda path: path.symlink_to("/proc/self/mem"), "cannot read"),
}


@pytest.mark.parametrize("name", ["labels.tsv", "a.json", "gt_a.txt"])
@pytest.mark.parametrize("kind", INSTEAD)
def test_what_is_no_table_is_not_taken_for_none(words: Path, kind: str, name: str) -> None:
    """Images without labels pass where there should have been a drop."""
    make, said = INSTEAD[kind]
    make(words / name)
    with pytest.raises(UserError, match=f"{name}.* {said}|{said} .*{name}"):
        images.read(words, scenes=name != "labels.tsv")


def test_a_name_in_other_code_points_is_another_file(words: Path) -> None:
    """As on the disk: whether the two are one file is the file system's to say."""
    (words / "a.png").rename(words / "e\u0301.png")
    (words / "labels.tsv").write_text("\u00e9.png\tx\n", encoding="utf-8")
    if (words / "\u00e9.png").exists():
        pytest.skip("this file system normalises names")
    with pytest.raises(UserError, match="there is no image '\u00e9\\.png'"):
        images.read(words)


def test_a_letter_and_its_accent_are_read_as_one_character() -> None:
    """A table from macOS has the one, a network's alphabet the other."""
    found = metrics.paired(["\u00e9", "e\u0301", "e"], ["\u00e9", "\u00e9", "\u00e9"], ["e\u0301", "\u00e9", "\u00e9"])
    assert (found.source_right, found.right, found.gained) == (2, 3, (2,))


# --- scenes ----------------------------------------------------------------------------------------------------------

SQUARE = "[[0, 0], [9, 0], [9, 5], [0, 5]]"


def scene(polygon: str = SQUARE, more: str = "") -> bytes:
    return f'{{"words": [{{"polygon": {polygon}{more}}}]}}'.encode()


POINTS = "word 1: 'polygon' is not a list of at least three points [x, y] in pixels"
SCENES_REFUSED = {
    "nothing": (b"", "is no JSON ("),
    "NUL": (b"\0", "is no JSON ("),
    "cut off": (scene()[:-3], "is no JSON ("),
    "UTF-16": (scene().decode().encode("utf-16"), "is not UTF-8"),
    "Latin-1": (b'{"words": "\xf6"}', "is not UTF-8"),
    "100000 brackets": (b'{"words":' + b"[" * 100_000, "is no JSON ("),
    "a list": (b"[]", "has no list 'words'"),
    "words by name": (b'{"words": {}}', "has no list 'words'"),
    "words that are texts": (b'{"words": ["x"]}', POINTS),
    "NaN": (scene("[[0, 0], [1, 1], [2, NaN]]"), POINTS),
    "infinity": (scene("[[0, 0], [1, 1], [2, 1e999]]"), POINTS),
    "far away": (scene("[[0, 0], [1, 1], [2, -1e300]]"), POINTS),
    "a number of 400 digits": (scene(f"[[0, 0], [1, 1], [2, {'9' * 400}]]"), POINTS),
    "a number of 5000 digits": (scene(f"[[0, 0], [1, 1], [2, {'9' * 5000}]]"), "a.json"),
    "numbers as texts": (scene('[["0", 0], [9, 0], [9, 5]]'), POINTS),
    "true for 1": (scene("[[true, 0], [9, 0], [9, 5]]"), POINTS),
    "two corners": (scene("[[0, 0], [9, 5]]"), POINTS),
    "three numbers a corner": (scene("[[0, 0, 0], [9, 0, 0], [9, 5, 0]]"), POINTS),
    "numbers in a row": (scene("[0, 0, 9, 0, 9, 5]"), POINTS),
    "a number for the text": (scene(SQUARE, ', "text": 3'), "word 1: 'text' is a string"),
    "yes for true": (scene(SQUARE, ', "ignore": "yes"'), "'ignore' true or false"),
    "half a surrogate pair": (scene(SQUARE, r', "text": "\ud800"'), r"word 1: there is a '\ud800' in the text"),
    "an escape sequence": (scene(SQUARE, r', "text": "\u001b[31m"'), r"word 1: there is a '\x1b' in the text"),
    "two lines": (scene(SQUARE, r', "text": "a\nb"'), r"word 1: there is a '\n' in the text"),
    "a text without end": (scene(SQUARE, f', "text": "{"x" * LONG}"'), f"has {LONG} characters"),
}

SCENES_READ = {
    "byte order mark": b"\xef\xbb\xbf" + scene(),
    "outside of the picture": scene("[[-5, -5], [99, 0], [99, 50], [0, 5]]"),
    "crossing itself": scene("[[0, 0], [9, 5], [9, 0], [0, 5]]"),
    "a line": scene("[[0, 0], [5, 0], [9, 0]]"),
    "a point": scene("[[0, 0], [0, 0], [0, 0]]"),
    "a thousand corners": scene(json.dumps([[i, i * i % 97] for i in range(1000)])),
    "as far as it goes": scene("[[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]"),
    "no words": b'{"words": []}',
    "a tab in the text": scene(SQUARE, r', "text": "a\tb"'),
}


@pytest.mark.parametrize("kind", SCENES_REFUSED)
def test_a_scene_s_json_that_is_wrong_is_one_sentence(words: Path, kind: str) -> None:
    data, said = SCENES_REFUSED[kind]
    (words / "a.json").write_bytes(data)
    with pytest.raises(UserError) as caught:
        images.read(words, scenes=True)
    text = str(caught.value)
    assert said in text
    assert text.startswith(str(words / "a.json"))
    assert text.isprintable()
    assert len(text) < 500 + len(str(words))


@pytest.mark.parametrize("kind", SCENES_READ)
def test_odd_polygons_are_read_and_matched(words: Path, kind: str) -> None:
    (words / "a.json").write_bytes(SCENES_READ[kind])
    (found,) = images.read(words, scenes=True).words
    assert found is not None
    boxes = [word.polygon for word in found]
    seen = [*boxes, ((0, 0), (9, 0), (9, 5), (0, 5))]
    matched = polygons.match(boxes, seen, 0.5)
    assert 0 <= len(matched.pairs) <= len(boxes)
    assert all(0.5 <= overlap <= 1 + 1e-9 for _, _, overlap in matched.pairs)


BOX = b"0,0,9,0,9,5,0,5,"
LINES_READ = {
    "byte order mark": (b"\xef\xbb\xbf" + BOX + b"x\n", ["x"]),
    "CRLF": (BOX + b"x\r\n" + BOX + b"y\r\n", ["x", "y"]),
    "lone CR": (BOX + b"x\r" + BOX + b"y\r", ["x", "y"]),
    "commas and quotes": (BOX + b'"a,b",c\n', ['"a,b",c']),
    "blanks": (b" 0, 0,9 ,0,9,5,0,5, x \n", [" x "]),
    "decimals": (b"-0.5,.5,9.,0,9,5e0,0,+5,x\n", ["x"]),
    "a tab in the text": (BOX + b"a\tb\n", ["a\tb"]),
    "a separator of lines that is none of a file's": (BOX + "a\u2028b\n".encode(), ["a\u2028b"]),
    "no text": (BOX + b"\n", [""]),
    "nothing": (b"", []),
}
LINES_REFUSED = {
    "NaN": b"nan,0,9,0,9,5,0,5,x",
    "infinity": b"0,0,9,0,9,5,0,inf,x",
    "far away": b"1e400,0,9,0,9,5,0,5,x",
    "an underscore": b"1_0,0,9,0,9,5,0,5,x",
    "another script's digits": "\u0661,0,9,0,9,5,0,5,x".encode(),
    "hexadecimal": b"0x9,0,9,0,9,5,0,5,x",
    "several dots": b"1.2.3,0,9,0,9,5,0,5,x",
    "two corners": b"0,0,9,5,x",
    "no text": b"0,0,9,0,9,5,0,5",
    "semicolons": BOX.replace(b",", b";") + b"x",
    "tabs": BOX.replace(b",", b"\t") + b"x",
    "NUL": BOX + b"x\0",
    "an escape sequence": BOX + b"\x1b]0;title\x07",
    "Latin-1": BOX + b"\xf6",
    "UTF-16": (BOX + b"x").decode().encode("utf-16"),
    "a line without end": b"x" * LONG,
    "a text without end": BOX + b"x" * LONG,
}


@pytest.mark.parametrize("kind", LINES_READ)
def test_lines_of_a_scene_are_read_as_they_stand(words: Path, kind: str) -> None:
    data, texts = LINES_READ[kind]
    (words / "gt_a.txt").write_bytes(data)
    (found,) = images.read(words, scenes=True).words
    assert found is not None
    assert [word.text for word in found] == texts


@pytest.mark.parametrize("kind", LINES_REFUSED)
def test_a_line_of_a_scene_that_is_wrong_is_one_sentence(words: Path, kind: str) -> None:
    (words / "gt_a.txt").write_bytes(BOX + b"fine\n" + LINES_REFUSED[kind])
    with pytest.raises(UserError) as caught:
        images.read(words, scenes=True)
    text = str(caught.value)
    assert text.startswith((f"{words / 'gt_a.txt'}, line 2: ", f"{words / 'gt_a.txt'} is not UTF-8"))
    assert text.isprintable()
    assert len(text) < 500 + len(str(words))


def test_a_number_at_the_limit_is_the_last() -> None:
    assert truth._FAR == 1e9  # as SCENES_READ has it
    assert polygons.overlaps([((-1e9, -1e9), (1e9, -1e9), (1e9, 1e9))], [((0, 0), (1, 0), (1, 1))])[0][0] >= 0


# --- through the whole engine ----------------------------------------------------------------------------------------


@pytest.fixture
def repository(make_repository: Callable[[Path], Path], tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def test_a_run_with_wrong_labels_is_refused_before_anything_is_converted(repository: Path, whole: bool) -> None:
    folder = repository / "words"
    folder.mkdir()
    Image.new("L", (20, 4)).save(folder / "a.png")
    for kind in REFUSED if whole else ["UTF-16", "a text without end"]:
        data, said = REFUSED[kind]
        (folder / "labels.tsv").write_bytes(data)
        assert said in toy.refused(repository, *toy.FAST, "--ocr-images=words")


def test_a_run_with_wrong_words_is_refused_before_anything_is_converted(repository: Path, whole: bool) -> None:
    options = ("-o", "ocr_model_paths=models detectors", "--ocr-model=finder", "--ocr-mode=float32")
    for kind in SCENES_REFUSED if whole else ["NaN", "half a surrogate pair"]:
        data, said = SCENES_REFUSED[kind]
        (repository / "detectors" / "finder" / "boards" / "2.json").write_bytes(data)
        assert said in toy.refused(repository, *options)


def test_labels_that_the_network_cannot_read_count_as_wrong_on_both_sides(repository: Path) -> None:
    """Other characters than its alphabet's, other scripts, accents: judged, and in every report."""
    folder = repository / "models" / "reader" / "squares"
    lines = (folder / "labels.tsv").read_text().splitlines()
    lines[:3] = [
        "0.png\t\u05e9\u05dc\u05d5\u05dd",
        "1.png\t<script>alert(1)</script>&amp;",
        "2.png\t| \U0001f600 | ` e\u0301",
    ]
    (folder / "labels.tsv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    reports = [f"--ocr-report=run{suffix}" for suffix in (".json", ".html", ".md")]
    status, text = toy.judge(repository, *toy.FAST, "--ocr-check=accuracy", *reports)
    assert status == 0, text
    (case,) = json.loads((repository / "run.json").read_text())["cases"].values()
    values = {value["name"]: value["measured"] for value in case["checks"]["accuracy"]["values"]}
    assert values == {"source_accuracy": 0.5, "accuracy": 0.5, "drop": 0.0}
    assert "<script>alert(1)" not in (repository / "run.html").read_text()
