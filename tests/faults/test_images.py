"""Image files as disks, cameras, scanners and ill will leave them: judged like any other, or refused by name."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_conformance import images
from ocr_conformance.errors import UserError

from . import toy

NOISE = np.random.default_rng(0).integers(0, 256, (24, 20, 4), np.uint8)
RGB = Image.fromarray(NOISE[..., :3])
SEVERAL: dict[str, Any] = {"save_all": True, "append_images": [RGB.rotate(90), RGB.rotate(180)]}
DEEP = np.random.default_rng(1).integers(0, 65536, (24, 20, 4)).astype(">u2")


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG file by hand: Pillow writes none of 16-bit color, and none that lies about its size."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep(channels: int, color: int) -> bytes:
    """A PNG file of 16 bits a channel."""
    return png(20, 24, 16, color, b"".join(b"\0" + row[:, :channels].tobytes() for row in DEEP))


def turned(form: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(RGB, form, exif=exif, **options)


READ: dict[str, Callable[[], bytes]] = {
    "1x1.png": lambda: encoded(RGB.resize((1, 1)), "PNG"),
    "a row.png": lambda: encoded(RGB.resize((500, 1)), "PNG"),
    "a column.png": lambda: encoded(RGB.resize((1, 500)), "PNG"),
    "black and white.png": lambda: encoded(RGB.convert("1"), "PNG"),
    "gray and alpha.png": lambda: encoded(RGB.convert("LA"), "PNG"),
    "gray with a transparent level.png": lambda: encoded(RGB.convert("L"), "PNG", transparency=7),
    "alpha.png": lambda: encoded(Image.fromarray(NOISE), "PNG"),
    "palette with transparency.png": lambda: encoded(RGB.convert("P"), "PNG", transparency=0),
    "palette of 4 bits.png": lambda: encoded(RGB.quantize(16), "PNG", bits=4),
    "16 bit gray and alpha.png": lambda: deep(2, 4),
    "16 bit color.png": lambda: deep(3, 2),
    "16 bit color and alpha.png": lambda: deep(4, 6),
    "animated.png": lambda: encoded(RGB, "PNG", **SEVERAL),
    "animated behind another picture.png": lambda: encoded(RGB, "PNG", default_image=True, **SEVERAL),
    "gamma.png": lambda: png(
        *(20, 24, 8, 2, b"".join(b"\0" + row[:, :3].tobytes() for row in NOISE)),
        chunk(b"gAMA", struct.pack(">I", 10**5)),
    ),
    "turned.png": lambda: turned("PNG"),
    "animated.webp": lambda: encoded(RGB, "WEBP", lossless=True, **SEVERAL),
    "turned.webp": lambda: turned("WEBP", lossless=True),
    "several pages.tif": lambda: encoded(RGB, "TIFF", **SEVERAL),
    "four inks.tif": lambda: encoded(RGB.convert("CMYK"), "TIFF"),
    "four inks.jpg": lambda: encoded(RGB.convert("CMYK"), "JPEG"),
    "turned.jpg": lambda: turned("JPEG"),
    "huge EXIF of nonsense.jpg": lambda: encoded(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 60_000),
    "huge color profile of nonsense.jpg": lambda: encoded(RGB, "JPEG", icc_profile=bytes(5_000_000)),
    "a JPEG in truth.png": lambda: encoded(RGB, "JPEG"),
}
"""Read like any other image, from the first picture where there are several."""

GRAY16: dict[str, Callable[[], bytes]] = {
    "16 bit gray.png": lambda: deep(1, 0),
    "16 bit gray.tif": lambda: encoded(Image.fromarray(DEEP[..., 0].astype(np.uint16)), "TIFF"),
}

NONE = "it is no BMP, JPEG, PNG, TIFF or WebP"
BOMB = "decompression bomb"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "0 bytes.png": (lambda: b"", NONE),
    "text.png": (lambda: b"a label\n", NONE),
    "page.png": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", NONE),
    "drawing.png": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', NONE),
    "document.png": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", NONE),
    "a GIF in truth.png": (lambda: encoded(RGB, "GIF", **SEVERAL), NONE),
    "no size.png": (lambda: png(0, 5, 8, 0, b""), NONE),
    "half a PNG.png": (lambda: encoded(RGB, "PNG")[:700], "does not decode ("),
    "half a JPEG.jpg": (lambda: encoded(RGB, "JPEG")[:700], "does not decode ("),
    "half a TIFF.tif": (lambda: encoded(RGB, "TIFF")[:300], "does not decode ("),
    "half a WebP.webp": (lambda: encoded(RGB, "WEBP", lossless=True)[:300], "does not decode ("),
    "a header of 50000x50000.png": (lambda: png(50_000, 50_000, 8, 2, b"\0" * 100), BOMB),
    "a bomb of 14000x14000.png": (lambda: png(14_000, 14_000, 8, 0, bytes(14_001 * 14_000)), BOMB),
    "a text that unpacks to 100 MB.png": (
        lambda: png(2, 2, 8, 0, bytes(6), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000)))),
        "MAX_TEXT_CHUNK",
    ),
    "a profile that unpacks to 100 MB.png": (
        lambda: png(2, 2, 8, 0, bytes(6), chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000)))),
        "MAX_TEXT_CHUNK",
    ),
    "70 MB of texts.png": (
        lambda: png(2, 2, 8, 0, bytes(6), *[chunk(b"tEXt", b"k\0" + b"x" * 1_000_000)] * 70),
        "MAX_TEXT_MEMORY",
    ),
    "floats.tif": (lambda: encoded(Image.fromarray(NOISE[..., 0].astype(np.float32)), "TIFF"), "its pixels are floats"),
    "32 bit.tif": (
        lambda: encoded(Image.fromarray(NOISE[..., 0].astype(np.int32)), "TIFF"),
        "pixels are 32-bit numbers",
    ),
    "Lab.tif": (lambda: encoded(Image.merge("LAB", RGB.split()), "TIFF"), "pixels are of the Lab color space"),
}


def complaint(folder: Path, **options: Any) -> str:
    """The sentence by which a folder is refused."""
    with pytest.raises(UserError) as caught:
        images.read(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("scenes", [False, True])
@pytest.mark.parametrize("name", [*READ, *GRAY16])
def test_what_can_be_read_is_taken(tmp_path: Path, name: str, scenes: bool) -> None:
    (tmp_path / name).write_bytes({**READ, **GRAY16}[name]())
    assert images.read(tmp_path, scenes=scenes).files == (name,)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make, reason = REFUSED[name]
    (tmp_path / name).write_bytes(make())
    for scenes in (False, True):
        said = complaint(tmp_path, scenes=scenes)
        assert said.startswith(f"the image {tmp_path / name} does not decode (")
        assert said.endswith("): replace it or remove it")
        assert reason in said


def picture(path: Path, form: str) -> Path:
    """A file as a camera or a scanner may leave it."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    image, more = Image.fromarray(noise), {}
    if form == "CMYK":
        image = image.convert("CMYK")
    elif form == "16 bit":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif form == "turned":
        more["exif"] = Image.Exif()
        more["exif"][0x0112] = 6
    elif form != "RGB":
        image = image.convert(form)
    image.save(path, **more)
    return path


