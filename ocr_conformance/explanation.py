"""Explain a case: choose what its artifact is compared with, run the jobs of `ocr_conformance.diagnose`, say it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ocr_conformance.cases import MODES
from ocr_conformance.conformance import Engine, Missing, Plan, TaskMaker
from ocr_conformance.diagnose.explain import NEARLY_DB
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from ocr_conformance.cases import Case
    from ocr_conformance.evidence import Outcome
    from ocr_conformance.schedule import Task

SAMPLES = 4
"""Images on which ops are compared: what breaks a network breaks it on each."""

BISECT_SAMPLES = 64
"""Images that are read at each step of a bisection."""

NO_DIFFERENCE_DB = 199.0
"""From here on an SQNR says that there is no difference at all."""

Method = Literal["ops", "nodes", "onnx-tf"]


@dataclass(frozen=True)
class Explanation:
    """What was compared, how, and what came of it.

    Attributes:
        case: whose artifact.
        reference: what it was held against, in words.
        method: ``ops``: op by op beside a float file of the same network; ``nodes``: by the numbers that its source
            graph computes; ``onnx-tf``: in memory, node by node.
        facts: what the job returned (`ocr_conformance.diagnose`).
        rows: its table, in execution order.
        seconds, peak_bytes: cost of the job.
        note: what a reader should know beside, or empty.
    """

    case: str
    reference: str
    method: Method
    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    seconds: float
    peak_bytes: int
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return dict(vars(self))


def explain(engine: Engine, case: Case) -> Explanation:
    """Find the first op of a case's artifact that diverges; converts what is not in the cache.

    Raises:
        UserError: there is nothing that could be compared: one sentence that says why.
    """
    plan = plan_of_one(engine, case, "explain")
    for name, task, _ in plan.hops:
        outcome = engine.scheduler.outcome(task)
        if outcome is None or not outcome.ok:
            return _without_artifact(engine, plan, name, outcome)
    if plan.format != "tflite" or plan.run is None:
        raise UserError(f"{case}: only .tflite files can be looked into, its artifact is {plan.product}")
    ran = engine.scheduler.outcome(plan.run)
    if ran is None or not ran.ok:
        return _without_artifact(engine, plan, f"run {plan.product}", ran)
    if case.mode != MODES[0]:
        sibling = engine.plan(replace(case, mode=MODES[0]))
        ran = engine.scheduler.outcome(sibling.run) if sibling.run is not None else None
        if ran is not None and ran.ok:
            task = _maker(engine, plan).job(
                plan.chain, "ocr_conformance.diagnose.explain:explain", f"explain {case}", {"samples": SAMPLES},
                {"artifact": plan.artifact, "reference": sibling.artifact, "inputs": _inputs(plan)},
            )  # fmt: skip
            return _result(engine, case, task, "ops", str(sibling.case))
    return _by_nodes(engine, plan)


def plan_of_one(engine: Engine, case: Case, what: str) -> Plan:
    """The plan of a case that is one network and can be tried here.

    Args:
        what: is to be done with it, as a verb.

    Raises:
        UserError: it is a pipeline, or something is missing here.
    """
    plan = engine.plan(case)
    if plan.parts:
        parts = " or ".join(str(part.case) for _, part in plan.parts)
        raise UserError(f"{case} is a pipeline: {what} one of its parts, {parts}")
    if plan.skip:
        raise UserError(f"{case} cannot be tried here: {plan.skip}")
    return plan


def _maker(engine: Engine, plan: Plan) -> TaskMaker:
    return TaskMaker(engine, plan.source)


def _inputs(plan: Plan) -> Task:
    assert plan.inputs is not None
    return plan.inputs


def _by_nodes(engine: Engine, plan: Plan) -> Explanation:
    """Beside the graph that the artifact was made from."""
    case, source = plan.case, plan.source
    onnx = next((task for name, task, _ in plan.hops if name.startswith("onnx(")), None)
    inputs = {"artifact": plan.artifact, "inputs": _inputs(plan)}
    runs = ("ai-edge-litert",)
    if onnx is not None:
        inputs["onnx"] = onnx
        requires: tuple[str, ...] = ("onnx", "onnxruntime", *runs)
        reference = "the nodes of its ONNX file, by onnxruntime"
    elif source.description.framework == "torch":
        requires = (*source.description.requires, *runs)
        reference = "the nodes of torch.export's program"
    else:
        raise UserError(
            f"{case}: there is no graph to compare it with: it is the float file itself, and made from "
            f"{source.description.framework}; explain a quantized mode of it, or a route through ONNX or torch"
        )
    form = next((task.params["form"] for _, task, _ in plan.hops if "form" in task.params), "source")
    try:
        chain = engine.place(plan.chain, requires)
    except Missing as missing:
        raise UserError(f"{case} cannot be explained here: {missing or ', '.join(requires)}") from None
    task = _maker(engine, plan).job(
        chain,
        "ocr_conformance.diagnose.values:explain",
        f"explain {case}",
        {"samples": SAMPLES, "form": form},
        inputs,
    )
    return _result(engine, case, task, "nodes", reference)


def _without_artifact(engine: Engine, plan: Plan, what: str, outcome: Outcome | None) -> Explanation:
    """onnx-tf builds in memory what cannot be saved or run; of other converters nothing is left to look into."""
    case = plan.case
    said = f"{outcome.kind} at {outcome.stage}: {outcome.message[:300]}" if outcome is not None else "its inputs failed"
    if all(name != "saved-model(onnx-tf)" for name, _, _ in plan.hops):
        raise UserError(
            f"{case}: there is no artifact that runs: {what}: {said}; `ocr-conformance repro` shows it alone"
        )
    maker = _maker(engine, plan)
    onnx = plan.hops[0][1]
    shared = {"previous": onnx, "inputs": _inputs(plan)}
    values = maker.job(
        engine.place(plan.chain, ("onnx-tf",)), "ocr_conformance.diagnose.onnx_tf:values", f"run onnx-tf for {case}",
        {"samples": SAMPLES}, shared, preload=("tensorflow",),
    )  # fmt: skip
    try:
        chain = engine.place(plan.chain, ("onnx", "onnxruntime"))
    except Missing as missing:
        raise UserError(f"{case} cannot be explained here: {missing}") from None
    task = maker.job(
        chain,
        "ocr_conformance.diagnose.onnx_tf:compare",
        f"explain {case}",
        {},
        {**shared, "values": values},
        preload=("onnxruntime",),
    )
    note = f"{what}: {said}; compared is the network that onnx-tf builds in memory"
    return replace(_result(engine, case, task, "onnx-tf", "the ONNX file's nodes, by onnxruntime"), note=note)


def _done(engine: Engine, case: Case, task: Task) -> tuple[Outcome, Path]:
    """A job that ended well, and its folder.

    Raises:
        UserError: it did not, or one that it builds on.
    """
    outcome = engine.scheduler.outcome(task)
    if outcome is not None and outcome.ok and outcome.folder is not None:
        return outcome, outcome.folder
    culprit = engine.scheduler.culprit(task) if outcome is None else (task, outcome)
    assert culprit is not None
    what, ended = culprit
    raise UserError(f"{case} could not be explained: {what.title}: {ended.kind} at {ended.stage}: {ended.message}")


_TABLES: dict[Method, str] = {"ops": "ops.json", "nodes": "nodes.json", "onnx-tf": "ops.json"}


def _result(engine: Engine, case: Case, task: Task, method: Method, reference: str) -> Explanation:
    outcome, folder = _done(engine, case, task)
    rows = json.loads((folder / _TABLES[method]).read_text())
    return Explanation(str(case), reference, method, outcome.facts, rows, outcome.seconds, outcome.peak_bytes)


def sentence(explanation: Explanation) -> str:
    """The finding in one line: which op, what is wrong with it."""
    named = explanation.facts["named"]
    if named is None:
        return f"no op makes an error of its own beside {explanation.reference}"
    if explanation.method == "nodes":
        return _lost(named, explanation.reference)
    what = f"op {named['place']}, {named['kind']} of {named['layer']}"
    if explanation.method == "onnx-tf":
        return f"the first node that errs is {what}: its own error leaves {decibels(named['made_db'])} of what it gives"
    total = explanation.facts["sqnr_db"]
    alone = named["alone_db"]
    shared = _shared(explanation)
    begin = f"the first error is made in {what}" if not shared else f"{shared}; its worst op is {what}"
    said = f"{begin}: {_parameters(named)}; this error alone leaves {decibels(alone)} of the output"
    said += f" (all together: {decibels(total)})"
    inside = explanation.facts.get("inside", {}).get("named")
    if inside is not None:
        op = f"op {inside['place']}, {inside['kind']} of {inside['layer']}"
        said += f"; in its loop it is made in {op}: {_parameters(inside)}"
    return said


def summary(explanation: Explanation) -> dict[str, Any]:
    """What a record keeps: the finding, and of each op its place, the SQNR that it passes on and that of its own error
    (dB), where ops were compared by numbers."""
    rows = [row for row in explanation.rows if explanation.method != "nodes" and row["compared"]]
    named = explanation.facts["named"]
    return {
        "sentence": sentence(explanation),
        "reference": explanation.reference,
        "op": None if named is None or "place" not in named else named["place"],
        "sqnr": [[row["place"], row["sqnr_db"], row["made_db"]] for row in rows],
    }


def _shared(explanation: Explanation) -> str:
    """Where no op alone accounts for what is lost: the layer that costs the most."""
    named, total = explanation.facts["named"], explanation.facts["sqnr_db"]
    if named["alone_db"] <= total + NEARLY_DB:
        return ""
    layer = next(each for each in explanation.facts["layers"] if named["place"] in each["ops"])
    of = f"of its {len(layer['ops'])} ops together " if len(layer["ops"]) > 1 else ""
    return f"no single op is to blame; most is lost in {layer['name']} ({of}{decibels(layer['alone_db'])})"


def _parameters(row: dict[str, Any]) -> str:
    """What of an op's output can be represented, beside what has to be."""
    needed = f"{row['low']:.4g} .. {row['high']:.4g}"
    said = f"{decibels(row['made_db'])} of its own"
    low, high = row["given"]
    if low == high and row["low"] < row["high"]:
        said += f", it gives {low:.4g} whatever it reads"
    for each in row["weights"]:
        said += f", its {each['dtype']} constant has {each['scales']} scales" if each["scales"] > 1 else ""
    if "scale" not in row:
        return f"{said}, the reference is {needed}"
    least, most = row["representable"]
    said += (
        f", the reference is {needed}, {row['dtype']} holds {least:.4g} .. {most:.4g} in steps of {row['scale']:.3g}"
    )
    if row["levels"] is not None and row["levels"] < 32:
        said += f": only {max(1, round(row['levels']))} steps for all of it"
    return said + (": it saturates" if row["saturates"] else "")


