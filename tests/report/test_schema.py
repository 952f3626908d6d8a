"""The published shape of a record, and how a file that is none is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocr_conformance import cli, report
from ocr_conformance.errors import UserError
from ocr_conformance.report import schema


def test_the_published_schema_is_that_of_the_reader() -> None:
    published = json.loads(schema.PUBLISHED.read_text(encoding="utf-8"))
    assert published == schema.json_schema(), "write it anew: python -m ocr_conformance.report.schema"
    jsonschema.Draft202012Validator.check_schema(published)


def test_a_record_validates_and_reads_back(document: dict[str, Any], tmp_path: Path) -> None:
    jsonschema.validate(document, schema.json_schema(), jsonschema.Draft202012Validator)
    report.write(document, tmp_path / "run.json")
    assert schema.load(tmp_path / "run.json") == document


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[int(name)] if isinstance(document, list) else document[name]
        del document[path[-1]]

    return change


def _other_verdict(document: dict[str, Any]) -> None:
    document["cases"]["m/tf-lite/int8@modern"]["verdict"] = "green"


def _other_run(document: dict[str, Any]) -> None:
    document["cases"]["m/tf-lite/int8@modern"]["run"] = 3


def _no_case(document: dict[str, Any]) -> None:
    document["cases"]["somewhere"] = document["cases"]["m/tf-lite/int8@modern"]


def _put(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    """Put a value somewhere; a path begins in the float32 case unless it begins with ``/``."""

    def change(document: dict[str, Any]) -> None:
        place: Any = document if path[0] == "/" else document["cases"]["m/tf-lite/float32@modern"]
        names = path[1:] if path[0] == "/" else path
        for name in names[:-1]:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[names[-1]] = value

    return change


SIZE = ("checks", "size", "data")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("runs"), "at runs: Field required"),
        (_without("runs", "0", "models"), "at runs.0.models"),
        (_without("cases", "m/tf-lite/int8@modern", "hops"), "at cases.m/tf-lite/int8@modern.hops"),
        (_other_verdict, "at cases.m/tf-lite/int8@modern.verdict"),
        (_other_run, "no run 3 with this model"),
        (_no_case, "'somewhere' is no case"),
        (_put("0", "run"), "run: Input should be a valid integer"),
        (_put("1", "/", "runs", "0", "seconds"), "runs.0.seconds"),
        (_put("5", "checks", "size", "values", "0", "measured"), "measured"),
        (_put({}, "/", "runs", "0", "environment"), "runs.0.environment.ocr_conformance"),
        (_put({}, "checks"), "the worst of its checks"),
        (_put("failed", "verdict"), "the worst of its checks"),
        (_put({"claim": "x"}, *SIZE), "claim"),
        (_put({"hops": [{}]}, *SIZE), "hops"),
        (_put({"ops": [{"name": "ADD"}]}, *SIZE), "ops"),
        (_put({"targets": {"gpu": {}}}, *SIZE), "targets"),
        (_put({"intervals": [1]}, *SIZE), "intervals"),
        (_put({"counterexample": {}}, *SIZE), "counterexample"),
        (_put({"detector": {"claim": 1}}, *SIZE), "claim"),
        (_put({"sentence": "s", "reference": "r", "op": 1, "sqnr": [["a", 1, 2]]}, "explanation"), "sqnr"),
        (
            _put(
                [
                    {
                        "name": "h",
                        "kind": "ok",
                        "stage": "",
                        "message": "",
                        "seconds": 1.0,
                        "cpu_seconds": 1.0,
                        "peak_bytes": 1,
                        "seen": 1e300,
                    }
                ],
                "hops",
            ),
            "seen",
        ),
        (lambda document: document["cases"].update({"m/tf-lite/int7@modern": document["cases"].popitem()[1]}), "int7"),
        (
            lambda document: document.update(
                conflicts=[{"case": "m/a/int8@b", "differs": [], "record": next(iter(document["cases"].values()))}]
            ),
            "among",
        ),
        (lambda document: document.update(schema=99), "of schema 99, this version reads 2"),
        (lambda document: document.pop("schema"), "is no record"),
    ],
)
def test_a_broken_record_is_refused_in_one_sentence(
    document: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    broken = copy.deepcopy(document)
    broken["cases"]["m/tf-lite/float32@modern"]["checks"]["size"]["data"] = {}
    change(broken)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError) as refused:
        schema.load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_no_view_can_show_is_dropped(document: dict[str, Any], tmp_path: Path) -> None:
    checks = document["cases"]["m/tf-lite/float32@modern"]["checks"]
    checks["size"]["values"][0]["measured"] = math.nan
    checks["size"]["message"] = "red \x1b[31m and \ud800"
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    read = schema.load(path)["cases"]["m/tf-lite/float32@modern"]["checks"]["size"]
    assert read["values"][0]["measured"] is None
    assert read["message"] == "red [31m and ?"
    assert cli.main(["report", str(path), *(f"-o{tmp_path}/all.{suffix}" for suffix in ("json", "html", "md"))]) == 0


def test_keys_that_may_be_left_out(document: dict[str, Any], tmp_path: Path) -> None:
    del document["conflicts"]
    for case in document["cases"].values():
        del case["explanation"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    assert cli.main(["merge", str(path), "-o", str(tmp_path / "all.html")]) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [(100_000 * b"[", "no JSON"), (b"", "no JSON"), (b"[1]", "no record"), (b"\xff\xfe", "no text")],
)
def test_what_is_no_record_at_all(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        schema.load(path)
    with pytest.raises(UserError, match="No such file"):
        schema.load(tmp_path / "none.json")
