"""Pictures of scenes: what is drawn where, in which size, and under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from ocr_conformance import pictures
from ocr_conformance.errors import UserError

CASE = "pipeline:craft+easyocr/onnx2tf/full-int8@modern"
KINDS = (pictures.SAME, pictures.CHANGED, pictures.LOST, pictures.INVENTED)


def box(left: float, top: float, width: float, height: float) -> list[list[float]]:
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]


def boxes(
    source: list[Any], artifact: list[Any], lost: tuple[int, ...] = (), new: tuple[int, ...] = ()
) -> dict[str, Any]:
    return {"image": "a.png", "source": source, "artifact": artifact, "lost": [*lost], "invented": [*new]}


def word(polygon: list[list[float]], text: str) -> dict[str, Any]:
    return {"polygon": polygon, "text": text}


def scene(path: Path, width: int = 400, height: int = 300) -> Path:
    Image.new("RGB", (width, height), (120, 120, 120)).save(path)
    return path


def says(picture: Path) -> list[str]:
    with Image.open(picture) as image:
        image.load()
        return str(image.info["Description"]).splitlines()


def panels(picture: Path, width: int, height: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Both panels of this size, without their headers."""
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    assert pixels.shape[1] == 2 * width + 8
    assert pixels.shape[0] > height + 40
    return pixels[-height:, :width], pixels[-height:, -width:]


def drawn(panel: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Pixels of each kind's colour."""
    return {kind.name: int((panel == kind.color).all(-1).sum()) for kind in KINDS}


def written(pixels: npt.NDArray[np.uint8], ground: pictures.Color, ink: pictures.Color) -> bool:
    """Whether something is written in this ink on this ground; thin strokes are a mixture of both."""
    near = np.abs(pixels.astype(int) - ink).max(-1) < 100
    return bool((pixels == ground).all(-1).sum() > 50 and near.sum() > 5)


def test_boxes_lost_and_invented(tmp_path: Path) -> None:
    same = box(20, 60, 100, 30)
    data = boxes([same, box(200, 60, 100, 30)], [box(20, 200, 100, 30), same, box(200, 200, 90, 9)], (1,), (0, 2))
    picture = pictures.write(tmp_path / "out", CASE, scene(tmp_path / "a.png"), "a.png", data)
    assert picture == tmp_path / "out/pipeline.craft+easyocr/onnx2tf/full-int8@modern/a.png.png"
    assert says(picture) == ["a.png", "source: 2 boxes", CASE, "artifact: 3 boxes, 1 lost, 2 invented"]
    left, right = panels(picture, 400, 300)
    assert (drawn(left)["invented"], drawn(left)["read otherwise"], drawn(right)["lost"]) == (0, 0, 0)
    assert drawn(left)["lost"] > 500
    assert drawn(right)["invented"] > 1500
    assert drawn(left)["same"] == drawn(right)["same"] > 400
    assert (left[60, 70] == pictures.SAME.color).all()
    assert (right[200, 70] == pictures.INVENTED.color).all()
    side = left[60, 202:300]  # dashed: colour is not the only mark
    assert (side == pictures.LOST.color).all(-1).any()
    assert (side == 0).all(-1).any()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [picture]


def test_words(tmp_path: Path) -> None:
    places = [box(20, 60, 100, 30), box(200, 60, 100, 30), box(20, 200, 100, 30)]
    data = {
        "image": "a.png",
        "source": [word(place, text) for place, text in zip(places, ["HELLO", "world", "gone"], strict=True)],
        "artifact": [word(places[1], "w0rld"), word(places[0], "HELLO")],
        "lost": [2],
        "invented": [],
        "changed": [[1, 0]],
    }
    picture = pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data)
    assert says(picture)[1::2] == ["source: 3 words", "artifact: 2 words, 1 lost, 0 invented, 1 read otherwise"]
    left, right = panels(picture, 400, 300)
    assert (drawn(left)["invented"], drawn(right)["invented"], drawn(right)["lost"]) == (0, 0, 0)
    for panel in (left, right):
        assert (panel[60:64, 250:260] == pictures.CHANGED.color).all(-1).any()
        assert written(panel[40:56, 200:240], pictures.CHANGED.color, pictures.CHANGED.ink)  # its text, above it
        assert drawn(panel[:, :150])["read otherwise"] == 0
    assert drawn(left)["lost"] > 400
    assert (left[40:56, 200:260] != right[40:56, 200:260]).any()


def test_a_label_at_the_border_stays_in_the_picture_and_off_the_others(tmp_path: Path) -> None:
    data = {
        "image": "a.png",
        "source": [
            word(box(350, 0, 49, 20), "a long text at the border"),
            word(box(352, 1, 46, 18), "and " + "one " * 999),
        ],
        "artifact": [],
        "lost": [0, 1],
        "invented": [],
        "changed": [],
    }
    left, _ = panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)
    assert drawn(left[:, :340])["lost"] > 2000
    rows = np.flatnonzero((left[:, 230:340] == pictures.LOST.color).all(-1).any(1))
    assert len(rows) >= 24  # two lines of text, one has 13 (bitmap font) or 19


