"""The published shape of a record, and how a file that is none is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocr_conformance import report
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("runs"), "at runs: Field required"),
        (_without("runs", "0", "models"), "at runs.0.models"),
        (_without("cases", "m/tf-lite/int8@modern", "hops"), "at cases.m/tf-lite/int8@modern.hops"),
        (_other_verdict, "at cases.m/tf-lite/int8@modern.verdict"),
        (_other_run, "no run 3 with this model"),
        (_no_case, "'somewhere' is no case"),
        (lambda document: document.update(schema=99), "of schema 99, this version reads 2"),
        (lambda document: document.pop("schema"), "is no record"),
    ],
)
def test_a_broken_record_is_refused_in_one_sentence(
    document: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    broken = copy.deepcopy(document)
    change(broken)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError) as refused:
        schema.load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("content", "words"), [(b"", "no JSON"), (b"[1]", "no record"), (b"\xff\xfe", "no text")])
def test_what_is_no_record_at_all(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        schema.load(path)
    with pytest.raises(UserError, match="No such file"):
        schema.load(tmp_path / "none.json")
