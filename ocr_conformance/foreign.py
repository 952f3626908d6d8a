"""An artifact that somebody else made: what it reads, and what can be judged without the source's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_conformance import checks, toolchain, weights
from ocr_conformance.cases import MODES, Case
from ocr_conformance.conformance import MAY_FAIL, Engine, Source, TaskMaker, micro_task
from ocr_conformance.contract import Limits
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import Evidence, Hop, Outcome
from ocr_conformance.images import ImageSet
from ocr_conformance.registry import FILE_SOURCES, near
from ocr_conformance.results import CheckResult
from ocr_conformance.schedule import Task
from ocr_conformance.toolchain import Toolchain

ROUTE = "file"
"""Stands for the route in the case string of a file of unknown making."""

_UNSAID = "unknown"
"""Stands for its mode where that is not said."""

CHECKS = ("conversion", "mode", "signature", "preprocessing", "accuracy", "ops", "size", "memory", "repeatability")
"""The checks that need no source beside the file; ``mode`` only where the mode is said."""


@dataclass(frozen=True)
class _File:
    """A ``.tflite`` file, and the model whose preprocessing and decoding apply to it."""

    path: Path
    source: Source
    chain: Toolchain
    """Where it runs."""
    make: TaskMaker
    artifact: Task
    """Takes it in."""

    def run(self, engine: Engine, inputs: Task) -> Task:
        """The task that runs it on prepared inputs."""
        run = engine.registry.formats["tflite"].run
        assert run is not None
        used = {"artifact": self.artifact, "inputs": inputs}
        return self.make.job(self.chain, run, f"run {self.path.name}", {"threads": engine.settings.threads}, used)


def _named(engine: Engine, model_id: str) -> tuple[str, str]:
    """The model and the variant that ``--model`` means.

    Raises:
        UserError: there is no such model.
    """
    model, _, variant = model_id.partition(":")
    if model in FILE_SOURCES:
        entry = engine.registry.add_file(model, Path(variant))
        return entry.name, entry.first_variant
    if model not in engine.registry.models:
        raise near(model_id, engine.registry.models, "model", "--ocr-model")
    entry = engine.registry.models[model]
    return model, variant or (entry.first_variant if not entry.is_pipeline else "")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"there is no file {path}: expected a .tflite file")
    return path


def _taken_in(engine: Engine, path: Path, model: str, variant: str, alphabet: str | None) -> _File:
    """The file as a model's.

    Raises:
        UserError: there is no such variant, or no toolchain here can run it.
    """
    source = engine.source(model, variant)
    requires = source.description.requires
    chains = [chain for chain in engine.chains_for(requires) if toolchain.can_run(chain, requires)]
    if not chains:
        raise UserError(f"no toolchain here can run {source.model_id}: see `ocr-conformance toolchain list`")
    if alphabet is not None and source.description.kind != "recognizer":
        raise UserError(f"--alphabet: {source.model_id} is a {source.description.kind}, which has no characters")
    make = TaskMaker(engine, source, alphabet=alphabet)
    artifact = make.job(
        chains[0], "ocr_conformance.runtime.artifact:adopt", f"read {path.name}", {"path": str(path.resolve())},
        known={"sha256": weights.file_sha256(path)},
    )  # fmt: skip
    return _File(path, source, chains[0], make, artifact)


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
    _existing(path)
    if mode is not None and mode not in MODES:
        raise near(mode, MODES, "mode", "--ocr-mode")
    model, variant = _named(engine, model_id)
    if engine.registry.models[model].is_pipeline:
        raise UserError(f"--ocr-model {model_id}: a pipeline is two files, judge each as that of its part")
    file = _taken_in(engine, path, model, variant, alphabet)
    source, chain, make, artifact = file.source, file.chain, file.make, file.artifact
    case = Case(model, variant, ROUTE, mode or _UNSAID, chain.name)
    inputs = make.inputs(chain, source.images, f"inputs of {model_id}")
    used = {"artifact": artifact, "inputs": inputs}
    threads = {"threads": engine.settings.threads}
    format_ = engine.registry.formats["tflite"]
    assert format_.inspect and format_.repeat and format_.memory
    run = file.run(engine, inputs)
    limits = source.entry.contract.limits(case, chain.versions, engine.settings.device)
    no_micro = ""
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
    }
    after = {**used, "run": run}
    if format_.xnnpack is not None:
        tasks["xnnpack"] = make.job(chain, format_.xnnpack, f"XNNPACK's share of {path.name}", threads, after)
    if format_.micro is not None:
        demanded = "micro" in (limits.ops.targets or ())
        micro, no_micro = micro_task(engine, make, chain, format_.micro, title=path.name, used=after, demanded=demanded)
        if micro is not None:
            tasks["micro"] = micro
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


@dataclass(frozen=True)
class Reading:
    """What a file reads in one image.

    Attributes:
        text: of a recognizer.
        margin: of a recognizer with scores ``[1, frames, classes]``: the smallest gap between the two best classes of
            a frame over the largest magnitude, 0 where two are equal.
        boxes: of a detector, and of a pipeline: polygons as of `ocr_conformance.model.Detector.boxes`.
        words: of a pipeline: the text of each box.
    """

    image: Path
    text: str | None = None
    margin: float | None = None
    boxes: list[list[list[float]]] | None = None
    words: list[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """What there is of it, JSON-able."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {**known, "image": str(self.image)}


