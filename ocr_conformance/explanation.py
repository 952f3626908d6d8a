"""Explain a case: choose what its artifact is compared with, and run the jobs of `ocr_conformance.diagnose`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ocr_conformance.cases import MODES
from ocr_conformance.conformance import Engine, Missing, Plan, TaskMaker
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from ocr_conformance.cases import Case
    from ocr_conformance.evidence import Outcome
    from ocr_conformance.schedule import Task

SAMPLES = 4
"""Images on which ops are compared: what breaks a network breaks it on each."""

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
    plan = engine.plan(case)
    if plan.parts:
        parts = " or ".join(str(part.case) for _, part in plan.parts)
        raise UserError(f"{case} is a pipeline: explain one of its parts, {parts}")
    if plan.skip:
        raise UserError(f"{case} cannot be tried here: {plan.skip}")
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
            return _result(engine, plan, task, str(sibling.case), "ops", "ops.json")
    return _by_nodes(engine, plan)


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
    return _result(engine, plan, task, reference, "nodes", "nodes.json")


def _without_artifact(engine: Engine, plan: Plan, what: str, outcome: Outcome | None) -> Explanation:
    """onnx-tf builds in memory what cannot be saved or run; of other converters nothing is left to look into."""
    case = plan.case
    said = f"{outcome.kind} at {outcome.stage}: {outcome.message[:300]}" if outcome is not None else "its inputs failed"
    if all(name != "saved-model(onnx-tf)" for name, _, _ in plan.hops):
        raise UserError(f"{case}: there is no artifact that runs: {what}: {said}; `ocr-conformance repro` shows it alone")
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
    return _result(engine, plan, task, "the ONNX file's nodes, by onnxruntime", "onnx-tf", "ops.json", note)


def _result(
    engine: Engine, plan: Plan, task: Task, reference: str, method: Method, file: str, note: str = ""
) -> Explanation:
    outcome = engine.scheduler.outcome(task)
    if outcome is None or not outcome.ok or outcome.folder is None:
        culprit = engine.scheduler.culprit(task) if outcome is None else (task, outcome)
        assert culprit is not None
        what, ended = culprit
        raise UserError(f"{plan.case} could not be explained: {what.title}: {ended.kind} at {ended.stage}: {ended.message}")
    rows = json.loads((outcome.folder / file).read_text())
    return Explanation(
        str(plan.case), reference, method, outcome.facts, rows, outcome.seconds, outcome.peak_bytes, note
    )
