"""Names of pipelines: which models are their parts, by which routes they go, what is selected by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import pipelines
from ocr_conformance.cases import Case
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.convert import Route
from ocr_conformance.errors import UserError
from ocr_conformance.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Detectors and recognizers whose names and variants hold the signs that names of pipelines are made of."""
    registry = Registry()
    for name in ("one", "two", "three"):
        registry.add_route(Route(name, "", "keras", (), lambda mode, options: ()))

    def add(name: str, kind: str, routes: list[str], variants: dict[str, Any] | None = None, **model: Any) -> None:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.py").write_text("")
        described = {"name": name, "kind": kind, "framework": "keras", "summary": "s", **model}
        if kind != "pipeline":
            described = {**described, "adapter": "model.py:M", "routes": routes}
        weights = {} if kind == "pipeline" else {"seeded": {"recipe": "r"}}
        data = {"schema": 1, "model": described, "variants": variants or {}, "weights": weights}
        registry.add_model(folder, data)

    on_request = {"summary": "s", "default": False}
    add(
        "find",
        "detector",
        ["one", "two"],
        {"640": on_request, "v1.5": on_request, "only": {"summary": "s", "routes": ["three"]}},
    )
    add("find.er", "detector", ["one"], {"wide": on_request})
    add("find+more", "detector", ["two"])
    add(
        "sized", "detector", ["one"], {"big": on_request, "320": {"summary": "s"}, "640": {"summary": "s"}}, plain=False
    )
    add("asked", "detector", ["one"], {"small": on_request, "large": on_request}, plain=False)
    add("read", "recognizer", ["two", "three"], {"a.b": on_request})
    add("read+on", "recognizer", ["three"], on_request=["one"])
    add(
        "pipeline",
        "pipeline",
        [],
        {
            "find+read": {"summary": "s"},
            "sized+read": {"summary": "s", "routes": ["one+three"]},
            "D+R": {"summary": "s", "pattern": r".+\+.+", "default": False},
        },
        plain=False,
    )
    return registry