class Unread(Exception):
    """A file that does not load, does not run, or whose outputs do not decode; the message says which."""


def read_file(
    engine: Engine,
    path: Path,
    model_id: str,
    images: ImageSet,
    *,
    recognizer: Path | None = None,
    alphabet: str | None = None,
) -> tuple[str, list[Reading]]:
    """Run a ``.tflite`` file on images, preprocessed and decoded as a model's.

    Args:
        model_id: the model, or a pipeline: then ``path`` is its detector's file.
        recognizer: the file of a pipeline's recognizer.
        alphabet: the classes of the recognizer's file in order, where they are not the model's.

    Returns:
        The runtime's name and version; and what it reads, in the order of the images.

    Raises:
        UserError: there is no such file or model, an image does not decode, or no toolchain here can run it.
        Unread: the file is at fault.
    """
    _existing(path)
    model, variant = _named(engine, model_id)
    if not engine.registry.models[model].is_pipeline:
        if recognizer is not None:
            raise UserError(f"--recognizer {recognizer}: {model_id} is no pipeline, one file is all it has")
        file = _taken_in(engine, path, model, variant, alphabet)
        run = file.run(engine, file.make.inputs(file.chain, images, f"inputs of {path.name}"))
        return _readings(images, _outcome(engine, run))
    if recognizer is None:
        raise UserError(
            f"--ocr-model {model_id}: a pipeline is two files: name its recognizer's, too, by --recognizer FILE"
        )
    _existing(recognizer)
    (first, ours, our_variant), (second, theirs, their_variant) = engine.parts(variant)
    detector = _taken_in(first, path, ours.name, our_variant, None)
    reader = _taken_in(second, recognizer, theirs.name, their_variant, alphabet)
    boxes = detector.run(engine, detector.make.inputs(detector.chain, images, f"inputs of {path.name}"))
    run = reader.run(engine, reader.make.crops(reader.chain, images, boxes, f"words of {path.name}"))
    runtime, found = _readings(images, _outcome(engine, boxes))
    words = iter(_decoded(_outcome(engine, run), "texts"))
    return runtime, [
        Reading(each.image, boxes=each.boxes, words=[next(words) for _ in each.boxes or ()]) for each in found
    ]


def _outcome(engine: Engine, run: Task) -> Outcome:
    """How a run ended, well.

    Raises:
        UserError: an image is at fault.
        Unread: the file is.
    """
    outcome = engine.scheduler.outcome(run)
    if outcome is not None and outcome.ok:
        return outcome
    culprit = engine.scheduler.culprit(run)
    assert culprit is not None
    task, failed = culprit
    kind, _, reason = failed.message.partition(": ")
    if failed.stage == "source" and kind in ("ValueError", "Changed"):
        raise UserError(reason)
    raise Unread(f"{task.title}: {failed.kind} at {failed.stage or 'start'}: {failed.message}")


def _decoded(outcome: Outcome, what: str) -> list[Any]:
    """The texts or boxes of a run.

    Raises:
        Unread: the outputs did not decode.
    """
    found: list[Any] | None = outcome.facts[what]
    if found is None:
        raise Unread(f"its outputs do not decode: {outcome.facts.get('undecoded', 'no reason is known')}")
    return found


def _readings(images: ImageSet, outcome: Outcome) -> tuple[str, list[Reading]]:
    from ocr_conformance.diagnose.search import margin
    from ocr_conformance.runtime.tensors import sample

    paths = [each.path for each in images.samples]
    runtime: str = outcome.facts["runtime"]
    if outcome.facts.get("boxes") is not None:
        return runtime, [
            Reading(path, boxes=boxes) for path, boxes in zip(paths, _decoded(outcome, "boxes"), strict=True)
        ]
    outputs = outcome.tensors("outputs.npz")
    texts = _decoded(outcome, "texts")
    return runtime, [
        Reading(path, text=text, margin=margin(sample(outputs, index)))
        for index, (path, text) in enumerate(zip(paths, texts, strict=True))
    ]
