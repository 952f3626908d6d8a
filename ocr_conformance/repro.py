"""A repro of a case to send upstream: a folder with a script that needs nothing of ours.

What goes into it is chosen as `ocr_conformance.explanation` chooses what to compare: a hop or a load that fails is
shown by what it reads, a wrong artifact by the part in which it goes wrong. The script is run before the folder
appears.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance import toolchain
from ocr_conformance.cases import MODES
from ocr_conformance.conformance import Missing, TaskMaker
from ocr_conformance.errors import UserError
from ocr_conformance.explanation import explain, plan_of_one
from ocr_conformance.weights import file_sha256

if TYPE_CHECKING:
    from ocr_conformance.cases import Case
    from ocr_conformance.conformance import Engine, Plan
    from ocr_conformance.convert import HopSpec
    from ocr_conformance.evidence import Outcome
    from ocr_conformance.schedule import Task
    from ocr_conformance.toolchain import Toolchain

SCRIPT = "repro.py"
_TEMPLATES = Path(__file__).parent / "report" / "repro"
_WORDS = 300
"""Characters of a converter's message that a sentence can hold."""

_TF_LITE_SETTINGS = {
    "float32": "",
    "float16": "converter.optimizations = [tf.lite.Optimize.DEFAULT]\n"
    "converter.target_spec.supported_types = [tf.float16]",
    "dynamic-range": "converter.optimizations = [tf.lite.Optimize.DEFAULT]",
    "int8": "converter.optimizations = [tf.lite.Optimize.DEFAULT]",
    "full-int8": "converter.optimizations = [tf.lite.Optimize.DEFAULT]\n"
    "converter.inference_input_type = converter.inference_output_type = tf.int8",
    "int16x8": "converter.optimizations = [tf.lite.Optimize.DEFAULT]",
}
_TF_LITE_OPS = {
    "full-int8": "TFLITE_BUILTINS_INT8",
    "int16x8": "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
}
_UPDATES = {"extremes": "min_max_update", "average": "moving_average_update"}
_SAMPLES = """
with np.load(HERE / "calibration.npz") as archive:
    calibration = {name: archive[name] for name in archive.files}


def samples():
    for index in range(len(next(iter(calibration.values())))):
        yield {name: array[index : index + 1] for name, array in calibration.items()}


converter.representative_dataset = samples"""


@dataclass
class _Repro:
    """What is put into a folder, and what its README says."""

    title: str
    template: str
    requires: tuple[str, ...]
    """Distributions that the script needs; the first are those of the converter."""
    chain: Toolchain
    expected: str
    happens: str
    model: str
    ended: Outcome | None = None
    """Of what fails: how; ``None`` where it gives something wrong."""
    values: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    more: str = ""


_Shown = tuple[str, tuple[str, ...], dict[str, str], dict[str, Path], str]
"""Of a hop that fails: template, distributions (the converter first), the template's values, files, what it reads."""


def write(engine: Engine, case: Case, output: Path) -> Path:
    """Write the repro of a case to a folder, which appears whole or not at all; converts what is not in the cache.

    Returns:
        The folder.

    Raises:
        UserError: the folder is not empty or cannot be written; the case is right, or cannot be shown by itself.
    """
    check_free(output)
    plan = plan_of_one(engine, case, "make a repro of")
    repro = _Chooser(engine, plan).choose()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, so that it can be renamed; not in it, so that an interrupted run leaves no half of it.
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as aside:
            folder = Path(aside) / "repro"
            folder.mkdir()
            ran = _try(engine, plan, repro, folder)
            (folder / "README.md").write_text(_readme(plan, repro, folder, ran))
            if output.is_dir():
                output.rmdir()
            folder.rename(output)
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written ({error.strerror})") from error
    return output


