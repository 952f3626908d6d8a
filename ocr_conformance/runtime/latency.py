"""Wall and processor time of one invoke, interleaved with its references. For a fresh process, alone on the machine."""

from __future__ import annotations

import gc
import os
import random
import time
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import KerasModel, build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

_LEAST_ROUNDS = 6
"""The distribution-free 95 % interval of a median is infinitely wide below 6 values."""
_MOST_ROUNDS = 2000
_WARM_UPS = 3


class _Artifact:
    def __init__(self, session: Session) -> None:
        self._session = session

    def ready(self, sample: Tensors) -> None:
        self._session.reset()
        self._session.feed(sample)

    def go(self) -> None:
        self._session.invoke()


class _Source:
    def __init__(self, call: Callable[[Tensors], Any]) -> None:
        self._call = call
        self._sample: Tensors = {}

    def ready(self, sample: Tensors) -> None:
        self._sample = sample

    def go(self) -> None:
        self._call(self._sample)


def _time(contender: _Artifact | _Source, sample: Tensors) -> tuple[float, float]:
    """Wall and processor milliseconds of one run; feeding and the reset of state are outside of it."""
    contender.ready(sample)
    cpu, wall = time.process_time(), time.perf_counter()
    contender.go()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def ratio_spread(ours: list[float], theirs: list[float]) -> float:
    """Half-width of the approximate 95 % interval of the median of the per-round ratio, relative to that median.

    1.57 * IQR / sqrt(n): the notch of McGill, Tukey and Larsen, "Variations of box plots", 1978. Infinite for
    fewer than 3 rounds.
    """
    import numpy as np

    if len(ours) < _LEAST_ROUNDS:
        return float("inf")
    ratios = np.divide(ours, theirs)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return float(1.57 * (high - low) / np.sqrt(len(ratios)) / middle)


def _source(model: SourceModel) -> tuple[_Source, str]:
    predictor = getattr(model, "predictor", None)
    if predictor is not None:
        return _Source(predictor()), "predictor"
    if isinstance(model, KerasModel):
        return _Source(_keras_function(model)), "keras-function"
    return _Source(model.predict), "predict"


def _keras_function(model: KerasModel) -> Callable[[Tensors], Any]:
    """The exported network as a compiled function of batch 1: without the tens of milliseconds of ``Model.predict``."""
    import tensorflow as tf

    network = model.keras_model()
    specs = model.inputs()

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec(spec.shape, spec.dtype) for spec in specs], autograph=False
    )
    def call(*arrays: Any) -> Any:
        return network(arrays[0] if len(arrays) == 1 else list(arrays), training=False)

    return lambda sample: call(*(tf.constant(sample[spec.name]) for spec in specs))


def measure(job: Job) -> dict[str, Any]:
    """Time the artifact beside the float32 artifact and the source framework, in turns.

    Params: ``model``, ``threads``, ``with_source`` (false), ``rounds`` (at least so many, 12), ``min_seconds`` (of
    timed rounds, 1.0), ``spread`` (stop when `ratio_spread` of every ratio is below, 0.05), ``budget_seconds`` (of
    the rounds, 20). Inputs: ``artifact``, ``inputs``, optionally ``baseline`` (folder of the float32 artifact).

    Each round times every contender once on the same sample, in an order drawn from a fixed seed, so that a machine
    that slows down slows all of them. Rounds end when the ratios are steady or the budget is spent (`_LEAST_ROUNDS` are
    always made). Of an artifact only ``invoke()`` is timed: filling the input and resetting state are not. Of the
    source, the first of these is called with one sample: what the adapter's ``predictor()`` returns (optional, a
    compiled function of batch-1 arrays), a Keras model's network as a ``tf.function`` of batch 1, ``predict`` (whose
    overhead per call is not the network's). ``source_timed`` says which.

    Returns:
        ``artifact_ms``, ``artifact_cpu_ms`` and, where asked for, ``float32_ms``, ``float32_cpu_ms``, ``source_ms``,
        ``source_cpu_ms``: milliseconds per round, same index = same round; cpu counts all threads of the process.
        ``rounds``, ``seconds`` (of the rounds), ``stopped`` (``spread``, ``budget`` or ``rounds``), ``spreads``,
        ``threads``, ``runtime``, ``source_timed`` (``predictor``, ``keras-function``, ``predict``, ``None``), ``load``
        (1-minute load average of the machine before and after, ``None`` where the system has none), ``versions``.
    """
    threads: int = job.params["threads"]
    budget = float(job.params.get("budget_seconds", 20.0))
    least_rounds = int(job.params.get("rounds", 12))
    least_seconds = float(job.params.get("min_seconds", 1.0))
    wanted_spread = float(job.params.get("spread", 0.05))
    # Read when a framework makes its thread pools: the source gets as many threads as the artifact.
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    load_before = _load()
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    samples = [tensors.sample(inputs, index) for index in range(tensors.count(inputs))]

    source_timed = None
    contenders: dict[str, _Artifact | _Source] = {}
    if job.params.get("with_source", False):
        job.stage("source")
        contenders["source"], source_timed = _source(build(job.params["model"]))
        _warm_up(contenders["source"], samples, budget)
    job.stage("allocate")
    session = Session(job.inputs["artifact"] / ARTIFACT, threads=threads, inputs=inputs)
    contenders["artifact"] = _Artifact(session)
    if "baseline" in job.inputs:
        contenders["float32"] = _Artifact(Session(job.inputs["baseline"] / ARTIFACT, threads=threads, inputs=inputs))
    job.stage("invoke")
    for name in ("artifact", "float32"):
        if name in contenders:
            _warm_up(contenders[name], samples, budget)

    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    references = [name for name in contenders if name != "artifact"]
    order = list(contenders)
    draw = random.Random(0)
    stopped = "rounds"
    gc.collect()
    gc.disable()
    first_round = time.perf_counter()
    rounds = 0
    while rounds < _MOST_ROUNDS:
        draw.shuffle(order)
        for name in order:
            milliseconds, processor = _time(contenders[name], samples[rounds % len(samples)])
            wall[name].append(milliseconds)
            cpu[name].append(processor)
        rounds += 1
        now = time.perf_counter()
        if rounds < _LEAST_ROUNDS:
            continue
        one_more = (now - first_round) / rounds
        if now - first_round + one_more > budget:
            stopped = "budget"
            break
        steady = all(ratio_spread(wall["artifact"], wall[name]) <= wanted_spread for name in references)
        if steady and rounds >= least_rounds and now - first_round >= least_seconds:
            stopped = "spread"
            break
    gc.enable()
    facts: dict[str, Any] = {f"{name}_ms": values for name, values in wall.items()}
    facts |= {f"{name}_cpu_ms": values for name, values in cpu.items()}
    return facts | {
        "rounds": rounds,
        "seconds": time.perf_counter() - first_round,
        "stopped": stopped,
        "spreads": {name: ratio_spread(wall["artifact"], wall[name]) for name in references},
        "threads": threads,
        "runtime": session.runtime,
        "source_timed": source_timed,
        "load": [load_before, _load()],
        "versions": versions(),
    }


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _warm_up(contender: _Artifact | _Source, samples: list[Tensors], budget: float) -> None:
    """Run untimed: the first call compiles or fills caches. A slow one is not repeated for long."""
    started = time.perf_counter()
    for index in range(_WARM_UPS):
        contender.ready(samples[index % len(samples)])
        contender.go()
        if time.perf_counter() - started > budget / 10:
            return
