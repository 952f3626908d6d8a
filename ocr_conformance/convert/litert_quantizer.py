"""Hop: a float ``.tflite`` file is quantized by litert-quantizer (AI Edge Quantizer)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import SIGNATURE
from ocr_conformance.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt


def quantize(job: Job) -> dict[str, Any]:
    """Write ``job.out/model.tflite``.

    Params:
        mode: any of `ocr_conformance.cases.MODES` but ``float32``. ``int8`` and ``full-int8`` are the static a8w8
            recipe and differ in their I/O, float and int8; ``int16x8`` is a16w8 with float I/O. The recipe covers the
            ops that the quantizer supports; it leaves the others (LSTM kernels) float in every mode.
        recipe: ``all`` (every op, as above) or ``scoped``: BATCH_MATMUL stays float in every mode (quantized with a
            constant on its left it does not allocate), and ``int8`` quantizes convolutions statically and the rest
            dynamically, so that what a recurrent part computes is not rounded at every step.
        dynamic: with ``scoped``, a regular expression: convolutions whose output's name matches are quantized
            dynamically in ``int8``, too. Empty: none.
        ranges: of activations, from the calibration set: ``extremes`` (smallest and largest number seen, as
            TFLiteConverter takes them) or ``average`` (litert-quantizer's own default, a moving average of each
            sample's extremes: finer steps where a few samples reach far, which then saturate).

    Returns:
        ``litert-quantizer`` (version), ``seconds`` per phase, ``bytes`` of the file, ``calibration_samples``.
    """
    import importlib.metadata

    params = job.params
    job.stage("convert")
    started = time.perf_counter()
    rules = recipe(params["mode"], scoped=params["recipe"] == "scoped", dynamic=params["dynamic"])
    model = str(job.inputs["previous"] / "model.tflite")
    ranges, samples = None, 0
    if rules.need_calibration():
        arrays = read_calibration(job.inputs["calibration"])
        samples = len(next(iter(arrays.values())))
        ranges = calibrate(model, rules, arrays, params["ranges"])
    calibrated = time.perf_counter()

    content = quantized(model, rules, ranges)
    finished = time.perf_counter()
    (job.out / "model.tflite").write_bytes(content)
    return {
        "litert-quantizer": importlib.metadata.version("litert-quantizer"),
        "seconds": {"calibrate": calibrated - started, "quantize": finished - calibrated},
        "bytes": len(content),
        "calibration_samples": samples,
    }


def recipe(mode: str, *, scoped: bool = False, dynamic: str = "", keep_float: Sequence[str] = ()) -> Any:
    """The quantizer's ``RecipeManager`` with the rules of a mode (see `quantize`).

    Args:
        keep_float: regular expressions; ops whose output's name matches one stay float.
    """
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.recipe_manager import RecipeManager

    op = qtyping.TFLOperationName
    every_op = op.ALL_SUPPORTED
    rules = RecipeManager()
    if scoped and mode == "int8":
        rules.add_dynamic_config(".*", every_op, num_bits=8)
        for convolution in (op.CONV_2D, op.DEPTHWISE_CONV_2D):
            rules.add_static_config(".*", convolution, 8, 8)
            if dynamic:  # later rules win
                rules.add_dynamic_config(dynamic, convolution, num_bits=8)
    elif mode == "dynamic-range":
        rules.add_dynamic_config(".*", every_op, num_bits=8)
    elif mode == "float16":
        rules.add_weight_only_config(".*", every_op, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    else:
        rules.add_static_config(".*", every_op, 16 if mode == "int16x8" else 8, 8)
        if mode != "full-int8":
            # The network's inputs and outputs are pseudo ops of their own.
            for pseudo in (op.INPUT, op.OUTPUT):
                rules.add_quantization_config(".*", pseudo, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if scoped:
        rules.add_quantization_config(".*", op.BATCH_MATMUL, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for pattern in keep_float:
        rules.add_quantization_config(pattern, every_op, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return rules


def calibrate(model: str, rules: Any, arrays: Mapping[str, npt.NDArray[Any]], ranges: str = "extremes") -> Any:
    """The ranges of a float file's tensors on the calibration set, arrays ``[N, ...]`` by input name.

    Raises:
        ValueError: there are no such ``ranges`` (see `quantize`).
    """
    count = len(next(iter(arrays.values())))
    samples = ({name: array[index : index + 1] for name, array in arrays.items()} for index in range(count))
    return observe(model, rules, samples, ranges)


def observe(model: str, rules: Any, samples: Iterable[Mapping[str, npt.NDArray[Any]]], ranges: str) -> Any:
    """The ranges of a float file's tensors on samples: arrays by input name of its signature.

    Raises:
        ValueError: there are no such ``ranges`` (see `quantize`).
    """
    from litert_quantizer import calibrator
    from litert_quantizer.utils import qsv_utils

    updates = {"extremes": qsv_utils.min_max_update, "average": qsv_utils.moving_average_update}
    if ranges not in updates:
        raise ValueError(f"option ranges = {ranges!r}: expected one of {', '.join(updates)}")
    # One thread: the ranges must not depend on the machine.
    observer = calibrator.Calibrator(model, num_threads=1, qsv_update_func=updates[ranges])
    for sample in samples:
        # One call a sample: the state of LSTM kernels is reset at the end of a call only.
        observer.calibrate({SIGNATURE: [sample]}, rules)
    return observer.get_model_qsvs()


def quantized(model: str, rules: Any, ranges: Any) -> bytes:
    """A float file, quantized by rules, and by ranges where these ask for them."""
    from litert_quantizer import quantizer

    made = quantizer.Quantizer(model, rules.get_quantization_recipe()).quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(made.quantized_model)