def check_free(output: Path) -> None:
    """Before anything is run.

    Raises:
        UserError: ``output`` is a file, a folder that is not empty, or cannot be looked into.
    """
    try:
        taken = output.exists() and (not output.is_dir() or any(output.iterdir()))
    except OSError as error:
        raise UserError(f"--output {output}: cannot be looked into ({error.strerror})") from error
    if taken:
        kind = "is not empty" if output.is_dir() else "is a file"
        raise UserError(
            f"--output {output}: expected a folder that is not there or is empty, this {kind}; name another"
        )


class _Chooser:
    """Chooses what shows a case's defect, and gathers it."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.engine, self.plan, self.case = engine, plan, plan.case
        self.maker = TaskMaker(engine, plan.source)
        route = engine.registry.routes[plan.case.route]
        options = {name: value for name, value in plan.source.description.options.items() if name in route.options}
        self.hops = dict(zip((name for name, _, _ in plan.hops), route.hops(plan.case.mode, options), strict=True))

    def choose(self) -> _Repro:
        outcome = self.engine.scheduler.outcome
        for name, task, _ in self.plan.hops:
            ended = outcome(task)
            if ended is None:
                what, ended = self._culprit(task)
                raise UserError(
                    f"{self.case}: {what} failed before {name} began ({_said(ended)}): no converter's fault"
                )
            if not ended.ok:
                return self._failed(self.hops[name], task, ended)
        if self.plan.format != "tflite" or self.plan.run is None:
            raise UserError(f"{self.case}: only .tflite files can be shown, its artifact is {self.plan.product}")
        ran = outcome(self.plan.run)
        if ran is None:
            what, ended = self._culprit(self.plan.run)
            raise UserError(f"{self.case}: {what} failed ({_said(ended)}): there is nothing to run the artifact on")
        if not ran.ok:
            return self._refused(ran)
        found = explain(self.engine, self.case)
        if found.facts["named"] is None:
            raise UserError(f"{self.case}: its artifact does not go wrong beside {found.reference}: nothing to show")
        if found.method == "ops":
            return self._quantized(found.facts["named"])
        if "onnx" in found.reference.lower() or self.plan.source.description.framework != "torch":
            raise UserError(
                f"{self.case}: a float artifact that goes wrong behind an ONNX file is not cut to a repro; "
                f"`ocr-conformance explain {self.case}` names the node"
            )
        return self._torch(found.facts["named"])

    # --- wrong artifacts ------------------------------------------------------------------------------------------

    def _torch(self, named: dict[str, Any]) -> _Repro:
        """A program that litert-torch converts to something else."""
        requires = ("torch", "litert-torch", "ai-edge-litert")
        chain = self._place((*self.plan.source.description.requires, "litert-torch"))
        folder, facts = self._files(chain, "program:cut", {"form": self._form(), "node": named["node"]})
        version = _version(chain, "litert-torch")
        kind = named["kind"].partition(".")[0]
        where = f" (`{named['where']}`)" if named["where"] else ""
        if facts["cut"]:
            model = (
                f"`model.pt2`, {facts['nodes']} of the network's {facts['of']} nodes, found by converting "
                f"{facts['tried']} parts of it: {', '.join(facts['ops'])}"
            )
        else:
            model = (
                f"`model.pt2`, the whole network: none of {facts['tried']} smaller parts about {kind} is wrong alone"
            )
        return _Repro(
            f"litert-torch {version} converts a program with `{kind}` to a file that computes something else",
            "torch_wrong", requires, chain,
            "the converted file gives what the PyTorch program gives (`expected.npz`)",
            f"it converts and runs, and gives other numbers (`actual.npz`); in the network the artifact goes wrong at "
            f"{named['kind']} of {named['layer'] or named['node']}{where}",
            model, values={"tolerance": "1e-3"}, files=folder,
        )  # fmt: skip

    def _quantized(self, named: dict[str, Any]) -> _Repro:
        """An op that a quantizer spoils."""
        name, last, _ = self.plan.hops[-1]
        hop = self.hops[name]
        by_quantizer = hop.function.endswith("litert_quantizer:quantize")
        sibling = self.engine.plan(replace(self.case, mode=MODES[0]))
        inputs = {"artifact": self.plan.artifact, "reference": sibling.artifact}
        if "calibration" in last.inputs:
            inputs["calibration"] = last.inputs["calibration"]
        params = {"tensor": named["index"], "quantizer": dict(hop.params) if by_quantizer else None}
        files, facts = self._files(self.plan.chain, "cut:ops", params, inputs)
        again = facts["requantized_db"] is not None and facts["requantized_db"] < facts["limit_db"]
        converter = hop.requires[0]
        who = _converter(self.plan.chain, converter)
        what = f"`{facts['named']['kind']}`" if facts["cut"] else "the network"
        happens = (
            f"{facts['sqnr_db']:.1f} dB are left by `quantized.tflite`, which is cut out of the artifact (8 bits over "
            f"the range of the expected numbers would leave {facts['best_db']:.0f} dB)"
        )
        if again:
            happens += f"; quantized alone, it is {facts['requantized_db']:.1f} dB"
            how = "`repro.py` quantizes `float.tflite` itself, calibrated on what the op is fed in the network"
        elif by_quantizer and facts["cut"]:
            failed = facts["requantizing"] or f"quantized alone, {facts['requantized_db']:.1f} dB are left"
            how = f"litert-quantizer does not show it on `float.tflite` alone ({failed}): the files are compared"
        elif by_quantizer:
            how = "no part of the network shows it alone: the files are compared"
        else:
            how = f"{who} does not read `.tflite` files: what it made is here, the conversion is not run again"
        requires = ("litert-quantizer", "ai-edge-litert") if again else (self._runtime(),)
        values = {"limit": f"{facts['limit_db']:g}", "feeds": json.dumps(facts["feeds"])}
        if again:
            files["actual.npz"] = files.pop("requantized.npz")
            values |= _recipe(hop.params, "calibration.npz" in files, stacked=True)
        else:
            files = {name: path for name, path in files.items() if name not in ("calibration.npz", "requantized.npz")}
        chain = self._place(requires)
        part = f"{' '.join(facts['ops'])} of {facts['named']['layer']}" if facts["cut"] else "the whole network"
        return _Repro(
            f"{who} spoils {what} in mode {self.case.mode}: {facts['sqnr_db']:.1f} dB are left",
            "requantized_wrong" if again else "quantized_wrong", requires, chain,
            f"the quantized file gives nearly what the float one gives (`expected.npz`): more than "
            f"{facts['limit_db']:g} dB of it",
            happens, f"`float.tflite` and `quantized.tflite`: {part}. {how}",
            values=values, files=files, more=_tensors(facts),
        )  # fmt: skip

    # --- failures -------------------------------------------------------------------------------------------------

    def _failed(self, hop: HopSpec, task: Task, ended: Outcome) -> _Repro:
        """A hop that does not end well, on what it reads."""
        function = hop.function.rpartition(".")[2]
        make: Callable[[HopSpec, Task], _Shown] | None = {
            "litert_torch:convert": self._torch_hop,
            "onnx:export": self._onnx_hop,
            "tf_lite:convert": self._tf_lite_hop,
            "onnx_tf:convert": self._onnx_tf_hop,
            "onnx2tf:saved_model": self._onnx2tf_hop,
            "onnx2tf:direct": self._onnx2tf_hop,
            "litert_quantizer:quantize": self._quantizer_hop,
        }.get(function if hop.function.startswith("ocr_conformance.convert.") else "")
        if make is None:
            raise UserError(
                f"{self.case}: {hop.name} failed ({_said(ended)}), and there is no script that shows this hop"
            )
        template, requires, values, files, model = make(hop, task)
        source = self.plan.source.description.requires if hop.source else ()
        chain = self._place((*hop.requires, *source))
        converter = _converter(chain, requires[0])
        imports, guard = _guard(ended, self.engine)
        numpy = "import numpy as np" if "calibration.npz" in files else ""
        mode = f", mode {self.case.mode}" if "mode" in hop.params else ""
        return _Repro(
            f"{converter} {_verb(ended)} on this model{mode}{_first(ended)}",
            template, requires, chain, "the model is converted", _happens(hop.name, ended), model, ended,
            {"imports": imports, "guard": guard, "numpy": numpy, **values}, files, more=_tail(ended),
        )  # fmt: skip

    def _torch_hop(self, hop: HopSpec, task: Task) -> _Shown:
        files = self._program(hop)
        return "torch_fails", ("litert-torch", "torch"), {}, files, "`model.pt2`, the whole network by torch.export"

    def _onnx_hop(self, hop: HopSpec, task: Task) -> _Shown:
        if self.plan.source.description.framework != "torch":
            raise UserError(
                f"{self.case}: its ONNX file is its source, which {hop.name} could not read: nothing is converted"
            )
        values = {"opset": str(hop.params["opset"]), "dynamo": str(hop.params["exporter"] == "dynamo")}
        requires = ("torch", "onnx", *(("onnxscript",) if hop.params["exporter"] == "dynamo" else ()))
        model = "`model.pt2`, the whole network by torch.export"
        return "onnx_export_fails", requires, values, self._program(hop), model

    def _tf_lite_hop(self, hop: HopSpec, task: Task) -> _Shown:
        mode = hop.params["mode"]
        files = {"saved_model": self._previous(task) / "saved_model", **self._calibration(task)}
        ops = [_TF_LITE_OPS.get(mode, "TFLITE_BUILTINS"), *(["SELECT_TF_OPS"] if hop.params["select_tf_ops"] else [])]
        settings = [_TF_LITE_SETTINGS[mode], _SAMPLES.lstrip("\n") if "calibration.npz" in files else ""]
        if ops != ["TFLITE_BUILTINS"]:
            settings.append(
                f"converter.target_spec.supported_ops = [{', '.join(f'tf.lite.OpsSet.{op}' for op in ops)}]"
            )
        values = {"settings": "\n".join(each for each in settings if each)}
        return "tf_lite_fails", ("tensorflow",), values, files, "`saved_model`, the whole network, batch 1"

    def _onnx_tf_hop(self, hop: HopSpec, task: Task) -> _Shown:
        # onnx-tf imports tensorflow-probability and pkg_resources, and declares neither.
        requires = ("onnx-tf", "onnx", "tensorflow", "tensorflow-probability", "setuptools")
        files = {"model.onnx": self._previous(task) / "model.onnx"}
        return "onnx_tf_fails", requires, {}, files, "`model.onnx`, the whole network"

    def _onnx2tf_hop(self, hop: HopSpec, task: Task) -> _Shown:
        direct = hop.function.endswith("direct")
        files = {"model.onnx": self._previous(task) / "model.onnx", **self._calibration(task)}
        settings = []
        if direct and hop.params["mode"] == "dynamic-range":
            settings.append('more["output_dynamic_range_quantized_tflite"] = True')
        if "calibration.npz" in files:
            settings.append(
                'more["output_integer_quantized_tflite"] = True\n'
                'with np.load(HERE / "calibration.npz") as archive:\n'
                "    for name in archive.files:\n"
                '        np.save(HERE / f"calibration-{name}.npy", archive[name])\n'
                "    # name, file, and a mean and a standard deviation that change nothing\n"
                '    paths = [[name, str(HERE / f"calibration-{name}.npy"), 0.0, 1.0] for name in archive.files]\n'
                'more["custom_input_op_name_np_data_path"] = paths'
            )
        if not direct:
            settings.append(f'more["enable_rnn_unroll"] = {hop.params["unroll"]}')
        specs = self._specs("input_specs")
        values = {
            "settings": "\n".join(settings),
            "backend": "flatbuffer_direct" if direct else "tf_converter",
            "names": json.dumps([spec["name"] for spec in specs]),
        }
        requires = ("onnx2tf", "backports-strenum")
        return "onnx2tf_fails", requires, values, files, "`model.onnx`, the whole network"

    def _quantizer_hop(self, hop: HopSpec, task: Task) -> _Shown:
        files = {"model.tflite": self._previous(task) / "model.tflite", **self._calibration(task)}
        values = _recipe(hop.params, "calibration.npz" in files, stacked=False)
        model = "`model.tflite`, the whole network in float32"
        return "quantizer_fails", ("litert-quantizer", "ai-edge-litert"), values, files, model

    def _refused(self, ran: Outcome) -> _Repro:
        """An artifact that does not load or run."""
        converter = self.hops[self.plan.hops[-1][0]].requires[0]
        made = _converter(self.plan.chain, converter)
        requires = (self._runtime(),)
        chain = self._place(requires)
        # Only what is not prepared is refused as an op, too.
        message = ran.message if ran.kind == "exception" and ran.stage == "allocate" else ""
        files, facts = self._files(
            self.plan.chain, "cut:refused", {"message": message}, {"artifact": self.plan.artifact}
        )
        what = f"an op alone: {' '.join(facts['ops'])}" if facts["cut"] else "the whole artifact"
        imports, guard = _guard(ran, self.engine)
        return _Repro(
            f"{made} makes a file that the runtime {_verb(ran)} on{_first(ran)}",
            "runtime_fails", requires, chain, "the runtime loads the file and runs it", _happens("the runtime", ran),
            f"`model.tflite`, {what}", ran, {"imports": imports, "guard": guard}, files, more=_tail(ran),
        )  # fmt: skip

    # --- gathering ------------------------------------------------------------------------------------------------

    def _culprit(self, task: Task) -> tuple[str, Outcome]:
        found = self.engine.scheduler.culprit(task)
        assert found is not None
        return found[0].title, found[1]

    def _form(self) -> str:
        return next((task.params["form"] for _, task, _ in self.plan.hops if "form" in task.params), "source")

    def _runtime(self) -> str:
        """The distribution whose runtime was seen to run the artifact: see `runtime.litert.interpreter_class`."""
        return "ai-edge-litert" if "ai-edge-litert" in self.plan.chain.versions else "tensorflow"

    def _place(self, requires: tuple[str, ...]) -> Toolchain:
        try:
            return self.engine.place(self.plan.chain, requires)
        except Missing as missing:
            raise UserError(f"{self.case}: no repro can be run here: {missing or ', '.join(requires)}") from None

    def _files(
        self, chain: Toolchain, function: str, params: dict[str, Any], inputs: Mapping[str, Task] | None = None
    ) -> tuple[dict[str, Path], dict[str, Any]]:
        """What a job of `ocr_conformance.diagnose` writes, by name, and its facts."""
        assert self.plan.inputs is not None
        given = {"inputs": self.plan.inputs, **(inputs or {})}
        function = f"ocr_conformance.diagnose.{function}"
        done = self._done(self.maker.job(chain, function, f"cut {self.case}", params, given))
        assert done.folder is not None
        return {path.name: path for path in sorted(done.folder.iterdir()) if path.name != "entry.json"}, done.facts

    def _done(self, task: Task) -> Outcome:
        outcome = self.engine.scheduler.outcome(task)
        if outcome is None or not outcome.ok:
            title, ended = (task.title, outcome) if outcome is not None else self._culprit(task)
            raise UserError(f"{self.case}: no repro can be made: {title}: {_said(ended)}")
        return outcome

    def _program(self, hop: HopSpec) -> dict[str, Path]:
        chain = self._place((*hop.requires, *self.plan.source.description.requires))
        files, _ = self._files(chain, "program:cut", {"form": hop.params["form"], "node": None})
        return files

    def _previous(self, task: Task) -> Path:
        folder = self._done(task.inputs["previous"]).folder
        assert folder is not None
        return folder

    def _calibration(self, task: Task) -> dict[str, Path]:
        if "calibration" not in task.inputs:
            return {}
        folder = self._done(task.inputs["calibration"]).folder
        assert folder is not None
        return {"calibration.npz": folder / "inputs.npz"}

    def _specs(self, name: str) -> list[dict[str, Any]]:
        assert self.plan.inputs is not None
        listed: list[dict[str, Any]] = self._done(self.plan.inputs).facts[name]
        return listed


def _said(ended: Outcome) -> str:
    return f"{ended.kind} at {ended.stage}: {ended.message[:_WORDS]}"


def _first(ended: Outcome) -> str:
    return f": {ended.message[:120]}" if ended.kind == "exception" else ""


def _verb(ended: Outcome) -> str:
    return {
        "exception": "fails",
        "signal": f"crashes ({ended.message})",
        "timeout": "does not end",
        "memory": "takes too much memory",
    }.get(ended.kind, "ends the process")


def _happens(what: str, ended: Outcome) -> str:
    if ended.kind == "signal":
        return (
            f"{what} was killed by {ended.message} after {ended.seconds:.1f} s, peak {ended.peak_bytes / 2**20:.0f} MB"
        )
    return f"{what}: {ended.message}"


def _tail(ended: Outcome) -> str:
    """Of what is not run again: what the process said, without our own frames and their paths."""
    lines = [line for line in ended.tail if "ocr_conformance" not in line and "<frozen " not in line]
    if ended.kind != "timeout" or not lines:
        return ""
    return "\nLast words of the process in which it was seen:\n\n```\n" + "\n".join(lines) + "\n```\n"


def _guard(ended: Outcome, engine: Engine) -> tuple[str, str]:
    """Imports and a line that end a script that would go on, or eat memory, for as long as it can."""
    if ended.kind == "timeout":
        seconds = engine.limits.seconds
        return (
            "import faulthandler",
            f"faulthandler.dump_traceback_later({seconds:g}, exit=True)  # it was still running then",
        )
    if ended.kind == "memory":
        most = engine.limits.memory
        line = f"resource.setrlimit(resource.RLIMIT_DATA, ({most}, {most}))  # bytes; it took more than this"
        return "import resource", line
    return "", ""


def _recipe(params: Mapping[str, Any], calibrated: bool, *, stacked: bool) -> dict[str, str]:
    """Imports and lines that quantize as `convert.litert_quantizer` does.

    Args:
        stacked: whether samples are stacked on an axis of their own, rather than on that of the batch.
    """
    mode, scoped = params["mode"], params["recipe"] == "scoped"
    lines, names = ["recipe = RecipeManager()"], ["qtyping", "quantizer"]
    more = []
    if scoped and mode == "int8":
        lines.append('recipe.add_dynamic_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=8)')
        for op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            lines.append(f'recipe.add_static_config(".*", qtyping.TFLOperationName.{op}, 8, 8)')
            if params["dynamic"]:
                lines.append(
                    f"recipe.add_dynamic_config({params['dynamic']!r}, qtyping.TFLOperationName.{op}, num_bits=8)"
                )
    elif mode == "dynamic-range":
        lines.append('recipe.add_dynamic_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=8)')
    elif mode == "float16":
        lines.append(
            'recipe.add_weight_only_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=16,\n'
            "                              algorithm_key=AlgorithmName.FLOAT_CASTING)"
        )
    else:
        bits = 16 if mode == "int16x8" else 8
        lines.append(f'recipe.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, {bits}, 8)')
    spared = ["INPUT", "OUTPUT"] if mode in ("int8", "int16x8") and not (scoped and mode == "int8") else []
    for op in [*spared, *(["BATCH_MATMUL"] if scoped else [])]:
        lines.append(
            f'recipe.add_quantization_config(".*", qtyping.TFLOperationName.{op}, '
            "algorithm_key=AlgorithmName.NO_QUANTIZE)"
        )
    if any("AlgorithmName" in line for line in lines):
        more.append("from litert_quantizer.algorithm_manager import AlgorithmName")
    more.append("from litert_quantizer.recipe_manager import RecipeManager")
    if calibrated:
        names.insert(0, "calibrator")
        more.append("from litert_quantizer.utils import qsv_utils")
        index = "number" if stacked else "number : number + 1"
        update = f"qsv_utils.{_UPDATES[params['ranges']]}"
        lines += [
            f"observer = calibrator.Calibrator(model, num_threads=1, qsv_update_func={update})",
            'with np.load(HERE / "calibration.npz") as archive:',
            "    calibration = {name: archive[name] for name in archive.files}",
            "for number in range(len(next(iter(calibration.values())))):",
            f"    sample = {{name: array[{index}] for name, array in calibration.items()}}",
            '    observer.calibrate({"serving_default": [sample]}, recipe)',
            "ranges = observer.get_model_qsvs()",
        ]
    else:
        lines.append("ranges = None")
    return {
        "quantizer_imports": "\n".join([f"from litert_quantizer import {', '.join(names)}", *more]),
        "recipe": "\n".join(lines),
    }


def _tensors(facts: dict[str, Any]) -> str:
    """Inputs and outputs of the quantized part as a table."""
    rows = [
        f"| {kind} | {each['tensor']} | {each['dtype']} {each['shape']} "
        f"| {'' if each['scale'] is None else each['scale']} "
        f"| {'' if each['zero_point'] is None else each['zero_point']} |"
        for kind, listed in (("input", facts["inputs"]), ("output", facts["outputs"]))
        for each in listed
    ]
    head = "\nIn `quantized.tflite`:\n\n| | tensor | type | scale | zero point |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


# --- writing --------------------------------------------------------------------------------------------------------


def _render(name: str, values: Mapping[str, str]) -> str:
    """A template with its values; lines that hold nothing but an empty one are left out."""
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    kept = [
        line for line in text.splitlines() if not (re.fullmatch(r"\$\w+", line) and not values[line.removeprefix("$")])
    ]
    return string.Template("\n".join(kept) + "\n").substitute(values)


def _try(engine: Engine, plan: Plan, repro: _Repro, folder: Path) -> Outcome | None:
    """Fill the folder and run its script; see `_run`. One sample to calibrate on is tried before all of them."""
    _fill(folder, repro)
    calibration = folder / "calibration.npz"
    if repro.ended is None or repro.ended.kind == "timeout" or not calibration.exists():
        return _run(engine, plan, repro, folder)
    import numpy as np

    with np.load(calibration) as archive:
        first = {name: archive[name][:1] for name in archive.files}
    np.savez(calibration, **first)
    try:
        return _run(engine, plan, repro, folder)
    except UserError:
        shutil.copyfile(repro.files[calibration.name], calibration)
        return _run(engine, plan, repro, folder)


def _fill(folder: Path, repro: _Repro) -> None:
    for name, path in repro.files.items():
        if path.is_dir():
            shutil.copytree(path, folder / name)
        else:
            shutil.copyfile(path, folder / name)
    title = repro.title.replace("\\", "/").replace('"', "'")
    (folder / SCRIPT).write_text(
        _render(f"{repro.template}.py.txt", {"title": f"{title.rstrip('.')}.", **repro.values})
    )


def _run(engine: Engine, plan: Plan, repro: _Repro, folder: Path) -> Outcome | None:
    """Run the script where the hop ran; ``None``: what takes until a time-out is not run again.

    Raises:
        UserError: it does not show what it should.
    """
    if repro.ended is not None and repro.ended.kind == "timeout":
        return None
    known = {"files": {name: sha256 for name, _, sha256 in _listed(folder)}}
    maker = TaskMaker(engine, plan.source)
    task = maker.job(
        repro.chain,
        "ocr_conformance.diagnose.script:run",
        f"run the repro of {plan.case}",
        {"folder": str(folder.absolute())},
        known=known,
    )
    outcome = engine.scheduler.outcome(task)
    assert outcome is not None
    if not _shows(repro, outcome):
        ended = f"status {outcome.facts['status']}: {_end(outcome)}" if outcome.ok else _said(outcome)
        raise UserError(f"{plan.case}: a script by itself does not show it, it ended with {ended[:_WORDS]}")
    return outcome


def _shows(repro: _Repro, ran: Outcome) -> bool:
    """Whether a script ended as it should: what fails for another reason shows nothing."""
    if not ran.ok:
        return repro.ended is not None and ran.kind == repro.ended.kind == "memory"
    status, output = ran.facts["status"], ran.facts["output"]
    if repro.ended is None:
        return bool(status == 1 and output[-1:] == ["WRONG"])
    if repro.ended.kind == "signal":
        return bool(status < 0)
    if repro.ended.kind == "exception":
        return bool(status == 1 and any(repro.ended.message.partition(":")[0] in line for line in output))
    return bool(status != 0)


def _end(ran: Outcome) -> str:
    return " ".join(ran.facts["output"][-3:])


def _listed(folder: Path) -> list[tuple[str, int, str]]:
    """Files by path below the folder, with bytes and sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size, file_sha256(path)) for path in files]


