"""Whatever a file of the user's holds: our readers take it or refuse it in a sentence, and what they took can be used.

The short form draws the same examples each time; ``--whole`` draws others, and many more.
"""

from __future__ import annotations

import copy
import datetime
import io
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_conformance import benchmark_log, contract, images, polygons, report, truth
from ocr_conformance.cases import MODES, Case
from ocr_conformance.diagnose.render import OF_PICTURE, OF_WORD, PILLOW_FACE, Picture
from ocr_conformance.errors import UserError
from ocr_conformance.report import difference, html, markdown, merging, schema, table, terminal

from . import toy

CHECKOUT = Path(__file__).parents[2]
CONTRACTS = sorted([*CHECKOUT.glob("models/*/contract.toml"), *CHECKOUT.glob("examples/**/contract.toml")])
MARKUP = "<script>alert('markup')</script>"

Explore = Callable[..., None]


@pytest.fixture
def explore(whole: bool) -> Explore:
    """``explore(test, *strategies, examples=N)``: call the test with what the strategies draw."""

    def run(test: Callable[..., None], *strategies: st.SearchStrategy[Any], examples: int) -> None:
        chosen = settings(
            max_examples=examples * 40 if whole else examples,
            derandomize=not whole,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        chosen(given(*strategies)(test))()

    return run


def refused(error: UserError | ValueError) -> None:
    """A sentence: one line, without an end in sight it is none, and no terminal obeys it."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 3000
    assert not any(unicodedata.category(each) in ("Cc", "Cs") for each in text), ascii(text)


# --- trees of values, with something wrong ---------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("", " ", ".", "..", "*", "[", "(", "(a+)+$", "\0", "\x1b[31m", "\u202e", "\ufeff", "e\u0301", "x" * 5000),
            *(MARKUP, "{{ 7 * 7 }}", "|`*_[a](javascript:x)", "https://", "/etc/passwd", "nan", "0" * 64, "\u2028"),
            *("float32", "recognizer", "detector", "pipeline", "passed", "failed", "m/tf-lite/int8@modern", "tf>=2"),
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-2, 300),
    st.floats(),
    st.sampled_from([2**31, -(2**63), 2**64, 10**400, 1e308, -1e308, 5e-324, 1e19, 253402300800]),
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def steps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[int, str, str, Any]]]:
    """Changes of a tree: of which place (a number for one), what, and for new ones the name and the value."""
    what = st.sampled_from(["retext", "retext", "replace", "replace", "delete", "add", "double", "swap"])
    return st.lists(st.tuples(st.integers(0, 10**6), what, TEXTS, values), min_size=1, max_size=4)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container in a tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    inner = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in inner:
        found.append((tree, key))
        found += places(value)
    return found


def changed(tree: Any, changes: list[tuple[int, str, str, Any]]) -> Any:
    tree = copy.deepcopy(tree)
    for number, what, name, value in changes:
        known = places(tree)
        if not known:
            break
        parent, key = known[number % len(known)]
        if what == "delete":
            del parent[key]
        elif what == "retext" and isinstance(parent[key], str):  # of the right kind, which more readers take
            parent[key] = name
        elif what == "add" and isinstance(parent, dict):
            parent[name] = copy.deepcopy(value)
        elif what == "double" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif what == "swap":
            other, there = known[(number // 7) % len(known)]
            if isinstance(parent[key], str | int | float) and isinstance(
                other.get(there) if isinstance(other, dict) else None, str | int | float
            ):
                parent[key], other[there] = other[there], parent[key]
        else:
            parent[key] = copy.deepcopy(value)
    return tree


# --- contracts -------------------------------------------------------------------------------------------------------

DAYS = st.sampled_from([datetime.date(2026, 11, 26), datetime.time(1), datetime.datetime(2026, 11, 26, 1)])


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.parent.name)
def test_contracts_with_something_wrong(explore: Explore, path: Path) -> None:
    whole = contract.tomllib.loads(path.read_text(encoding="utf-8"))

    def judge(changes: list[tuple[int, str, str, Any]]) -> None:
        try:
            found = contract.from_dict(changed(whole, changes), "contract.toml")
        except UserError as error:
            refused(error)
            return
        use(found)

    explore(judge, steps(st.one_of(VALUES, DAYS, st.just(deep(300)))), examples=40)


def use(found: contract.Contract) -> None:
    """What a run asks of a contract."""
    for variant in (*found.plain, *found.variants):
        for mode in MODES[:2]:
            case = Case(found.model.name, variant, "tf-lite", mode, "modern")
            found.limits(case, {"tensorflow": "2.21.0"}, device=next(iter(found.device), None))
            found.claims(case, {})
            found.settings(variant)
        found.has_variant(variant + "x")
    if found.weights:
        found.weights_sources()


def test_texts_that_are_hardly_toml(explore: Explore, tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    whole = CONTRACTS[0].read_bytes()
    pieces = st.one_of(st.binary(max_size=9), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))

    def judge(at: int, length: int, piece: bytes) -> None:
        start = at % len(whole)
        path.write_bytes(whole[:start] + piece + whole[start + length :])
        try:
            contract.load(path)
        except UserError as error:
            refused(error)

    explore(judge, st.integers(0, 10**6), st.integers(0, 40), pieces, examples=150)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{b = " * 100_000,
        "a" + ".a" * 2_000 + " = 1",
        f"schema = {'9' * 5000}",
        f"schema = 0x{'f' * 5000}",
        f"schema = {'9' * 400}.0",
        "schema = 1979-13-32",
        "\ufeffschema = 1",
        "schema = 1\r",
        'schema = "\\uD800"',
        "[model]\n" * 2,
    ],
    ids=lambda text: text[:12],
)
def test_toml_that_is_too_much(tmp_path: Path, text: str) -> None:
    (tmp_path / "contract.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        contract.load(tmp_path / "contract.toml")
    refused(caught.value)


# --- records ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(make_repository: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real one: of a recognizer that passes, of one that reads garbage, and of a detector."""
    repository = make_repository(tmp_path_factory.mktemp("record") / "repository")
    models = ("reader", "reader:garbage", "finder")
    options = ["-o", "ocr_model_paths=models detectors", *(f"--ocr-model={model}" for model in models)]
    status, text = toy.judge(repository, *options, "--ocr-mode=int8", "--ocr-report=run.json")
    assert status == 1, text
    found: dict[str, Any] = json.loads((repository / "run.json").read_text())
    assert len(found["cases"]) == 3
    return found


def shown(loaded: dict[str, Any], original: dict[str, Any]) -> None:
    """Make everything of a record that can be made of it."""
    changes = None
    try:
        changes = difference.compare(original, loaded)
    except UserError as error:
        refused(error)
    merged = merging.merge([("a", original), ("b", loaded)])
    texts = [
        *terminal.summary(loaded, 100, color=False),
        *terminal.changes(changes, 100),
        *table.conflicts(merged),
        markdown.render(merged, changes),
        report.as_json(loaded),
    ]
    for text in texts:
        assert not any(unicodedata.category(each) == "Cc" and each not in "\n\t" for each in text)
    page = html.render(merged, changes)
    assert MARKUP not in page
    assert "<script>alert" not in page
    assert schema.json_schema()


def test_records_with_something_wrong(explore: Explore, record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record))
    original = schema.load(path)
    taken = 0

    def judge(changes: list[tuple[int, str, str, Any]]) -> None:
        nonlocal taken
        path.write_text(json.dumps(changed(record, changes)), encoding="utf-8")
        try:
            loaded = schema.load(path)
        except UserError as error:
            refused(error)
            return
        taken += 1
        shown(loaded, original)

    explore(judge, steps(st.one_of(VALUES, st.none(), st.just(deep(300)))), examples=20)
    assert taken  # else nothing was shown


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "null", "[" * 100_000, '{"schema": 2' + "0" * 5000 + "}", '{"schema": NaN}']
)
def test_records_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError) as caught:
        schema.load(tmp_path / "run.json")
    refused(caught.value)