def test_what_differs_lies_on_top(tmp_path: Path) -> None:
    places = [box(100, 100, 60, 20), *[box(60 + 7 * at, 80 + 5 * at, 60, 20) for at in range(12)]]
    words = [word(place, "gone" if number == 0 else "ordinary") for number, place in enumerate(places)]
    data = {"image": "a.png", "source": words, "artifact": [], "lost": [0], "invented": [], "changed": []}
    full, _ = panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)
    data["source"] = words[:1]
    alone, _ = panels(pictures.write(tmp_path, CASE, tmp_path / "a.png", "a.png", data), 400, 300)
    assert drawn(full)["lost"] == drawn(alone)["lost"]


def test_the_legend_fits_the_narrowest_column(tmp_path: Path) -> None:
    data = {**boxes([], []), "changed": []}
    with Image.open(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png", 10, 10), "a.png", data)) as picture:
        header = np.asarray(picture)[:-320]
    for end in (384, header.shape[1]):
        assert (header[:, end - 4 : end] == 255).all()


def test_a_scene_without_text_says_so(tmp_path: Path) -> None:
    picture = pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", boxes([], []))
    assert says(picture)[1::2] == ["source: no boxes", "artifact: no boxes, 0 lost, 0 invented"]
    for panel in panels(picture, 400, 300):
        assert written(panel, (255, 255, 255), (0, 0, 0))
    data = {**boxes([], [word(box(0, 0, 9, 9), "x")], new=(0,)), "changed": []}
    picture = pictures.write(tmp_path, CASE, tmp_path / "a.png", "a.png", data)
    assert says(picture)[1::2] == ["source: no words", "artifact: 1 word, 0 lost, 1 invented, 0 read otherwise"]


@pytest.mark.parametrize(
    ("size", "panel"),
    [
        ((1, 1), (384, 320)),
        ((10, 300), (384, 600)),
        ((10000, 10), (1280, 64)),
        ((10, 10000), (384, 1280)),
        ((2560, 1000), (1280, 500)),
        ((320, 40), (384, 64)),
        ((1280, 1280), (1280, 1280)),
    ],
    ids=str,
)
def test_sizes(tmp_path: Path, size: tuple[int, int], panel: tuple[int, int]) -> None:
    width, height = size
    data = boxes([box(0, 0, width, height)], [box(0, 0, width, height)], (0,))
    picture = pictures.write(tmp_path, CASE, scene(tmp_path / "a.png", *size), "a.png", data)
    left, right = panels(picture, *panel)
    assert drawn(left)["lost"] > 0
    assert drawn(right)["same"] > 0


def test_a_turned_photograph(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 200), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6  # as the camera was held: shown 200 wide and 400 high
    image.save(tmp_path / "a.jpg", exif=exif)
    data = boxes([box(10, 350, 100, 30)], [], (0,))
    left, _ = panels(pictures.write(tmp_path, CASE, tmp_path / "a.jpg", "a.jpg", data), 384, 400)
    assert drawn(left[340:, :120])["lost"] > 400
    assert left[200, 190, 2] > 200  # the scene
    assert left[200, 210, 2] < 200  # padding


def test_names_keep_images_apart(tmp_path: Path) -> None:
    names = ("b.jpg", "b.png", "a/b.jpg", "c/b.jpg", "sample 3")
    made = {pictures.write(tmp_path, "m/r/int8@t", scene(tmp_path / "x.png"), name, boxes([], [])) for name in names}
    assert {path.relative_to(tmp_path / "m/r/int8@t").as_posix() for path in made} == {f"{name}.png" for name in names}
    assert all(path.is_file() for path in made)


def test_a_second_run_replaces_the_picture(tmp_path: Path) -> None:
    for count in (0, 1):
        data = boxes([box(0, 0, 9, 9)] * count, [])
        picture = pictures.write(tmp_path / "out", CASE, scene(tmp_path / "a.png"), "a.png", data)
    assert says(picture)[1] == "source: 1 box"
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 1


def test_what_cannot_be_written_or_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    image = scene(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"^--ocr-pictures .*file: cannot write b\.png\.png \((Not a dir|File exists)"):
        pictures.write(tmp_path / "file", CASE, image, "a/b.png", boxes([], []))
    (tmp_path / "m/r/int8@t/a.png.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write a\.png\.png \(Is a directory\)"):
        pictures.write(tmp_path, "m/r/int8@t", image, "a.png", boxes([], []))
    assert [path.name for path in (tmp_path / "m/r/int8@t").iterdir()] == ["a.png.png"]  # nothing half done beside it
    with pytest.raises(UserError, match=r"^--ocr-pictures .*none\.png is not an image"):
        pictures.write(tmp_path, CASE, tmp_path / "none.png", "none.png", boxes([], []))


@pytest.mark.parametrize(
    "text",
    ["Straße", "中文", "שלום", "a\nb\tc", "\ud800", "\0", "", "  ", "🙂", "x" * 5000, "%s {} \\"],
    ids=lambda text: ascii(text[:9]),
)
def test_any_text_can_be_drawn(tmp_path: Path, text: str) -> None:
    words = [word(box(20, 60, 100, 30), text)]
    data = {"image": "a", "source": words, "artifact": words, "lost": [], "invented": [], "changed": [[0, 0]]}
    left, _ = panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)
    assert written(left[40:57, 20:60], pictures.CHANGED.color, pictures.CHANGED.ink)


