"""Wall and processor time of one invoke, interleaved with its references. For a fresh process, alone on the machine."""

from __future__ import annotations

import gc
import os
import random
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import KerasModel, build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

_LEAST_BLOCKS = 8
"""The distribution-free interval of a median is infinitely wide below 6 values at 95 %, below 7 at 98.3 %."""
_LEAST_ROUNDS = 3
"""Of a block, as long as it does not take more than its share of the budget."""
_MOST_OF_BLOCK = 25
"""More rounds would tell more of these interpreters, and nothing of others."""
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


def ratio_spread(ratios: list[float]) -> float:
    """Half-width of the approximate 95 % interval of a median, relative to it; infinite for fewer than 6 values.

    1.57 * IQR / sqrt(n): the notch of McGill, Tukey and Larsen, "Variations of box plots", 1978.
    """
    import numpy as np

    if len(ratios) < 6:
        return float("inf")
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

    Params: ``model``, ``threads``, ``with_source`` (false), ``min_seconds`` (1.0), ``spread`` (stop when `ratio_spread`
    of the blocks' ratios is at most this, 0.05; 0: spend the budget), ``budget_seconds`` (20; 8 blocks are always
    made). Inputs: ``artifact``, ``inputs``, optionally ``baseline`` (folder of the float32 artifact).

    Each round times every contender once on the same sample, in an order drawn from a fixed seed, so that a machine
    that slows down slows all of them. Rounds come in blocks, each with interpreters made anew: where the kernel and the
    allocator happen to put an interpreter's memory changes its speed for as long as it lives (the same file timed
    against itself: 0.83 to 1.13, where the rounds of one pair of interpreters agree to 0.01). So a block's median is
    one observation, and its rounds are none (Curtsinger and Berger, "STABILIZER: statistically sound performance
    evaluation", 2013; Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013). The rounds of a block take
    about as long as making its interpreters; where making takes longer than the whole budget they are made once, or a
    slow network would take minutes. The source is made once.

    Of an artifact only ``invoke()`` is timed: filling the input and resetting state are not. Of the source, the first
    of these is called with one sample: what the adapter's ``predictor()`` returns (optional, a compiled function of
    batch-1 arrays), a Keras model's network as a ``tf.function`` of batch 1, ``predict`` (whose overhead per call is
    not the network's). ``source_timed`` says which.

    Returns:
        ``artifact_ms``, ``artifact_cpu_ms`` and, where asked for, ``float32_ms``, ``float32_cpu_ms``, ``source_ms``,
        ``source_cpu_ms``: milliseconds per round, same index = same round; cpu counts all threads of the process.
        ``blocks``: the number of rounds of each block. ``rounds``, ``seconds`` (of the blocks), ``stopped``
        (``spread``, ``budget`` or ``rounds``), ``spreads``, ``threads``, ``runtime``, ``source_timed`` (``predictor``,
        ``keras-function``, ``predict``, ``None``), ``load`` (1-minute load average of the machine before and after,
        ``None`` where the system has none), ``versions``.
    """
    threads: int = job.params["threads"]
    budget = float(job.params.get("budget_seconds", 20.0))
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
    files = {"artifact": job.inputs["artifact"] / ARTIFACT}
    if "baseline" in job.inputs:
        files["float32"] = job.inputs["baseline"] / ARTIFACT
    names = [*contenders, *files]

    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    blocks: list[int] = []
    draw = random.Random(0)
    stopped = "rounds"
    rounds = 0
    share = budget / _LEAST_BLOCKS
    making = 0.0
    gc.collect()
    gc.disable()
    first_block = time.perf_counter()
    while rounds < _MOST_ROUNDS:
        began = time.perf_counter()
        if making <= budget:
            job.stage("allocate")
            order = list(files)
            draw.shuffle(order)
            # Before the old ones are dropped: they would leave the same memory to the new ones.
            sessions = {name: Session(files[name], threads=threads, inputs=inputs) for name in order}
            job.stage("invoke")
            contenders |= {name: _Artifact(session) for name, session in sessions.items()}
            for name in files:
                _warm_up(contenders[name], samples, share)
            making = time.perf_counter() - began
        order = list(names)
        before = rounds
        while rounds - before < _MOST_OF_BLOCK:
            draw.shuffle(order)
            for name in order:
                milliseconds, processor = _time(contenders[name], samples[rounds % len(samples)])
                wall[name].append(milliseconds)
                cpu[name].append(processor)
            rounds += 1
            spent = time.perf_counter() - began
            if spent >= share or (rounds - before >= _LEAST_ROUNDS and spent >= 2 * making):
                break
        blocks.append(rounds - before)
        if len(blocks) < _LEAST_BLOCKS:
            continue
        spent = time.perf_counter() - first_block
        if spent + spent / len(blocks) > budget:
            stopped = "budget"
            break
        steady = all(spread <= wanted_spread for spread in _spreads(cpu if threads == 1 else wall, blocks).values())
        if wanted_spread > 0 and steady and spent >= least_seconds:
            stopped = "spread"
            break
    gc.enable()
    facts: dict[str, Any] = {f"{name}_ms": values for name, values in wall.items()}
    facts |= {f"{name}_cpu_ms": values for name, values in cpu.items()}
    return facts | {
        "blocks": blocks,
        "rounds": rounds,
        "seconds": time.perf_counter() - first_block,
        "stopped": stopped,
        "spreads": _spreads(cpu if threads == 1 else wall, blocks),
        "threads": threads,
        "runtime": sessions["artifact"].runtime,
        "source_timed": source_timed,
        "load": [load_before, _load()],
        "versions": versions(),
    }


def _spreads(times: dict[str, list[float]], blocks: list[int]) -> dict[str, float]:
    """`ratio_spread` over the blocks of each ratio; of the artifact's own times where it has no reference."""
    references = {name: values for name, values in times.items() if name != "artifact"}
    references = references or {"artifact": [1.0] * sum(blocks)}
    found = {}
    for name, values in references.items():
        # A processor clock that ticks too coarsely gives zeros: the budget ends it, then.
        whole = min(values) > 0 and min(times["artifact"]) > 0
        medians, at = [], 0
        for count in blocks if whole else ():
            rounds = slice(at, at + count)
            medians.append(median(a / b for a, b in zip(times["artifact"][rounds], values[rounds], strict=True)))
            at += count
        found[name] = ratio_spread(medians)
    return found


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