KINDS = [
    *(("RGB", suffix) for suffix in sorted(images.SUFFIXES)),
    *(("CMYK", suffix) for suffix in (".jpg", ".tif")),
    *(("16 bit", suffix) for suffix in (".png", ".tif")),
    *(("turned", suffix) for suffix in (".jpg", ".png", ".tif", ".webp")),
    *((mode, ".png") for mode in ("1", "L", "LA", "P", "RGBA")),
]


@pytest.mark.parametrize(("form", "suffix"), KINDS)
def test_what_a_camera_or_a_scanner_leaves_is_read_and_a_part_of_it_refused(
    tmp_path: Path, form: str, suffix: str
) -> None:
    path = picture(tmp_path / f"photo{suffix}", form)
    assert images.read(tmp_path, scenes=True).files == (path.name,)
    whole = path.read_bytes()
    for size in (0, 1, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError) as caught:
            images.read(tmp_path, scenes=True)
        assert str(caught.value).startswith(f"the image {path} does not decode (")
        assert "\n" not in str(caught.value)


def test_a_warning_of_pillow_s_about_metadata_is_no_error(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.tif", "RGB")
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    entries = [first + 2 + 12 * number for number in range(int.from_bytes(data[first : first + 2], "little"))]
    (planar,) = (entry for entry in entries if data[entry : entry + 2] == (284).to_bytes(2, "little"))
    data[planar : planar + 8] = b"".join(
        value.to_bytes(size, "little") for value, size in ((270, 2), (2, 2), (999999, 4))
    )
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="Tag data larger than file|Truncated File Read"), Image.open(path) as image:
        image.load()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read(tmp_path).files == ("a.tif",)