def _readme(plan: Plan, repro: _Repro, folder: Path, ran: Outcome | None) -> str:
    files = _listed(folder)
    versions = {name: _version(repro.chain, name) for name in repro.requires}
    pins = [f"{_distribution(repro.chain, name)}=={found}" for name, found in versions.items() if found]
    lock = toolchain.locks().get(repro.chain.name)
    python = ran.facts["python"] if ran is not None and ran.ok else (lock.python if lock else platform.python_version())
    note = " Any CPU build of torch will do." if "torch" in versions else ""
    if ran is None or not ran.ok:
        seen = f"({repro.happens})"
    else:
        status = ran.facts["status"]
        ended = (
            f"exit status {status}"
            if status >= 0
            else f"killed by signal {-status}, exit status {128 - status} of a shell"
        )
        seen = "\n".join([*ran.facts["output"], f"[{ended}]"])
    values = {
        "title": repro.title,
        "case": str(plan.case),
        "expected": repro.expected,
        "happens": repro.happens,
        "model": repro.model,
        "weights": _weights(plan),
        "size": _size(sum(size for _, size, _ in files)),
        "python": f"On Python {'.'.join(python.split('.')[:2])}.{note}",
        "install": f"pip install {' '.join(pins)}",
        "options": " -X faulthandler" if repro.ended is not None and repro.ended.kind == "signal" else "",
        "system": f"{platform.system()} {platform.machine()}, Python {python}",
        "versions": ", ".join(f"{name} {found}" for name, found in versions.items() if found),
        "seen": seen,
        "more": repro.more,
        "files": "\n".join(f"| {name} | {size:,} | `{sha256}` |" for name, size, sha256 in files),
    }
    return _render("README.md.txt", values)