def _lost(named: dict[str, Any], reference: str) -> str:
    text = f"the artifact goes wrong at {named['kind']} of {named['layer'] or named['node']}"
    text += f" (`{named['where']}`)" if named["where"] else ""
    sources = []
    for each in named["inputs"]:
        shape = f", declared {each['declared']} and really {each['real']}" if each["declared"] != each["real"] else ""
        sources.append(f"{each['node']} is right in op {each['place']}{shape}")
    ops = ", ".join(f"{op['place']} {op['kind']}" for op in named["ops"][:4])
    text += f": its input {'; '.join(dict.fromkeys(sources))}" if sources else ""
    return text + (f"; it is read by {ops}" if ops else "") + f", and what follows is in none of {reference}"


def decibels(value: float | None) -> str:
    """A ratio for a reader."""
    if value is None:
        return "?"
    return "all" if value >= NO_DIFFERENCE_DB else f"{value:.1f} dB"


@dataclass(frozen=True)
class Bisection:
    """What must stay float (see `ocr_conformance.diagnose.bisect`), and the folder of its files.

    Attributes:
        case: whose quantization it is.
        quantizer: ``litert-quantizer`` or ``tf-lite``.
        wanted: agreement with the source's text that had to be reached, 0 .. 1.
        facts: what the job returned.
        folder: with ``model.tflite`` and ``recipe.json``.
        seconds: that it took.
    """

    case: str
    quantizer: str
    wanted: float
    facts: dict[str, Any]
    folder: Path
    seconds: float


