"""Hop: a float ``.tflite`` file is quantized by litert-quantizer (AI Edge Quantizer)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import SIGNATURE
from ocr_conformance.job import Job
from ocr_conformance.runtime import tensors

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def recipe_of(mode: str, scope: str, dynamic: str) -> Any:
    """The quantizer's ``RecipeManager`` for a mode; see `quantize` for what ``scope`` and ``dynamic`` mean."""
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.recipe_manager import RecipeManager

    op = qtyping.TFLOperationName
    every_op = op.ALL_SUPPORTED
    scoped = scope == "scoped"
    recipe = RecipeManager()
    if scoped and mode == "int8":
        recipe.add_dynamic_config(".*", every_op, num_bits=8)
        for convolution in (op.CONV_2D, op.DEPTHWISE_CONV_2D):
            recipe.add_static_config(".*", convolution, 8, 8)
            if dynamic:  # later rules win
                recipe.add_dynamic_config(dynamic, convolution, num_bits=8)
    elif mode == "dynamic-range":
        recipe.add_dynamic_config(".*", every_op, num_bits=8)
    elif mode == "float16":
        recipe.add_weight_only_config(".*", every_op, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    else:
        recipe.add_static_config(".*", every_op, 16 if mode == "int16x8" else 8, 8)
        if mode != "full-int8":
            # The network's inputs and outputs are pseudo ops of their own.
            for pseudo in (op.INPUT, op.OUTPUT):
                recipe.add_quantization_config(".*", pseudo, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if scoped:
        recipe.add_quantization_config(".*", op.BATCH_MATMUL, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return recipe


def ranges_of(model: str, recipe: Any, samples: Iterable[dict[str, npt.NDArray[Any]]]) -> Any:
    """The range of every tensor of a file over samples: arrays by the names of its signature."""
    from litert_quantizer import calibrator
    from litert_quantizer.utils import qsv_utils

    # The default update is a moving average, which clips the input's range; TFLiteConverter takes the extremes too.
    # One thread: the ranges must not depend on the machine.
    observer = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    for sample in samples:
        # One call a sample: the state of LSTM kernels is reset at the end of a call only.
        observer.calibrate({SIGNATURE: [sample]}, recipe)
    return observer.get_model_qsvs()


def quantized(model: str, recipe: Any, ranges: Any) -> bytes:
    """The quantized file."""
    from litert_quantizer import quantizer

    made = quantizer.Quantizer(model, recipe.get_quantization_recipe()).quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(made.quantized_model)


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

    Returns:
        ``litert-quantizer`` (version), ``seconds`` per phase, ``bytes`` of the file, ``calibration_samples``.
    """
    import importlib.metadata

    job.stage("convert")
    started = time.perf_counter()
    recipe = recipe_of(job.params["mode"], job.params["recipe"], job.params["dynamic"])
    model = str(job.inputs["previous"] / "model.tflite")
    ranges, samples = None, 0
    if recipe.need_calibration():
        arrays = read_calibration(job.inputs["calibration"])
        samples = len(next(iter(arrays.values())))
        ranges = ranges_of(model, recipe, (tensors.sample(arrays, index) for index in range(samples)))
    calibrated = time.perf_counter()
    content = quantized(model, recipe, ranges)
    finished = time.perf_counter()
    (job.out / "model.tflite").write_bytes(content)
    return {
        "litert-quantizer": importlib.metadata.version("litert-quantizer"),
        "seconds": {"calibrate": calibrated - started, "quantize": finished - calibrated},
        "bytes": len(content),
        "calibration_samples": samples,
    }
