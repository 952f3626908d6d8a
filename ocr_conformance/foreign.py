"""Judge an artifact that somebody else made: what can be said without the source's weights."""

from __future__ import annotations

from pathlib import Path

from ocr_conformance import checks, toolchain, weights
from ocr_conformance.cases import MODES, Case
from ocr_conformance.conformance import MAY_FAIL, Engine, TaskMaker, micro_task
from ocr_conformance.contract import Limits
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import Evidence, Hop, Outcome
from ocr_conformance.registry import near
from ocr_conformance.results import CheckResult

ROUTE = "file"
"""Stands for the route in the case string of a file of unknown making."""

_UNSAID = "unknown"
"""Stands for its mode where that is not said."""

CHECKS = ("conversion", "mode", "signature", "preprocessing", "accuracy", "ops", "size", "memory", "repeatability")
"""The checks that need no source beside the file; ``mode`` only where the mode is said."""


def judge_file(
    engine: Engine, path: Path, model_id: str, *, mode: str | None = None, alphabet: str | None = None
) -> tuple[Case, dict[str, CheckResult]]:
    """Put the checks to a ``.tflite`` file that is said to be an artifact of a model.

    Args:
        model_id: whose preprocessing, decoding and contract apply (``model`` or ``model:variant``).
        mode: the quantization mode that the file is said to have; ``None``: not judged, and only such limits count as
            hold in every mode.
        alphabet: the file's classes in order, where they are not the model's.

    Returns:
        The case (route ``file``) and the results by check.

    Raises:
        UserError: there is no such file, model or mode, or no toolchain here can run it.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: expected a .tflite file")
    if mode is not None and mode not in MODES:
        raise near(mode, MODES, "mode", "--ocr-mode")
    model, _, variant = model_id.partition(":")
    if model not in engine.registry.models:
        raise near(model_id, engine.registry.models, "model", "--ocr-model")
    if engine.registry.models[model].is_pipeline:
        raise UserError(f"--ocr-model {model_id}: a pipeline is two files, judge each as that of its part")
    source = engine.source(model, variant)
    requires = source.description.requires
    chains = [chain for chain in engine.chains_for(requires) if toolchain.can_run(chain, requires)]
    if not chains:
        raise UserError(f"no toolchain here can run {model_id}: see `ocr-conformance toolchain list`")
    chain = chains[0]
    case = Case(model, variant, ROUTE, mode or _UNSAID, chain.name)
    make = TaskMaker(engine, source, alphabet=alphabet)
    sha256 = weights.file_sha256(path)
    artifact = make.job(
        chain, "ocr_conformance.runtime.artifact:adopt", f"read {path.name}", {"path": str(path.resolve())},
        known={"sha256": sha256},
    )  # fmt: skip
    inputs = make.inputs(chain, source.images, f"inputs of {model_id}")
    used = {"artifact": artifact, "inputs": inputs}
    threads = {"threads": engine.settings.threads}
    format_ = engine.registry.formats["tflite"]
    assert format_.run and format_.inspect and format_.repeat and format_.memory and format_.xnnpack and format_.micro
    run = make.job(chain, format_.run, f"run {path.name}", threads, used)
    limits = source.entry.contract.limits(case, chain.versions, engine.settings.device)
    demanded = "micro" in (limits.ops.targets or ())
    micro, no_micro = micro_task(
        engine, make, chain, format_.micro, title=path.name, used={**used, "run": run}, demanded=demanded
    )
    tasks = {
        "inputs": inputs,
        "run": run,
        "inspect": make.job(chain, format_.inspect, f"look into {path.name}", {}, {"artifact": artifact}),
        "repeat": make.job(chain, format_.repeat, f"repeatability of {path.name}", threads, {**used, "run": run}),
        "memory": make.job(
            chain,
            format_.memory,
            f"memory of {path.name}",
            threads,
            {**used, "run": run},
            fresh=True,
            this_machine=True,
        ),
        "xnnpack": make.job(chain, format_.xnnpack, f"XNNPACK's share of {path.name}", threads, {**used, "run": run}),
        **({"micro": micro} if micro is not None else {}),
    }
    outcome = engine.scheduler.outcome
    evidence = Evidence(
        case,
        labels=source.images.labels,
        images=source.images.files,
        truth=source.images.words,
        weights_name="unknown",
        no_micro=no_micro,
    )
    adopted = outcome(artifact)
    assert adopted is not None
    evidence.hops = (Hop(path.name, adopted),)
    for name, task in tasks.items():
        setattr(evidence, name, outcome(task))
    if evidence.failure() is None and evidence.run is None:  # the inputs: an image or the adapter
        culprit = engine.scheduler.culprit(run)
        assert culprit is not None
        evidence.hops += (Hop(culprit[0].title, culprit[1]),)
    wanted = [name for name in CHECKS if name != "mode" or mode is not None]
    return case, {name: _judge(name, evidence, limits) for name in wanted}


def _judge(name: str, evidence: Evidence, limits: Limits) -> CheckResult:
    """The result of a check; ``failed`` where a job that it needs did not end well."""
    check = checks.CHECKS[name]
    if evidence.failure() is None:
        for need in sorted(check.needs):
            outcome = getattr(evidence, need)
            if isinstance(outcome, Outcome) and not outcome.ok and need not in MAY_FAIL:
                message = f"{need} could not be had: {outcome.kind} at {outcome.stage}: {outcome.message}"
                return CheckResult(name, "failed", message, details=outcome.tail)
    return check(evidence, limits)