def bisect(engine: Engine, case: Case, *, agreement: float | None = None) -> Bisection:
    """Find what must stay float for a quantized case to keep to its contract's text agreement.

    Args:
        agreement: wanted instead of the contract's, 0 .. 1.

    Raises:
        UserError: the case is no quantized recognizer, its quantizer has no recipes, or a job failed.
    """
    plan = engine.plan(case)
    if case.mode in (MODES[0], "float16") or plan.source.description.kind != "recognizer":
        raise UserError(f"{case}: only an integer mode of a recognizer can be bisected")
    last = plan.hops[-1][1].function if plan.hops else ""
    quantizer = {"litert_quantizer:quantize": "litert-quantizer", "tf_lite:convert": "tf-lite"}.get(
        last.rpartition(".")[2]
    )
    if quantizer is None:
        raise UserError(
            f"{case}: its quantizer takes no recipe; routes that end in litert-quantizer or TFLiteConverter do"
        )
    found = explain(engine, case)
    if found.method != "ops":
        raise UserError(f"{case}: bisecting needs a float file of the same route that runs")
    rows: dict[int, list[str]] = {}
    for row in found.rows:
        rows.setdefault(row["place"], []).append(row["tensor"])
    groups = [
        {"name": layer["name"], "tensors": [name for place in layer["ops"] for name in rows[place]]}
        for layer in found.facts["layers"]
    ]
    wanted = agreement
    if wanted is None:
        wanted = engine.limits_of(plan).text.agreement
    if wanted is None:
        raise UserError(f"{case}: its contract promises no text agreement; say how much is wanted with --agreement")
    assert plan.predict is not None
    sibling = engine.plan(replace(case, mode=MODES[0]))
    inputs = {"reference": sibling.artifact, "inputs": _inputs(plan), "source": plan.predict}
    calibration = plan.hops[-1][1].inputs.get("calibration")
    if calibration is not None:
        inputs["calibration"] = calibration
    if quantizer == "tf-lite":
        if calibration is None:
            raise UserError(f"{case}: TFLiteConverter keeps ops float only where it calibrates, in an int8 mode")
        inputs["saved_model"] = plan.hops[-1][1].inputs["previous"]
    params = {
        "mode": case.mode,
        "quantizer": quantizer,
        "samples": BISECT_SAMPLES,
        "agreement": wanted,
        "groups": groups,
    }
    task = _maker(engine, plan).job(
        plan.chain, "ocr_conformance.diagnose.bisect:bisect", f"bisect {case}", params, inputs
    )
    outcome, folder = _done(engine, case, task)
    return Bisection(str(case), quantizer, wanted, outcome.facts, folder, outcome.seconds)
