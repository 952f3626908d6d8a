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
    """

    name: str
    function: str
    produces: Product
    params: dict[str, Any]
    requires: tuple[str, ...]
    needs_calibration: bool = False


Plan = Callable[[str, Mapping[str, Any]], tuple[HopSpec, ...]]


@dataclass(frozen=True)
class Route:
    """A named chain of hops.

    Attributes:
        name: as in a case string.
        summary: one line for ``--ocr-list``.
        framework: of the source models it starts from.
        requires: every requirement that some hop of it has.
        plan: gives the hops of a mode, with all options set.
        options: options that a contract may set for the route, with their defaults.
    """

    name: str
    summary: str
    framework: str
    requires: tuple[str, ...]
    plan: Plan
    options: Mapping[str, Any] = field(default_factory=dict)

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
        "saved-model", "ocr_conformance.convert.saved_model:export", "saved-model", {"unroll": unroll}, (TENSORFLOW,)
    )


def _tf_lite(mode: str, select_tf_ops: bool) -> HopSpec:
    return HopSpec(
        f"tf-lite({mode})",
        "ocr_conformance.convert.tf_lite:convert",
        "tflite",
        {"mode": mode, "select_tf_ops": select_tf_ops},
        (TENSORFLOW,),
        needs_calibration=mode in CALIBRATED,
    )


def _plan_tf_lite(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    return _saved_model(unroll=False), _tf_lite(mode, options["select_tf_ops"])


def _plan_tf_lite_unrolled(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    return _saved_model(unroll=True), _tf_lite(mode, options["select_tf_ops"])


def _plan_litert_quantizer(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    to_float = (_saved_model(unroll=False), _tf_lite("float32", options["select_tf_ops"]))
    if mode == "float32":
        return to_float
    quantize = HopSpec(
        f"litert-quantizer({mode})",
        "ocr_conformance.convert.litert_quantizer:quantize",
        "tflite",
        {"mode": mode},
        ("litert-quantizer",),
        needs_calibration=mode in CALIBRATED,
    )
    return (*to_float, quantize)


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
            _plan_litert_quantizer,
            {"select_tf_ops": False},
        ),
    )
}