def names(registry: Registry, variant: str) -> tuple[str, str]:
    first, second = pipelines.parts(registry, variant)
    return pipelines.model_id(first), pipelines.model_id(second)


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ("find+read", ("find", "read")),
        ("find.640+read", ("find:640", "read")),
        ("find.v1.5+read.a.b", ("find:v1.5", "read:a.b")),
        ("find.er+read", ("find.er", "read")),
        ("find.er.wide+read", ("find.er:wide", "read")),
        ("find+more+read", ("find+more", "read")),
        ("find+read+on", ("find", "read+on")),
        ("find+more+read+on", ("find+more", "read+on")),
        ("sized+read", ("sized:320", "read")),  # there is no plain form: the first default variant
        ("sized.big+read", ("sized:big", "read")),
        ("asked+read", ("asked:small", "read")),  # nor a default variant: the first
    ],
)
def test_parts(registry: Registry, variant: str, parts: tuple[str, str]) -> None:
    assert names(registry, variant) == parts


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("find", "--ocr-model pipeline:find: expected DETECTOR+RECOGNIZER, e.g. pipeline:craft+easyocr"),
        ("fnid+read", "--ocr-model pipeline:fnid+read: fnid: there is no such detector; did you mean find"),
        ("find+raed", "--ocr-model pipeline:find+raed: raed: there is no such recognizer; did you mean read"),
        ("find.800+read", "--ocr-model pipeline:find.800+read: find.800: there is no such detector; did you mean find"),
        ("find+", "--ocr-model pipeline:find+: : there is no such recognizer; known: read, read+on"),
        ("+read", "--ocr-model pipeline:+read: : there is no such detector; known: asked, find, find+more"),
        ("read+find", "--ocr-model pipeline:read+find: read is a recognizer, expected a detector in this place"),
        ("find+find", "--ocr-model pipeline:find+find: find is a detector, expected a recognizer in this place"),
        ("pipeline+read", "pipeline is a pipeline, expected a detector in this place"),
    ],
)
def test_what_is_no_pipeline_is_one_sentence(registry: Registry, variant: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        pipelines.parts(registry, variant)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_option_that_named_it_can_be_another(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"^--model pipeline:find: expected"):
        pipelines.parts(registry, "find", "--model")


@pytest.mark.parametrize(
    ("route", "halves"), [("one+two", ("one", "two")), ("tf-lite+onnx2tf-direct", ("tf-lite", "onnx2tf-direct"))]
)
def test_halves_of_a_route(route: str, halves: tuple[str, str]) -> None:
    assert pipelines.halves(route) == halves


@pytest.mark.parametrize("route", ["one", "one+", "+one", "+", ""])
def test_a_route_that_is_none(route: str) -> None:
    with pytest.raises(UserError, match=r"is no route of a pipeline: expected ROUTE\+ROUTE"):
        pipelines.halves(route)


@pytest.mark.parametrize(
    ("variant", "routes"),
    [
        ("find+read", ["one+two", "two+two"]),  # the route of the same name, else the recognizer's first
        ("find.only+read", ["three+three"]),
        ("find+read+on", ["one+three", "two+three"]),  # what is judged on request only is not chosen
        ("find+more+read", ["two+two"]),
        ("sized+read", ["one+three"]),  # as the contract has it
    ],
)
def test_routes(registry: Registry, variant: str, routes: list[str]) -> None:
    description = registry.models["pipeline"].contract.settings(variant)
    assert pipelines.routes(registry, description, variant) == routes


def test_default_variants(registry: Registry) -> None:
    found = {name: entry.default_variants for name, entry in registry.models.items()}
    assert found == {
        "find": ["", "only"],
        "find.er": [""],
        "find+more": [""],
        "sized": ["320", "640"],
        "asked": [],
        "read": [""],
        "read+on": [""],
        "pipeline": ["find+read", "sized+read"],
    }
    assert [name for name, entry in registry.models.items() if entry.is_pipeline] == ["pipeline"]


@pytest.mark.parametrize(
    ("pattern", "variants"),
    [
        ("pipeline", ["find+read", "sized+read"]),
        ("pipeline:*+read", ["find+read", "sized+read"]),
        ("pipeline:find+read", ["find+read"]),
        ("pipeline:find.640+read.a.b", ["find.640+read.a.b"]),
    ],
)
def test_selecting_pipelines(registry: Registry, pattern: str, variants: list[str]) -> None:
    assert [variant for _, variant in registry.variants([pattern])] == variants


@pytest.mark.parametrize("pattern", ["pipeline:find+raed", "pipeline:read+find", "pipeline:find", "pipeline:D+R"])
def test_selecting_what_is_no_pipeline(registry: Registry, pattern: str) -> None:
    with pytest.raises(UserError, match=rf"^--ocr-model {pattern.replace('+', '[+]')}"):
        registry.variants([pattern])


@pytest.mark.parametrize("patterns", [["one"], ["one+two"], ["on*"], ["*+t*"], ["one+two", "three"]])
def test_routes_can_be_selected_by_either_half(registry: Registry, patterns: list[str]) -> None:
    registry.check_routes(patterns)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("one+tow", "--ocr-route tow: there is no such route; did you mean two"),
        ("oen+two", "--ocr-route oen: there is no such route; did you mean one"),
        ("one+", "--ocr-route : there is no such route"),
    ],
)
def test_a_half_that_is_no_route(registry: Registry, pattern: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.check_routes([pattern])
    assert message in str(caught.value)


def cases(registry: Registry, tmp_path: Path, *routes: str, model: str = "pipeline:find+read") -> list[str]:
    settings = Settings(models=(model,), modes=("int8",), routes=routes, cache=tmp_path / "cache")
    with Engine(settings, registry) as engine:
        return list(dict.fromkeys(case.route for case in engine.cases))


def test_cases_of_a_pipeline(registry: Registry, tmp_path: Path) -> None:
    assert cases(registry, tmp_path) == ["one+two", "two+two"]
    assert cases(registry, tmp_path, "two+*") == ["two+two"]
    assert cases(registry, tmp_path, "two+three") == ["two+three"]  # any pair, when it is asked for by its name
    assert cases(registry, tmp_path, "one+three") == ["one+three"]  # though it is a route of sized+read
    assert cases(registry, tmp_path, "one") == []
    assert cases(registry, tmp_path, model="pipeline:find+read+on") == ["one+three", "two+three"]
    assert cases(registry, tmp_path, "two+one", model="pipeline:find+read+on") == ["two+one"]


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("three+two", "pipeline:find+read, route three+two: find has no route 'three'; it has one, two"),
        ("one+one", "pipeline:find+read, route one+one: read has no route 'one'; it has two, three"),
    ],
)
def test_a_route_that_a_part_does_not_have(registry: Registry, tmp_path: Path, route: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        cases(registry, tmp_path, route)
    assert str(caught.value) == message


def test_a_pair_that_was_asked_for_is_none_of_the_other_pipelines_routes(registry: Registry, tmp_path: Path) -> None:
    settings = Settings(models=("pipeline:find+read+on",), routes=("two+one",), cache=tmp_path / "cache")
    with Engine(settings, registry) as engine:
        assert engine.cases
        assert engine.stale_claims() == []  # of find+read, too, whose recognizer has no such route


def test_a_case_of_a_pipeline_reads_back() -> None:
    case = Case("pipeline", "craft.640+easyocr.w512", "litert-torch+onnx2tf", "int8", "modern")
    assert str(case) == "pipeline:craft.640+easyocr.w512/litert-torch+onnx2tf/int8@modern"
    assert Case.parse(str(case)) == case


def test_the_built_in_pipelines_have_parts_and_routes(tmp_path: Path) -> None:
    registry = Registry.built_in()
    entry = registry.models["pipeline"]
    assert entry.default_variants == ["craft+easyocr", "craft+keras-ocr", "east+keras-ocr"]
    with Engine(Settings(models=("pipeline",), cache=tmp_path / "cache"), registry) as engine:
        for variant in entry.default_variants:
            first, second = pipelines.parts(registry, variant)
            assert first[0].contract.model.kind == "detector"
            assert second[0].contract.model.kind == "recognizer"
            assert engine._routes(entry, variant)