def test_postscript_starts_no_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow gives such a file to `gs`, whatever it is called."""
    called = tmp_path / "called"
    interpreter = tmp_path / "bin" / "gs"
    interpreter.parent.mkdir()
    interpreter.write_text(f"#!/bin/sh\ntouch {called}\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{interpreter.parent}:{os.environ['PATH']}")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    assert NONE in complaint(tmp_path / "set")
    assert not called.exists()
    code = f"from PIL import Image; Image.open({str(tmp_path / 'set' / 'x.png')!r}).load()"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert called.exists()  # so it would have been


def test_an_image_of_terabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as stream:
        stream.write(encoded(RGB, "PNG"))
        stream.truncate(1 << 40)  # a hole
    assert "x.png is larger than 1024 MiB: replace it or remove it" in complaint(tmp_path)


def folder_(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    home = os.getcwd()
    os.chdir(path.parent)  # its address has 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(home)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (folder_, "is a folder"),
    "a pipe": (os.mkfifo, "is no file"),
    "a socket": (unix_socket, "is no file"),
    "a device without end": (lambda path: path.symlink_to("/dev/zero"), "is no file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link to nothing"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere.png"), "is a link to nothing"),
    "a file that cannot be read": (lambda path: path.symlink_to("/proc/self/mem"), "cannot read the image"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    make, reason = NO_FILES[kind]
    RGB.save(tmp_path / "a.png")
    make(tmp_path / "x.png")
    for scenes in (False, True):
        said = complaint(tmp_path, scenes=scenes)
        assert str(tmp_path / "x.png") in said
        assert reason in said
    with pytest.raises(UserError, match=r"x\.png"):
        images.of_files([tmp_path / "x.png"])


def test_a_link_is_followed_and_a_folder_that_holds_itself_is_not(tmp_path: Path) -> None:
    RGB.save(tmp_path / "picture", "PNG")
    (tmp_path / "x.png").symlink_to("picture")
    (tmp_path / "sub").symlink_to(".")
    assert images.read(tmp_path).files == ("x.png",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads whatever it is forbidden")
@pytest.mark.parametrize("locked", ["x.png", "labels.tsv", "."])
def test_what_may_not_be_read_is_one_sentence(tmp_path: Path, locked: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    RGB.save(folder / "x.png")
    (folder / "labels.tsv").write_text("x.png\tx\n")
    (folder / locked).chmod(0o100 if locked == "." else 0)
    try:
        assert "Permission denied" in complaint(folder)
    finally:
        (folder / locked).chmod(0o700)


NAMES = ["\"'`$(touch x)`.png", "-o.png", "--help.png", " .png", "ä\u0301\u202eß.png", "#%?&;|.png", "x" * 251 + ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    RGB.save(tmp_path / name)
    (tmp_path / "labels.tsv").write_text(f"{name}\tx\n", encoding="utf-8")
    found = images.read(tmp_path)
    assert (found.files, found.labels) == ((name,), ("x",))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"two\nlines.png", r"two\nlines.png"),
        (b"\x1b[31mred.png", r"\x1b[31mred.png"),
        (b"\xff\xfe.png", r"\udcff\udcfe.png"),
        (b"bell\x07.jpg", r"bell\x07.jpg"),
    ],
)
def test_names_that_no_report_can_show_are_refused(tmp_path: Path, name: bytes, shown: str) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as stream:
        stream.write(encoded(RGB, "PNG"))
    for scenes in (False, True):
        said = complaint(tmp_path, scenes=scenes)
        assert f"{shown}' has a name that no report can show: give it another one" in said
    with pytest.raises(UserError, match="no report can show"):
        images.of_files([Path(os.fsdecode(path))])
    for number in range(9):
        RGB.save(tmp_path / f"{number}.png")
    files = [os.fsdecode(name), *(f"{number}.png" for number in range(9))]
    seed = next(seed for seed in map(str, range(99)) if files[0] not in images.choose(files, 3, seed))
    # What is not chosen needs not be in order.
    assert images.read(tmp_path, count=3, seed=seed).files == images.choose(files, 3, seed)


def test_of_thousands_of_files_the_chosen_few_are_opened(tmp_path: Path, whole: bool) -> None:
    RGB.save(tmp_path / "first", "PNG")
    for number in range(50_000 if whole else 5_000):
        (tmp_path / f"{number}.png").symlink_to("first")
    found = images.read(tmp_path, count=64, seed="s")
    assert len(set(found.files)) == 64
    (tmp_path / found.files[0]).unlink()
    (tmp_path / found.files[0]).write_bytes(b"")
    assert found.files[0] in complaint(tmp_path, count=64, seed="s")


# --- through the whole engine ----------------------------------------------------------------------------------------


@pytest.fixture
def repository(make_repository: Callable[[Path], Path], tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def squares(repository: Path) -> Path:
    """The recognizer's images."""
    return repository / "models" / "reader" / "squares"