# --- images, labels, ground truth ------------------------------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        TEXTS,
        st.tuples(st.sampled_from(["a.png", "./a.png", "b.png", "../a.png", "/a.png", ".", ""]), TEXTS).map("\t".join),
        st.tuples(st.sampled_from(["0,0,9,0,9,5,0,5", "0,0,9,5,9,0,0,5", "1,2,3", "nan,0,9,0,9,5,0,5"]), TEXTS).map(
            ",".join
        ),
    ),
    max_size=5,
)
ENCODED = st.tuples(
    LINES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
).map(lambda each: each[1].join(each[0]).encode(each[2], "replace" if each[2] == "cp1252" else "surrogatepass"))


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with one image."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


def test_tables_of_labels(explore: Explore, one: Path) -> None:
    def judge(data: bytes) -> None:
        (one / "labels.tsv").write_bytes(data)
        try:
            (label,) = images.read(one).labels
        except UserError as error:
            refused(error)
        else:
            assert label is None or not any(unicodedata.category(each) in ("Cc", "Cs") for each in label)

    explore(judge, st.one_of(ENCODED, st.binary(max_size=40)), examples=200)


def words(found: tuple[truth.Word, ...] | None) -> None:
    assert found is not None
    boxes = [word.polygon for word in found]
    polygons.match(boxes, [*boxes, ((0, 0), (9, 0), (9, 5), (0, 5))], 0.5)


@pytest.mark.parametrize("name", ["gt_a.txt", "a.json"])
def test_texts_beside_scenes(explore: Explore, one: Path, name: str) -> None:
    def judge(data: bytes) -> None:
        (one / name).write_bytes(data)
        try:
            words(truth.of_image(one / "a.png"))
        except UserError as error:
            refused(error)

    explore(judge, st.one_of(ENCODED, st.binary(max_size=40)), examples=150)


