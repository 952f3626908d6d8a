"""Routes: named chains of hops from a source framework to a ``.tflite`` file.

This module describes them and imports nothing heavy; the hop functions it refers to run in child processes.

A hop function is a job (see `ocr_conformance.job`). The first hop of a route finds the source model in
``job.params["model"]`` (see `ocr_conformance.model.build`); every later one finds the files of the hop before it in
``job.inputs["previous"]``. A hop with ``needs_calibration`` finds ``inputs.npz`` (``[N, ...]`` per input name) in
``job.inputs["calibration"]``. Hops of equal function, parameters and predecessor are one job, whichever modes and
routes they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ocr_conformance.cases import MODES

Product = Literal["saved-model", "onnx", "tflite"]
"""What a hop leaves in its folder: ``saved_model/``, ``model.onnx`` or ``model.tflite``."""

TENSORFLOW = "tensorflow"


@dataclass(frozen=True)
class HopSpec:
    """One hop of a route in one mode.

    Attributes:
        name: as tables show it; unique within its route.
        function: ``module:function``.
        produces: what the next hop, or the runner of hop outputs, finds in the folder.
        params: JSON-able parameters, without the model.
        requires: requirements that the toolchain must meet (``tensorflow>=2.15``; tensorflow-cpu counts as that).
        needs_calibration: whether the hop reads the calibration set.
        source: whether it builds the source network: its toolchain must meet the model's requirements, too.
        preload: modules that a warm parent imports where it has no source framework to import.
    """

    name: str
    function: str
    produces: Product
    params: dict[str, Any]
    requires: tuple[str, ...]
    needs_calibration: bool = False
    source: bool = False
    preload: tuple[str, ...] = ()


Plan = Callable[[str, Mapping[str, Any]], tuple[HopSpec, ...]]


@dataclass(frozen=True)
class Route:
    """A named chain of hops.

    Attributes:
        name: as in a case string.
        summary: one line for ``--ocr-list``.
        framework: of the source models it starts from.
        requires: every requirement that some hop of it has; with ``hands_over``, those after the source's own.
        plan: gives the hops of a mode, with all options set.
        options: options that a contract may set for the route, with their defaults.
        hands_over: whether the source's own hops may run in another toolchain than the rest: what they make is a file
            that the next hop can take anywhere (ONNX). The case's toolchain is that of the rest.
    """

    name: str
    summary: str
    framework: str
    requires: tuple[str, ...]
    plan: Plan
    options: Mapping[str, Any] = field(default_factory=dict)
    hands_over: bool = False

    def hops(self, mode: str, options: Mapping[str, Any] | None = None) -> tuple[HopSpec, ...]:
        """The hops of ``mode``, first to last; the last one produces ``model.tflite``.

        Raises:
            ValueError: an unknown mode or option.
        """
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}: expected one of {', '.join(MODES)}")
        unknown = sorted(set(options or {}) - set(self.options))
        if unknown:
            known = ", ".join(self.options) or "none"
            raise ValueError(f"route {self.name} has no option {unknown[0]!r} (it has: {known})")
        return self.plan(mode, {**self.options, **(options or {})})


CALIBRATED = frozenset({"int8", "full-int8", "int16x8"})
"""Modes whose activations are quantized by ranges that a calibration set gives."""


def _saved_model(unroll: bool) -> HopSpec:
    return HopSpec(
        "saved-model", "ocr_conformance.convert.saved_model:export", "saved-model", {"unroll": unroll}, (TENSORFLOW,),
        source=True,
    )  # fmt: skip


def _tf_lite(mode: str, select_tf_ops: bool) -> HopSpec:
    return HopSpec(
        f"tf-lite({mode})",
        "ocr_conformance.convert.tf_lite:convert",
        "tflite",
        {"mode": mode, "select_tf_ops": select_tf_ops},
        (TENSORFLOW,),
        needs_calibration=mode in CALIBRATED,
        preload=(TENSORFLOW,),
    )


def _plan_tf_lite(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    return _saved_model(unroll=False), _tf_lite(mode, options["select_tf_ops"])


def _plan_tf_lite_unrolled(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    return _saved_model(unroll=True), _tf_lite(mode, options["select_tf_ops"])


def _quantize(mode: str, recipe: str = "all", options: Mapping[str, Any] = MappingProxyType({})) -> HopSpec:
    return HopSpec(
        f"litert-quantizer({mode})",
        "ocr_conformance.convert.litert_quantizer:quantize",
        "tflite",
        {
            "mode": mode,
            "recipe": recipe,
            "dynamic": options.get("dynamic_convolutions", ""),
            "ranges": options.get("ranges", "extremes") if mode == "int8" else "extremes",
        },
        ("litert-quantizer",),
        needs_calibration=mode in CALIBRATED,
    )


def _litert_quantizer(recipe: str) -> Plan:
    def plan(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
        to_float = (_saved_model(unroll=False), _tf_lite("float32", options["select_tf_ops"]))
        return to_float if mode == "float32" else (*to_float, _quantize(mode, recipe, options))

    return plan


def _litert_torch(form: str, recipe: str = "all") -> Plan:
    to_float = HopSpec(
        "litert-torch", "ocr_conformance.convert.litert_torch:convert", "tflite", {"form": form}, ("litert-torch",),
        source=True,
    )  # fmt: skip

    def plan(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
        if mode == "float32":
            return (to_float,)
        return to_float, _quantize(mode, recipe, options)

    return plan


def _onnx(exporter: str, opset: int, form: str) -> HopSpec:
    return HopSpec(
        f"onnx({exporter})",
        "ocr_conformance.convert.onnx:export",
        "onnx",
        {"exporter": exporter, "opset": opset, "form": form},
        ("onnx",),
        source=True,
    )


def _onnx_tf(form: str) -> Plan:
    to_tensorflow = HopSpec(
        "saved-model(onnx-tf)", "ocr_conformance.convert.onnx_tf:convert", "saved-model", {}, ("onnx-tf", TENSORFLOW),
        preload=(TENSORFLOW,),
    )  # fmt: skip

    def plan(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
        return _onnx("torchscript", 12, form), to_tensorflow, _tf_lite(mode, options["select_tf_ops"])

    return plan


def _onnx2tf(
    form: str = "source", exporter: str = "torchscript", opset: int | None = None, *, unroll: bool = False
) -> Plan:
    to_tensorflow = HopSpec(
        "saved-model(onnx2tf)", "ocr_conformance.convert.onnx2tf:saved_model", "saved-model", {"unroll": unroll},
        ("onnx2tf", TENSORFLOW), preload=(TENSORFLOW,),
    )  # fmt: skip

    def plan(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
        onnx = _onnx(exporter, opset or options["opset"], form)
        return onnx, to_tensorflow, _tf_lite(mode, options["select_tf_ops"])

    return plan


def _plan_onnx2tf_direct(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    direct = HopSpec(
        f"onnx2tf-direct({mode})",
        "ocr_conformance.convert.onnx2tf:direct",
        "tflite",
        {"mode": mode},
        ("onnx2tf",),
        needs_calibration=mode in CALIBRATED,
    )
    return _onnx("torchscript", options["opset"], "source"), direct


_SCOPED = {"dynamic_convolutions": "", "ranges": "extremes"}
"""Options of the scoped recipe in ``int8``: see `ocr_conformance.convert.litert_quantizer.quantize`. An average would
clip the inputs of ``full-int8``, and 16 bits need none."""

ROUTES: dict[str, Route] = {
    route.name: route
    for route in (
        Route(
            "tf-lite",
            "Keras -> SavedModel (batch 1) -> TFLiteConverter",
            "keras",
            (TENSORFLOW,),
            _plan_tf_lite,
            {"select_tf_ops": False},
        ),
        Route(
            "tf-lite-unrolled",
            "tf-lite with the recurrent layers unrolled over time",
            "keras",
            (TENSORFLOW,),
            _plan_tf_lite_unrolled,
            {"select_tf_ops": False},
        ),
        Route(
            "litert-quantizer",
            "float file of tf-lite -> litert-quantizer",
            "keras",
            (TENSORFLOW, "litert-quantizer"),
            _litert_quantizer("all"),
            {"select_tf_ops": False},
        ),
        Route(
            "litert-quantizer-scoped",
            "litert-quantizer, by a recipe that spares what 8 bits spoil",
            "keras",
            (TENSORFLOW, "litert-quantizer"),
            _litert_quantizer("scoped"),
            {"select_tf_ops": False, **_SCOPED},
        ),
        *(
            route
            for form, suffix, more in (
                ("source", "", ""),
                ("portable", "-portable", ", the network in its portable form"),
            )
            for route in (
                Route(
                    f"litert-torch{suffix}",
                    f"torch.export -> litert-torch -> litert-quantizer{more}",
                    "torch",
                    ("litert-torch", "litert-quantizer"),
                    _litert_torch(form),
                ),
                Route(
                    f"onnx-tf{suffix}",
                    f"ONNX (TorchScript exporter, opset 12) -> onnx-tf -> SavedModel -> TFLiteConverter{more}",
                    "torch or ONNX",
                    ("onnx-tf", TENSORFLOW),
                    _onnx_tf(form),
                    {"select_tf_ops": False},
                    hands_over=True,
                ),
                Route(
                    f"onnx2tf{suffix}",
                    f"ONNX (TorchScript exporter) -> onnx2tf (tf_converter) -> SavedModel -> TFLiteConverter{more}",
                    "torch or ONNX",
                    ("onnx2tf", TENSORFLOW),
                    _onnx2tf(form, opset=12 if form == "portable" else None),
                    {"select_tf_ops": False} | ({} if form == "portable" else {"opset": 12}),
                    hands_over=True,
                ),
            )
        ),
        Route(
            "litert-torch-scoped",
            "litert-torch-portable, quantized by a recipe that spares what 8 bits spoil",
            "torch",
            ("litert-torch", "litert-quantizer"),
            _litert_torch("portable", "scoped"),
            _SCOPED,
        ),
        Route(
            "onnx2tf-unrolled",
            "onnx2tf with the recurrent layers unrolled over time by onnx2tf itself",
            "torch or ONNX",
            ("onnx2tf", TENSORFLOW),
            _onnx2tf(unroll=True),
            {"select_tf_ops": False, "opset": 12},
            hands_over=True,
        ),
        Route(
            "onnx2tf-dynamo",
            "onnx2tf, the ONNX file by the dynamo exporter (torch.export)",
            "torch",
            ("onnx2tf", TENSORFLOW),
            _onnx2tf("source", "dynamo", 18),
            {"select_tf_ops": False},
            hands_over=True,
        ),
        Route(
            "onnx2tf-direct",
            "ONNX (TorchScript exporter) -> onnx2tf (flatbuffer_direct, quantized by itself)",
            "torch or ONNX",
            ("onnx2tf",),
            _plan_onnx2tf_direct,
            {"opset": 12},
            hands_over=True,
        ),
    )
}