def test_a_run_is_refused_before_anything_is_converted(repository: Path, squares: Path, whole: bool) -> None:
    os.mkfifo(squares / "x.png")
    assert "x.png is no file: replace it or remove it" in toy.refused(repository, *toy.FAST)
    (squares / "x.png").unlink()
    for folder in (squares, squares.with_name("squares-calibration")):
        for name in REFUSED if whole else ["0 bytes.png", "a header of 50000x50000.png"]:
            path = folder / name
            path.write_bytes(REFUSED[name][0]())
            said = toy.refused(repository, *toy.FAST)
            assert f"the image {path} does not decode (" in said
            path.unlink()
    status, text = toy.judge(repository, *toy.FAST)
    assert status == 0, text


def test_odd_images_and_names_are_judged_and_reported(repository: Path) -> None:
    folder = repository / "odd images"
    folder.mkdir()
    for name, make in READ.items():
        (folder / name).write_bytes(make())
    for name in NAMES:
        RGB.save(folder / name)
    reports = [f"--ocr-report=run{suffix}" for suffix in (".json", ".html", ".md")]
    status, text = toy.judge(repository, *toy.FAST, "--ocr-images=odd images", "--ocr-check=preprocessing", *reports)
    assert status == 0, text
    (run,) = json.loads((repository / "run.json").read_text())["runs"]
    assert run["models"]["reader"]["images"]["count"] == len(READ) + len(NAMES)
    assert all((repository / f"run{suffix}").stat().st_size for suffix in (".html", ".md"))