def test_words_of_scenes(explore: Explore, one: Path) -> None:
    square = [[0, 0], [9, 0], [9, 5], [0, 5]]
    scene = {"words": [{"polygon": square, "text": "x", "ignore": False}, {"polygon": square[:3]}], "more": 1}

    def judge(changes: list[tuple[int, str, str, Any]]) -> None:
        (one / "a.json").write_text(json.dumps(changed(scene, changes)))
        try:
            words(truth.of_image(one / "a.png"))
        except UserError as error:
            refused(error)

    explore(judge, steps(st.one_of(VALUES, NUMBERS, NUMBERS, st.none())), examples=200)


def test_names_of_images(explore: Explore, tmp_path_factory: pytest.TempPathFactory) -> None:
    stream = io.BytesIO()
    Image.new("L", (2, 2)).save(stream, "PNG")

    def judge(name: bytes) -> None:
        folder = tmp_path_factory.mktemp("names")
        with open(
            os.path.join(os.fsencode(folder), name.replace(b"/", b"_").replace(b"\0", b"_") + b".png"), "wb"
        ) as file:
            file.write(stream.getvalue())
        try:
            (found,) = images.read(folder).files
        except UserError as error:
            refused(error)
        else:
            json.dumps(found).encode()
            found.encode()

    explore(
        judge,
        st.one_of(
            st.binary(min_size=1, max_size=60), TEXTS.map(lambda t: (t[:50] or "a").encode("utf-8", "surrogatepass"))
        ),
        examples=80,
    )


# --- what is given in a line -----------------------------------------------------------------------------------------


def test_case_strings(explore: Explore) -> None:
    parts = st.lists(st.one_of(TEXTS, st.sampled_from([*"/:@", "m", "tf-lite", "int8", "modern", "\n"])), max_size=9)

    def judge(text: str) -> None:
        try:
            found = Case.parse(text)
        except UserError as error:
            refused(error)
        else:
            assert str(found) == text

    explore(judge, parts.map("".join), examples=200)


FRAGMENTS = [
    *("STARTING!", "Num threads: [4]", "#threads used for CPU inference: [1]", "Graph: [m.tflite]", "count=50 "),
    *("first=1 ", "curr=2 ", "min=1 ", "max=9 ", "avg=2.5 ", "std=1", "curr=123(all same)", "\n", "\r\n", "\0", " "),
    "Inference timings in us: Init: 6395, First inference: 2761, Warmup (avg): 3243.58, Inference (avg): 2.5",
    "Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 2.5",
    *("Inference (avg):      0.46 ms (2112 runs)", "Inference (std):      0.01", "Overall footprint:    11.51 MB"),
    "Memory footprint delta from the start of the tool (MB): init=39.4 overall=40.8",
    *("nan", "inf", "-1", "1e400", "0", "9" * 400, "\u0663", "Timings (microseconds): count=50 "),
]


def test_logs_of_phones(explore: Explore) -> None:
    def judge(pieces: list[str], damage: bytes) -> None:
        text = "".join(pieces)
        for each in (text, benchmark_log.text_of(text.encode("utf-8", "replace") + damage)):
            try:
                runs = benchmark_log.parse(each, "log.txt")
            except UserError as error:
                refused(error)
                continue
            for run in runs:
                interval = run.interval()
                assert interval is None or interval[0] <= run.avg_ms <= interval[1]
                json.dumps(run.avg_ms, allow_nan=False)

    pieces = st.lists(st.one_of(st.sampled_from(FRAGMENTS), TEXTS), max_size=12)
    explore(judge, pieces, st.binary(max_size=8), examples=200)


def test_counterexamples(explore: Explore) -> None:
    word = {"text": "x", "face": PILLOW_FACE, **dict.fromkeys(OF_WORD, 0)}
    picture = {"words": [word], **dict.fromkeys(OF_PICTURE, 0)}
    assert Picture.from_json(picture).to_json() == picture

    def judge(changes: list[tuple[int, str, str, Any]]) -> None:
        data = changed(picture, changes)
        try:
            found = Picture.from_json(data)
        except ValueError:
            return
        assert Picture.from_json(json.loads(json.dumps(found.to_json()))) == found

    explore(judge, steps(st.one_of(VALUES, st.none(), st.integers(-1, 3))), examples=200)


def test_what_tomlkit_writes_is_read(tmp_path: Path) -> None:
    """`ocr-conformance contract` writes with another library than reads."""
    for path in CONTRACTS:
        text = path.read_text(encoding="utf-8")
        assert contract.tomllib.loads(tomlkit.dumps(tomlkit.parse(text))) == contract.tomllib.loads(text)