def _size(number: int) -> str:
    return f"{number / 2**20:.1f} MB" if number >= 2**20 else f"{number / 2**10:.1f} KB"


def _distribution(chain: Toolchain, name: str) -> str:
    if name == "onnx2tf":  # its backend tf_converter needs tensorflow and tf_keras
        return "onnx2tf[tensorflow]"
    return f"{name}-cpu" if name not in chain.versions and f"{name}-cpu" in chain.versions else name


def _converter(chain: Toolchain, name: str) -> str:
    """A converter with its version."""
    found = f"{name} {_version(chain, name)}"
    return f"TFLiteConverter ({found})" if name == "tensorflow" else found


def _version(chain: Toolchain, name: str) -> str:
    """As a registry has it: without the build's own label (``+cpu``)."""
    return chain.versions.get(name, chain.versions.get(f"{name}-cpu", "")).partition("+")[0]


def _weights(plan: Plan) -> str:
    """Whose numbers the folder holds."""
    carried = plan.source.weights
    known = plan.source.entry.contract.weights_sources().get(carried.name)
    sha256 = f"sha256 `{carried.sha256}`"
    if carried.path is None:
        return (
            f"`{carried.name}`, drawn from a seed: they are nobody's and read nothing ({sha256} of the recipe's name)"
        )
    origin = known and (known.distribution or known.url or ("this project" if known.path else ""))
    whose = f"of {origin}" if origin else "of a file"
    licence = known.licence if known is not None and known.licence else "not known: look before you publish this folder"
    return f"`{carried.name}` {whose}, {sha256}; they, or a part of them, are in this folder; their licence: {licence}"
