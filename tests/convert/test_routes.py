"""What routes promise to the engine: which hops, which of them are the same job, what they need."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from ocr_conformance.cases import MODES
from ocr_conformance.convert import CALIBRATED, ROUTES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_ends_in_a_tflite_file_in_every_mode(route: str, mode: str) -> None:
    hops = ROUTES[route].hops(mode)
    assert hops[-1].produces == "tflite"
    assert len({hop.name for hop in hops}) == len(hops)
    assert any(hop.needs_calibration for hop in hops) == (mode in CALIBRATED)
    for hop in hops:
        if not (hop.source and ROUTES[route].hands_over):  # what the source needs may be in another toolchain
            assert set(hop.requires) <= set(ROUTES[route].requires)
        json.dumps(hop.params)
        module, _, function = hop.function.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("route", ROUTES)
def test_the_export_is_one_job_for_all_modes(route: str) -> None:
    assert len({repr(ROUTES[route].hops(mode)[0]) for mode in MODES}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_the_quantizer_starts_from_the_float_file_of_tf_lite(mode: str) -> None:
    float_hops = ROUTES["tf-lite"].hops("float32")
    assert ROUTES["litert-quantizer"].hops(mode)[:2] == float_hops
    assert len(ROUTES["litert-quantizer"].hops(mode)) == (2 if mode == "float32" else 3)


def test_unrolling_is_another_export_and_the_same_conversion() -> None:
    plain, unrolled = (ROUTES[name].hops("int8") for name in ("tf-lite", "tf-lite-unrolled"))
    assert plain[0].params != unrolled[0].params
    assert plain[1:] == unrolled[1:]


def test_an_option_reaches_the_hop_that_reads_it() -> None:
    assert ROUTES["litert-quantizer"].hops("float16", {"select_tf_ops": True})[1].params["select_tf_ops"] is True
    assert ROUTES["tf-lite"].hops("float16")[1].params["select_tf_ops"] is False


@pytest.mark.parametrize("route", ROUTES)
def test_only_the_first_hop_runs_the_source(route: str) -> None:
    assert [hop.source for hop in ROUTES[route].hops("int8")] == [
        True,
        *[False] * (len(ROUTES[route].hops("int8")) - 1),
    ]


def test_the_portable_network_is_exported_once_for_both_converters_of_onnx() -> None:
    assert ROUTES["onnx-tf-portable"].hops("int8")[0] == ROUTES["onnx2tf-portable"].hops("float32", {})[0]


def test_a_model_that_needs_a_later_opset_says_so() -> None:
    plain, later = (ROUTES["onnx2tf"].hops("float32", options)[0].params["opset"] for options in ({}, {"opset": 16}))
    assert (plain, later) == (12, 16)
    assert ROUTES["onnx2tf-dynamo"].hops("float32")[0].params == {"exporter": "dynamo", "opset": 18, "form": "source"}


def test_unknown_modes_and_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown mode 'int4': expected one of float32, "):
        ROUTES["tf-lite"].hops("int4")
    with pytest.raises(ValueError, match=r"tf-lite has no option 'opset' \(it has: select_tf_ops\)"):
        ROUTES["tf-lite"].hops("int8", {"opset": 12})


def test_describing_routes_imports_no_numpy() -> None:
    code = "import sys, ocr_conformance.convert; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