def test_texts_that_the_font_has_no_letters_for_differ(tmp_path: Path) -> None:
    pixels = []
    for text in ("中", "文"):
        words = [word(box(20, 60, 100, 30), text)]
        data = {"image": "a", "source": words, "artifact": [], "lost": [], "invented": [], "changed": []}
        pixels.append(panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)[0])
    assert (pixels[0] != pixels[1]).any()


def test_an_image_with_a_name_beyond_ascii(tmp_path: Path) -> None:
    picture = pictures.write(tmp_path, CASE, scene(tmp_path / "ä.png"), "ä.png", boxes([], []))
    assert picture.name == "ä.png.png"
    assert says(picture)[0] == "\\xe4.png"


def test_pillow_without_a_font_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        old = ImageFont.load_default_imagefont()
    except AttributeError:
        pytest.skip("this Pillow does not give its bitmap font by name")

    def load_default(**size: int) -> Any:
        if size:
            raise TypeError("load_default() got an unexpected keyword argument 'size'")
        return old

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    data = {**boxes([word(box(20, 60, 100, 30), "中 é")], []), "changed": []}
    assert says(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data))[1] == "source: 1 word"


def test_boxes_beyond_the_border(tmp_path: Path) -> None:
    across = [[-1e300, 100], [1e300, 100], [1e300, 200], [-1e300, 200]]
    away = box(5000, 5000, 10, 10)
    data = boxes([across, away], [box(-1e6, -1e6, 2e6, 2e6), box(-50, -50, 100, 100)], (0, 1), (0, 1))
    picture = pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data)
    assert says(picture)[1] == "source: 2 boxes (1 outside of the picture)"
    assert says(picture)[3] == "artifact: 2 boxes, 2 lost, 2 invented (1 outside of the picture)"
    left, right = panels(picture, 400, 300)
    rows = np.flatnonzero((left == pictures.LOST.color).all(-1).sum(1) > 200)
    assert sorted({int(row) // 10 for row in rows}) == [9, 10, 19, 20]  # both long sides, where they are
    assert (right[20, 50] == pictures.INVENTED.color).all()
    assert drawn(right[:, 60:])["invented"] == 0


def test_a_line_that_crosses_the_picture_keeps_its_place(tmp_path: Path) -> None:
    # Both ends far outside: moving them to the border one by one would turn the line.
    data = boxes([[[-1000, -1000], [1000, 1000], [1000, 9000], [-1000, 9000]]], [])
    left, _ = panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)
    green = (left == pictures.SAME.color).all(-1)
    assert all(green[at - 1 : at + 2, at].any() for at in range(2, 298))


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-50, 450)
polygons = st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=3, max_size=7)


@given(st.lists(polygons, max_size=3), st.lists(polygons, min_size=1, max_size=3))
def test_any_polygons_can_be_drawn(source: list[Any], artifact: list[Any]) -> None:
    rgb = np.zeros((30, 20, 3), np.uint8)
    data = boxes(source, artifact, tuple(range(len(source))), (0,))
    picture, _ = pictures._draw(rgb, CASE, "a.png", data)
    assert picture.width == 2 * 384 + 8


@pytest.mark.parametrize("polygon", [[[50, 50]] * 4, [[50, 50], [51, 50], [51, 50]]], ids=str)
def test_a_box_without_area_is_seen(tmp_path: Path, polygon: list[list[float]]) -> None:
    data = boxes([polygon], [polygon], (0,))
    left, right = panels(pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", data), 400, 300)
    assert drawn(left[48:54, 48:54])["lost"] >= 9
    assert drawn(right[48:54, 48:54])["same"] >= 4


def test_a_polygon_of_many_points_is_dashed(tmp_path: Path) -> None:
    turns = np.linspace(0, 2 * np.pi, 600, endpoint=False)
    ring = np.stack([200 + 100 * np.cos(turns), 150 + 100 * np.sin(turns)], 1).tolist()
    left, _ = panels(
        pictures.write(tmp_path, CASE, scene(tmp_path / "a.png"), "a.png", boxes([ring], [], (0,))), 400, 300
    )
    around = left[np.round(150 + 100 * np.sin(turns)).astype(int), np.round(200 + 100 * np.cos(turns)).astype(int)]
    share = (around == pictures.LOST.color).all(-1).mean()
    assert 0.5 < share < 0.85