CHANGES = """
from pathlib import Path

def pytest_collection_finish(session):
    image = Path("models/reader/squares/3.png")
    {change}
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("image.write_bytes(image.read_bytes()[:-20])", "3.png changed while the run was planned; run again"),
        ("image.unlink()", "3.png cannot be read: No such file or directory"),
    ],
    ids=["changed", "gone"],
)
def test_an_image_that_is_another_when_its_job_begins(repository: Path, squares: Path, change: str, said: str) -> None:
    """Collection has read it; the job that opens it says so, and with the image put back the next run is right."""
    intact = shutil.copyfile(squares / "3.png", repository / "intact")
    plugin = repository / "changes.py"
    plugin.write_text(CHANGES.format(change=change))
    status, text = toy.judge(
        repository, *toy.FAST, "-p", "changes", PYTHONPATH=os.pathsep.join([str(repository), *sys.path])
    )
    assert status == 1, text
    assert said in text
    assert "Traceback" not in text
    shutil.copyfile(intact, squares / "3.png")
    status, text = toy.judge(repository, *toy.FAST)
    assert status == 0, text


# --- source and recipe -----------------------------------------------------------------------------------------------

PREPROCESS = '''
from pathlib import Path

from ocr_conformance.model import build


def compare(job):
    """By file: how far recipe and source library are apart, in gray levels, or what the one and the other say."""
    model = build(job.params["model"])
    (spec,) = model.inputs()
    found = {}
    for path in sorted(Path(job.params["folder"]).iterdir()):
        sides = []
        for recipe in (model.preprocess, model.phone_preprocess):
            try:
                sides.append(recipe(str(path))[spec.name])
            except ValueError as error:
                sides.append(str(error))
        texts = [side for side in sides if isinstance(side, str)]
        away = 0.0 if texts else float(abs(sides[0] - sides[1]).max()) / (spec.high - spec.low) * 255
        found[path.name] = texts or away
    return found
'''

MODELS = Path(__file__).parents[2] / "models"
TF = "is not an image that can be read"
ADAPTERS: dict[str, tuple[str, str, tuple[str, ...], dict[str, str | float]]] = {
    "deep-text-recognition": ("DeepTextRecognition", "None-VGG-None-CTC", (), dict.fromkeys(GRAY16, 255.0)),
    "easyocr": ("EasyOCR", "", ("cv2",), {}),
    "craft": ("Craft", "320", ("cv2",), {}),
    "east": ("East", "320", ("cv2",), {}),
    "keras-ocr": (
        *("KerasOCR", "", ("tensorflow", "keras_ocr")),
        dict.fromkeys(["a row.png", "a column.png"], TF),
    ),
    "captcha-ocr": (
        *("CaptchaOCR", "", ("tensorflow",)),
        {
            **dict.fromkeys([name for name in (*READ, *GRAY16) if not name.endswith((".png", ".jpg"))], TF),
            **dict.fromkeys([name for name in READ if "JPEG" in name or name.endswith(".jpg")], 8.0),
            "four inks.jpg": TF,
        },
    ),
}
"""Class, variant, what it needs, and where the source library refuses an image or is that many levels off.

Pillow's ``convert("L")``, which the package of `deep-text-recognition` calls, cuts 16-bit gray at 255: `preprocessing`
tells it. TensorFlow's ``decode_png``, of `captcha-ocr`, takes a JPEG's luma; the recipe makes gray of its colors, as of
a PNG. All others are 2 levels apart at most, by their ways of rounding.
"""


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name, make in {**READ, **GRAY16}.items():
        (folder / name).write_bytes(make())
    return folder


@pytest.mark.parametrize("model", ADAPTERS)
def test_source_library_and_recipe_agree(
    run_job: Callable[..., dict[str, Any]], tmp_path: Path, zoo: Path, model: str
) -> None:
    import importlib.util

    name, variant, needs, known = ADAPTERS[model]
    for module in needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    (tmp_path / "jobs.py").write_text(PREPROCESS)
    reference = {
        "adapter": f"{MODELS / model / 'model.py'}:{name}",
        "variant": variant,
        "weights": {"name": "seeded", "path": None, "sha256": ""},
    }
    result = run_job(f"{tmp_path / 'jobs.py'}:compare", {"model": reference, "folder": str(zoo)})
    assert result["ok"], result
    for file, away in result["facts"].items():
        expected = known.get(file, 2.1)
        if isinstance(expected, str):
            assert str(zoo / file) in away[0], file
            assert expected in away[0], file
        else:
            assert isinstance(away, float), (file, away)
            assert away <= expected, file
