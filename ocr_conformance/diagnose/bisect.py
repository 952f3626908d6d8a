"""What must stay float for a quantized network to read what its source reads: it is quantized again and again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ocr_conformance.convert import litert_quantizer
from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import SIGNATURE
from ocr_conformance.convert.tf_lite import one_by_one
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

MOST_GROUPS = 16
"""So many layers are made float before giving up: where more have to be, there is no int8 network left."""

_TORCH = "litert_torch.Named/"


@dataclass(frozen=True)
class Group:
    """A layer, as `explain` found it: its name and the names of the tensors that its ops give."""

    name: str
    tensors: tuple[str, ...]

    def pattern(self) -> str:
        """A regular expression for the quantizer's scopes, which are the names of an op's outputs, each with ``;``."""
        if self.tensors[0].startswith(_TORCH):
            modules = dict.fromkeys(tensor.partition(";")[0] for tensor in self.tensors)
            return "|".join(f"{re.escape(module)};" for module in modules)
        for number in ("", r"(_?\d+)?"):  # of the steps of a loop
            scope = re.compile(rf"(^|;){re.escape(self.name)}{number}/")
            if all(scope.search(tensor) for tensor in self.tensors):
                return scope.pattern
        return "|".join(f"^{re.escape(tensor)};" for tensor in self.tensors)


class Quantize(Protocol):
    """A quantizer that keeps some layers float."""

    def __call__(self, kept: Sequence[Group]) -> bytes:
        """The file."""

    def recipe(self, kept: Sequence[Group]) -> Any:
        """What makes it do that again; JSON-able."""


class LiteRTQuantizer:
    """litert-quantizer on the float file: calibrated once."""

    def __init__(self, job: Job) -> None:
        self._mode = job.params["mode"]
        self._model = str(job.inputs["reference"] / ARTIFACT)
        rules = litert_quantizer.recipe(self._mode)
        self._ranges = None
        if rules.need_calibration():
            arrays = read_calibration(job.inputs["calibration"])
            self._ranges = litert_quantizer.calibrate(self._model, rules, arrays)

    def _rules(self, kept: Sequence[Group]) -> Any:
        return litert_quantizer.recipe(self._mode, keep_float=[group.pattern() for group in kept])

    def __call__(self, kept: Sequence[Group]) -> bytes:
        return litert_quantizer.quantized(self._model, self._rules(kept), self._ranges)

    def recipe(self, kept: Sequence[Group]) -> Any:
        """In the quantizer's own form: ``Quantizer(MODEL, json.load(FILE))``."""
        return self._rules(kept).get_quantization_recipe()


class TFLiteConverter:
    """TensorFlow's converter on the SavedModel, by its `QuantizationDebugger`: calibrated once."""

    def __init__(self, job: Job) -> None:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(job.inputs["saved_model"] / "saved_model"), signature_keys=[SIGNATURE]
        )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = one_by_one(read_calibration(job.inputs["calibration"]))
        if job.params["mode"] == "full-int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        self._options = tf.lite.experimental.QuantizationDebugOptions
        self._debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset, debug_options=self._options()
        )

    def __call__(self, kept: Sequence[Group]) -> bytes:
        self._debugger.options = self._options(denylisted_nodes=self.recipe(kept)["denylisted_nodes"])
        return bytes(self._debugger.get_nondebug_quantized_model())

    def recipe(self, kept: Sequence[Group]) -> Any:
        """For ``tf.lite.experimental.QuantizationDebugOptions(**json.load(FILE))``."""
        return {"denylisted_nodes": [tensor for group in kept for tensor in group.tensors]}


_QUANTIZERS: dict[str, Any] = {"litert-quantizer": LiteRTQuantizer, "tf-lite": TFLiteConverter}


