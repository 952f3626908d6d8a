"""Which toolchain a case belongs to, and where each of its hops runs when the source's framework is in another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance import toolchain
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.registry import Registry
from ocr_conformance.toolchain import Toolchain

MODEL = "deep-text-recognition:None-VGG-None-CTC"
SOURCE = {
    "torch": "2.13.0",
    "onnx": "1.23.2",
    "onnxruntime": "1.32.0",
    "litert-torch": "0.10.0",
    "litert-quantizer": "0.11",
}
HERE = Toolchain("modern", "/here/bin/python", "a" * 64, SOURCE, is_here=True)
OTHER = Toolchain("onnx2tf", "/other/bin/python", "b" * 64, {"onnx2tf": "2.6.9", "tensorflow": "2.21.0"})


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    """An engine that sees these toolchains."""

    def make(*chains: Toolchain, route: str = "onnx2tf", search: int | None = None) -> Engine:
        monkeypatch.setattr(toolchain, "available", lambda: list(chains))
        settings = Settings(models=(MODEL,), routes=(route,), modes=("float32", "int8"), cache=tmp_path, search=search)
        return Engine(settings, Registry.built_in())

    return make


def test_the_source_runs_here_and_its_file_travels(engine: Callable[..., Engine]) -> None:
    made = engine(HERE, OTHER)
    float32, int8 = made.cases
    assert str(int8) == f"{MODEL}/onnx2tf/int8@onnx2tf"
    plan = made.plan(int8)
    assert plan.skip == ""
    assert plan.inputs is not None
    assert plan.predict is not None
    assert {plan.inputs.workplace.python, plan.predict.workplace.python} == {HERE.python}
    assert plan.predict.workplace.preload == ("torch",)
    (onnx, onnx_task, onnx_run), (_, saved_task, saved_run), (_, lite_task, lite_run) = plan.hops
    assert onnx == "onnx(torchscript)"
    assert onnx_run is not None
    assert onnx_task.workplace == onnx_run.workplace == plan.predict.workplace
    for task in (saved_task, saved_run, lite_task):
        assert task is not None
        assert (task.workplace.python, task.workplace.preload) == (OTHER.python, ("tensorflow",))
    assert lite_run is not None
    assert (lite_run.workplace.python, lite_run.workplace.preload) == (OTHER.python, ())
    assert lite_task.inputs["calibration"].workplace.python == HERE.python
    assert made.plan(float32).hops[0][1].key == onnx_task.key  # exported once
    assert plan.latency is not None
    assert plan.latency(None, 0).params["with_source"] is False  # there is no torch beside the artifact
    made.close()


def test_a_case_whose_toolchain_has_the_source_is_timed_beside_it(engine: Callable[..., Engine]) -> None:
    made = engine(HERE, OTHER, route="litert-torch")
    plan = made.plan(made.cases[0])
    assert plan.chain == HERE
    assert plan.latency is not None
    assert plan.latency(None, 0).params["with_source"] is True
    made.close()


def test_a_missing_toolchain_is_said_with_its_command(engine: Callable[..., Engine]) -> None:
    missing = dataclasses.replace(OTHER, python="", missing="toolchain onnx2tf is not created here", how="create it")
    made = engine(HERE, missing)
    assert made.plan(made.cases[0]).skip == "toolchain onnx2tf is not created here: create it with `create it`"


def test_a_source_that_no_toolchain_can_run_is_said_too(engine: Callable[..., Engine]) -> None:
    partial = dataclasses.replace(HERE, versions={"onnx": "1.23.2"})
    made = engine(partial, OTHER)
    skip = made.plan(made.cases[0]).skip
    assert skip.startswith(
        "toolchain modern lacks torch>=2.4 here: install with `/here/bin/python -m pip install torch=="
    )


def test_a_route_on_request_needs_its_very_name(engine: Callable[..., Engine]) -> None:
    assert {case.route for case in engine(HERE, OTHER, route="onnx2tf*").cases} == {"onnx2tf", "onnx2tf-direct"}
    assert {case.route for case in engine(HERE, OTHER, route="onnx2tf-dynamo").cases} == {"onnx2tf-dynamo"}


SEARCH = {**SOURCE, "hypothesis": "6.170.17", "pillow": "13.0.0"}


def searching(**versions: str) -> Toolchain:
    return dataclasses.replace(HERE, versions={**SEARCH, **versions})


@pytest.mark.parametrize("runtime", [{"ai-edge-litert": "2.3.0"}, {"tensorflow-cpu": "2.21.0"}])
def test_a_search_runs_where_the_source_is_whatever_made_the_artifact(
    engine: Callable[..., Engine], runtime: dict[str, str]
) -> None:
    made = engine(OTHER, searching(**runtime), search=7)
    plan = made.plan(made.cases[0])
    assert plan.search is not None
    assert plan.search.workplace.python == HERE.python
    assert plan.search.inputs["artifact"].workplace.python == OTHER.python
    assert (plan.search.params["examples"], plan.search.params["seed"], plan.search.params["replay"]) == (7, 0, [])
    assert plan.search.params["seconds"] < made.limits.seconds
    other = engine(OTHER, searching(**runtime), search=8)
    again = other.plan(other.cases[0]).search
    assert again is not None
    assert again.key != plan.search.key
    made.close()
    other.close()


def test_a_search_without_hypothesis_says_what_to_install(engine: Callable[..., Engine]) -> None:
    made = engine(dataclasses.replace(HERE, versions={**SOURCE, "pillow": "13.0.0"}), OTHER, search=7)
    plan = made.plan(made.cases[0])
    assert plan.search is None
    assert plan.skip == ""
    assert plan.no_search.startswith(
        "toolchain modern lacks hypothesis>=6.100, ai-edge-litert here: install with "
        "`/here/bin/python -m pip install hypothesis==6.170.17 ai-edge-litert=="
    )
    assert made.judge(made.cases[0], "search").verdict == "skipped"
    made.close()


def test_an_environment_without_a_lock_says_it_too(engine: Callable[..., Engine]) -> None:
    local = dataclasses.replace(HERE, name="local", versions={**SEARCH, "hypothesis": "5.0"})
    made = engine(local, OTHER, search=7)
    assert made.plan(made.cases[0]).no_search.endswith(
        "install with `/here/bin/python -m pip install 'hypothesis>=6.100' ai-edge-litert`"
    )
    made.close()


def test_without_the_option_nothing_is_searched(engine: Callable[..., Engine]) -> None:
    made = engine(searching(tensorflow="2.21.0"), OTHER)
    plan = made.plan(made.cases[0])
    assert (plan.search, plan.no_search) == (None, "")
    assert "search" not in {check.name for check in made.checks_of(made.cases[0])}
    made.close()
