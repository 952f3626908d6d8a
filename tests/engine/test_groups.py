"""Which cases must stay together for no job to be run twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.job import import_file
from ocr_conformance.registry import Registry

Groups = Callable[..., dict[str, str]]


@pytest.fixture
def groups(downstream: Path, tmp_path: Path) -> Groups:
    """The group of each case of these models of the downstream repository."""

    def of(*models: str) -> dict[str, str]:
        registry = Registry()
        import_file(str(downstream / "conftest.py")).pytest_ocr_register(None, registry)
        for folder in ("models", "detectors"):
            registry.add_models(downstream / folder)
        registry.models["pipeline"] = Registry.built_in().models["pipeline"]
        settings = Settings(models=models, modes=("float32", "int8"), cache=tmp_path / "cache")
        with Engine(settings, registry) as engine:
            pairs = [(case, check.name) for case in engine.cases for check in engine.checks_of(case)]
            return {str(case).partition("@")[0]: group for case, group in engine.groups(pairs).items()}

    return of


def test_modes_of_a_model_share_its_source_and_variants_share_nothing(groups: Groups) -> None:
    assert groups("reader", "reader:dark") == {
        "reader/pack/float32": "reader",
        "reader/pack/int8": "reader",
        "reader:dark/pack/float32": "reader:dark",
        "reader:dark/pack/int8": "reader:dark",
    }


def test_a_pipeline_goes_with_its_parts(groups: Groups) -> None:
    found = groups("reader", "finder", "pipeline:finder+reader")
    assert len(set(found.values())) == 1
    apart = groups("reader", "finder")
    assert set(apart.values()) == {"reader", "finder"}, "they have no job in common but for the pipeline"


def test_a_model_goes_with_its_twin(groups: Groups) -> None:
    assert set(groups("finder", "seeker").values()) == {"finder"}
    assert set(groups("seeker").values()) == {"seeker"}