class Trials:
    """What the network reads with some layers kept float, each combination quantized once."""

    def __init__(self, job: Job, quantize: Quantize) -> None:
        self._job, self._quantize = job, quantize
        self._model: SourceModel = build(job.params["model"])
        inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
        self.count: int = min(job.params["samples"], tensors.count(inputs))
        self._inputs: Tensors = {name: value[: self.count] for name, value in inputs.items()}
        source = tensors.load(job.inputs["source"] / "outputs.npz")
        texts: list[str] | None = tensors.decode(
            self._model, {name: value[: self.count] for name, value in source.items()}, []
        )["texts"]
        if texts is None:
            raise ValueError("the source's own outputs do not decode to text")
        self._texts: list[str] = texts
        self.steps: list[dict[str, Any]] = []
        self._known: dict[frozenset[str], float] = {}

    def agreement(self, kept: Sequence[Group]) -> float:
        """Share of the samples on which the source's text is read; an artifact that does not run reads none."""
        key = frozenset(group.name for group in kept)
        if key not in self._known:
            content = self._quantize(kept)
            self._known[key] = self._read(content)
            self.steps.append(
                {"float": [group.name for group in kept], "agreement": self._known[key], "bytes": len(content)}
            )
        return self._known[key]

    def _read(self, content: bytes) -> float:
        path = self._job.out / "trial.tflite"
        path.write_bytes(content)
        try:
            session = Session(
                path,
                threads=1,
                inputs=self._inputs,
                input_names=[spec.name for spec in self._model.inputs()],
                output_names=[spec.name for spec in self._model.outputs()],
            )
            outputs = tensors.one_by_one(session, self._inputs)
        except (ValueError, RuntimeError):
            return 0.0
        finally:
            path.unlink()
        texts: list[str] | None = tensors.decode(self._model, outputs, [])["texts"]
        if texts is None:
            return 0.0
        same = sum(a == b for a, b in zip(self._texts, texts, strict=True))
        return same / self.count


def search(groups: Sequence[Group], agreement: Any, wanted: float) -> tuple[list[Group], bool]:
    """Make layers float, the costliest first, until the agreement is reached; then take back each that is not needed.

    Args:
        groups: in the order of what their errors cost.
        agreement: of the source's text and that of the network with some groups kept float, 0 .. 1.
        wanted: at least so much.

    Returns:
        The groups that have to stay float, and whether the agreement is reached.
    """
    kept: list[Group] = []
    for group in [*groups[:MOST_GROUPS], None]:
        if agreement(kept) >= wanted:
            break
        if group is None:
            return kept, False
        kept.append(group)
    for group in reversed(list(kept)):
        rest = [each for each in kept if each is not group]
        if agreement(rest) >= wanted:
            kept = rest
    return kept, True


def bisect(job: Job) -> dict[str, Any]:
    """Find the layers that must stay float.

    Params: ``model``, ``mode``, ``quantizer`` (``litert-quantizer`` or ``tf-lite``), ``samples``, ``agreement`` (wanted
    share of texts that are the source's), ``groups`` (``[{"name", "tensors"}]``, the costliest first). Inputs:
    ``reference`` (folder with the float ``model.tflite``), ``saved_model`` (of ``tf-lite``), ``calibration`` and
    ``inputs`` (folders of `source.prepare`), ``source`` (of `source.predict`). Files: ``model.tflite``, quantized so,
    and ``recipe.json``, which makes the quantizer do it again.

    Returns:
        ``holds``; ``kept``: of the layers that stay float ``name``, ``pattern`` and ``agreement`` without it, the one
        that is needed most first; ``agreement`` and ``bytes`` of the file, ``all_agreement`` and ``all_bytes`` of the
        one that keeps none; ``steps``: what was tried, ``float`` (names), ``agreement``, ``bytes``; ``samples``.

    Raises:
        ValueError: the source's outputs do not decode to text.
    """
    job.stage("convert")
    groups = [Group(each["name"], tuple(each["tensors"])) for each in job.params["groups"]]
    quantize: Quantize = _QUANTIZERS[job.params["quantizer"]](job)
    trials = Trials(job, quantize)
    none = trials.agreement([])
    kept, holds = search(groups, trials.agreement, job.params["agreement"])
    content = quantize(kept)
    (job.out / ARTIFACT).write_bytes(content)
    (job.out / "recipe.json").write_text(json.dumps(quantize.recipe(kept), indent=1))
    needed = [
        {
            "name": group.name,
            "pattern": group.pattern(),
            "agreement": trials.agreement([each for each in kept if each is not group]),
        }
        for group in (kept if holds else ())
    ]
    return {
        "holds": holds,
        "kept": sorted(needed, key=lambda each: each["agreement"]),
        "agreement": trials.agreement(kept),
        "bytes": len(content),
        "all_agreement": none,
        "all_bytes": trials.steps[0]["bytes"],
        "steps": trials.steps,
        "samples": trials.count,
    }
