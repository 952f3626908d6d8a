"""The first diverging op of a ``.tflite`` file, found beside a file of the same network that is right.

Three questions are put to every op, in execution order:

- *passed on*: how far is what it gives from what the reference gives?
- *made*: how far is it from what the reference's op gives *for the same inputs*, those that the artifact computed?
  Every op of the reference is cut off from the others and fed with the artifact's tensors, all in one invoke; what is
  left of the difference was made here: rounding, a wrong scale, other weights, a kernel that errs. (Numerical analysis
  calls this the local error.)
- *alone*: put into the reference network at this place, and nowhere else, how much of the output does that error spoil?
  Asked of every layer (all of its ops' errors at once), then of single ops of the layers that cost the most.

The op that is named is the first whose error alone costs the output as much as all errors together do (within
`NEARLY_DB`). Where no single one does, many share the blame: the layer that costs the most is named, and in it the op
that does.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ocr_conformance.diagnose.align import RECODING, align, tensor_name
from ocr_conformance.diagnose.loops import Steps, as_main
from ocr_conformance.diagnose.runner import Runner, dequantized
from ocr_conformance.diagnose.stats import Sums
from ocr_conformance.diagnose.surgery import Surgeon
from ocr_conformance.inspect.tflite import TFLiteFile, scales_of
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from ocr_conformance.diagnose.runner import Values
    from ocr_conformance.diagnose.surgery import Read
    from ocr_conformance.inspect.tflite import Op
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

NEARLY_DB = 3.0
"""An error that alone leaves the output at most this much better than all errors together accounts for half of it."""

CANDIDATES = 24
"""How many ops are tried alone: those whose own error is largest, in the layers that cost the most."""

SIBLINGS = 8
"""So many scopes that differ in a number only (``lstm_cell_0`` ... ``lstm_cell_49``) are the steps of one layer."""

ALONE_SAMPLES = 2
"""Samples on which errors are tried alone: each costs an invoke of the reference per layer and op."""

STEPS = 8
"""States of a loop on which its body is looked at, spread over its run."""

GROUP_BYTES = 192 * 2**20
"""Activations that are looked at together; a network with more is run once a group."""


class _OfTensor(Protocol):
    tensor: int


_Computed = TypeVar("_Computed", bound=_OfTensor)

_TORCH = "litert_torch.Named/"
_NUMBER = re.compile(r"_?\d+$")
_RANGES = {"INT4": (-8, 7), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767)}


@dataclass
class Unit:
    """One output of an op of the artifact, and what was measured of it."""

    place: int
    op: Op
    tensor: int
    """The artifact's tensor."""
    partner: int | None
    """The reference's, where there is one."""
    group: str = ""
    """The layer that it belongs to, of the source's; see `group_names`."""
    passed: Sums = field(default_factory=Sums)
    made: Sums = field(default_factory=Sums)
    alone_db: float | None = None
    alone_texts: int | None = None


class Pair:
    """The artifact and its reference, aligned."""

    def __init__(self, suspect: bytes, reference: bytes) -> None:
        self.suspect_bytes, self.reference_bytes = suspect, reference
        self.suspect, self.reference = TFLiteFile(suspect), TFLiteFile(reference)
        self.pairs = align(self.suspect, self.reference)
        self._makers = {t: op for op in self.suspect.ops[0] for t in op.outputs}
        self._recoded: dict[int, list[int]] = {}
        for op in self.suspect.ops[0]:
            if op.name in RECODING:
                self._recoded.setdefault(op.inputs[0], []).append(op.outputs[0])
        self.units = [
            Unit(place, op, tensor, self.pairs.get(tensor))
            for place, op in enumerate(self.suspect.ops[0])
            if not self._is_constant(op)
            for tensor in op.outputs
        ]
        names = group_names([tensor_name(self.suspect, unit.tensor) for unit in self.units])
        for unit, name in zip(self.units, names, strict=True):
            unit.group = name
        self.reads = dict(self._reads())

    def _is_constant(self, op: Op) -> bool:
        """A weight that is widened or de-quantized before use."""
        return all(self.suspect.data(0, i) is not None for i in op.inputs if i >= 0)

    def is_recoding(self, tensor: int) -> bool:
        """Whether the tensor only writes another one's numbers otherwise."""
        op = self._makers.get(tensor)
        return op is not None and op.name in RECODING

    def _reads(self) -> Iterator[tuple[Read, int]]:
        """For every activation that an op of the reference reads, the artifact's tensor that stands for it there.

        Where several do (requantized ones), the one that the artifact's own op reads.
        """
        versions: dict[int, list[int]] = {}
        for ours, theirs in self.pairs.items():
            versions.setdefault(theirs, []).append(ours)
        by_output = {
            self.pairs[t]: op
            for op in self.suspect.ops[0]
            if op.name not in RECODING
            for t in op.outputs
            if t in self.pairs
        }
        for place, op in enumerate(self.reference.ops[0]):
            partner = by_output.get(op.outputs[0]) if op.outputs else None
            for slot, tensor in enumerate(op.inputs):
                if tensor < 0 or tensor not in versions or self.reference.data(0, tensor) is not None:
                    continue
                read = partner.inputs if partner is not None else []
                same = [t for t in read[slot : slot + 1] if t in versions[tensor]]
                some = [t for t in read if t in versions[tensor]]
                first = [t for t in versions[tensor] if not self.is_recoding(t)]
                yield (place, slot), [*same, *some, *first, *versions[tensor]][0]

    def heirs(self, tensor: int) -> set[int]:
        """The tensor and all that only write its numbers otherwise."""
        found: set[int] = set()
        pending = [tensor]
        while pending:
            found.add(pending[-1])
            pending += self._recoded.get(pending.pop(), ())
        return found


def in_groups(file: TFLiteFile, units: Sequence[_Computed]) -> Iterator[list[_Computed]]:
    """What a file computes, in order, so many at a time that it has at most `GROUP_BYTES` as float32."""
    group: list[_Computed] = []
    size = 0
    for unit in units:
        bytes_ = 4 * math.prod(max(length, 1) for length in file.shape(0, unit.tensor))
        if group and size + bytes_ > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(unit)
        size += bytes_
    if group:
        yield group


class Sources:
    """How samples reach the two files: the model's inputs by tensor index."""

    def __init__(self, job: Job, model: SourceModel, inputs: Tensors, pair: Pair) -> None:
        self.inputs = inputs
        self._names = [spec.name for spec in model.inputs()]
        self.outputs = [spec.name for spec in model.outputs()]
        self.suspect, self.suspect_out = self._order(job.inputs["artifact"] / ARTIFACT, model)
        self.reference, self.reference_out = self._order(job.inputs["reference"] / ARTIFACT, model)

    def _order(self, path: Path, model: SourceModel) -> tuple[list[int], list[int]]:
        session = Session(
            path, threads=1, inputs=self.inputs, input_names=self._names, output_names=self.outputs, allocate=False
        )
        return session.feeds, session.gives

    def feeds(self, tensors_: list[int], sample: int) -> Values:
        """Arrays ``[1, ...]`` by tensor."""
        arrays = tensors.sample(self.inputs, sample)
        return {index: arrays[name] for index, name in zip(tensors_, self._names, strict=True)}


def _floats(file: TFLiteFile, values: Values) -> Values:
    return {index: dequantized(file, index, value) for index, value in values.items()}


class Local:
    """The reference's ops, each fed with what the artifact computed."""

    def __init__(self, pair: Pair, partners: list[int]) -> None:
        surgeon = Surgeon(pair.reference_bytes)
        self._inputs = surgeon.feed(pair.reads)
        self.partners = list(dict.fromkeys(partners))
        surgeon.set_outputs(self.partners)
        kept = set(surgeon.inputs)
        self.versions = [key for key, tensor in self._inputs.items() if tensor in kept]
        self._runner = Runner(surgeon.pack())

    def __call__(self, ours: Values, feeds: Values) -> Values:
        """What each partner's op gives for the artifact's values (de-quantized)."""
        fed = {self._inputs[key]: ours[key] for key in self.versions}
        return self._runner({**feeds, **fed}, self.partners)


def _with_outputs(content: bytes, wanted: Iterable[int]) -> tuple[Runner, list[int]]:
    listed = list(dict.fromkeys(wanted))
    surgeon = Surgeon(content)
    surgeon.set_outputs(listed)
    return Runner(surgeon.pack()), listed


def measure(pair: Pair, sources: Sources | Steps, samples: int) -> None:
    """Fill in ``passed`` and ``made`` of every unit."""
    inputs = set(sources.suspect)
    for group in in_groups(pair.suspect, pair.units):
        partners = [unit.partner for unit in group if unit.partner is not None and not pair.is_recoding(unit.tensor)]
        local = Local(pair, partners) if partners else None
        seen = [unit.tensor for unit in group] + [unit.op.inputs[0] for unit in group if pair.is_recoding(unit.tensor)]
        seen += local.versions if local is not None else []
        suspect, ours = _with_outputs(pair.suspect_bytes, (t for t in seen if t not in inputs))
        reference, theirs = _with_outputs(
            pair.reference_bytes, (unit.partner for unit in group if unit.partner is not None)
        )
        for sample in range(samples):
            feeds = sources.feeds(sources.suspect, sample)
            given = _floats(pair.suspect, {**feeds, **suspect(feeds, ours)})
            right = reference(sources.feeds(sources.reference, sample), theirs)
            expected = local(given, sources.feeds(sources.reference, sample)) if local is not None else {}
            for unit in group:
                if unit.partner is None:
                    continue
                unit.passed.add(right[unit.partner], given[unit.tensor])
                same = given[unit.op.inputs[0]] if pair.is_recoding(unit.tensor) else expected[unit.partner]
                unit.made.add(same, given[unit.tensor])


def _erring(pair: Pair) -> list[Unit]:
    """Units whose error can be put into the reference; ops that compute integers decide, they do not err."""
    return [
        unit
        for unit in pair.units
        if unit.partner is not None and unit.made.noise > 0 and pair.reference.dtype(0, unit.partner) == "FLOAT32"
    ]


@dataclass
class Group:
    """The ops of one layer, and what their errors together cost."""

    name: str
    units: list[Unit]
    alone: Sums = field(default_factory=Sums)
    alone_texts: int | None = None


class Injection:
    """The reference with a place for the error of each unit; and the errors that the artifact really makes."""

    def __init__(self, pair: Pair, sources: Sources | Steps, units: list[Unit]) -> None:
        self._pair, self._sources, self._units = pair, sources, units
        self.finals = dict(zip(sources.suspect_out, sources.reference_out, strict=True))
        self._heirs = {unit.tensor: pair.heirs(unit.tensor) for unit in units}
        # One sum for each version of a tensor that is read, so that of nested ones each read sees the right errors.
        keys = {key for each in self._heirs.values() for key in each}
        read: dict[int, list[Read]] = {}
        for place, version in pair.reads.items():
            read.setdefault(version, []).append(place)
        points = {
            key: (pair.pairs[key], read.get(key, [])) for key in sorted(keys) if key in self.finals or key in read
        }
        surgeon = Surgeon(pair.reference_bytes)
        before = surgeon.outputs
        self._points = surgeon.inject(points, {self.finals[key]: key for key in points if key in self.finals})
        self._after = dict(zip(before, surgeon.outputs, strict=True))
        self._network = Runner(surgeon.pack())

        partners = [unit.partner for unit in units if unit.partner is not None and not pair.is_recoding(unit.tensor)]
        self._local = Local(pair, partners) if partners else None
        seen = [unit.tensor for unit in units]
        seen += [unit.op.inputs[0] for unit in units if pair.is_recoding(unit.tensor)]
        seen += [*(self._local.versions if self._local is not None else ()), *self.finals]
        self._suspect, self._ours = _with_outputs(pair.suspect_bytes, (t for t in seen if t not in sources.suspect))

    def sample(self, number: int) -> tuple[Values, dict[int, npt.NDArray[np.float32]]]:
        """The artifact's outputs, by the reference's tensors, and the error of each unit, by its tensor."""
        import numpy as np

        feeds = self._sources.feeds(self._sources.suspect, number)
        given = _floats(self._pair.suspect, {**feeds, **self._suspect(feeds, self._ours)})
        fed = self._sources.feeds(self._sources.reference, number)
        expected = self._local(given, fed) if self._local is not None else {}
        errors = {}
        for unit in self._units:
            assert unit.partner is not None
            value = given[unit.tensor].astype(np.float32)
            recoded = self._pair.is_recoding(unit.tensor)
            right = given[unit.op.inputs[0]] if recoded else expected[unit.partner]
            errors[unit.tensor] = np.nan_to_num(value - right.reshape(value.shape))
        return {partner: given[tensor] for tensor, partner in self.finals.items()}, errors

    def run(self, number: int, units: Iterable[Unit], errors: dict[int, npt.NDArray[np.float32]]) -> Values:
        """The reference's outputs with the errors of these units and no others."""
        fed = self._sources.feeds(self._sources.reference, number)
        for unit in units:
            for key in self._heirs[unit.tensor] & self._points.keys():
                point = self._points[key]
                error = errors[unit.tensor]
                fed[point] = fed[point] + error if point in fed else error
        values = self._network(fed, list(self._after.values()))
        return {tensor: values[sum_] for tensor, sum_ in self._after.items()}


def try_alone(
    pair: Pair, sources: Sources | Steps, model: SourceModel | None, samples: int
) -> tuple[Sums, list[Group]]:
    """Fill in ``alone_db`` and ``alone_texts`` of units of the layers that cost the most.

    Returns:
        The sums of the artifact's own outputs; the layers whose ops err, those that cost the most first.
    """
    erring = _erring(pair)
    by_name: dict[str, list[Unit]] = {}
    for unit in erring:
        by_name.setdefault(unit.group, []).append(unit)
    groups = [Group(name, units) for name, units in by_name.items()]
    injection = Injection(pair, sources, erring)
    total = Sums()
    kept = []
    for number in range(samples):
        given, errors = injection.sample(number)
        right = injection.run(number, (), errors)
        for partner in injection.finals.values():
            total.add(right[partner], given[partner])
        kept.append((right, errors))

    def measure_alone(units: list[Unit]) -> tuple[Sums, int | None]:
        sums, read = Sums(), []
        for number, (right, errors) in enumerate(kept):
            spoilt = injection.run(number, units, errors)
            for partner in injection.finals.values():
                sums.add(right[partner], spoilt[partner])
            read.append((right, spoilt))
        if model is None:
            return sums, None
        texts = [
            tensors.decode(model, tensors.stack(_outputs(sources, values) for values in each), [])["texts"]
            for each in zip(*read, strict=True)
        ]
        if texts[0] is None or texts[1] is None:
            return sums, None
        return sums, sum(a != b for a, b in zip(*texts, strict=True))

    for group in groups:
        group.alone, group.alone_texts = measure_alone(group.units)
    groups.sort(key=lambda group: group.alone.sqnr_db)
    for unit in _candidates(groups):
        sums, unit.alone_texts = measure_alone([unit])
        unit.alone_db = sums.sqnr_db
    return total, groups


def _outputs(sources: Sources | Steps, values: Values) -> Tensors:
    return {name: values[tensor] for name, tensor in zip(sources.outputs, sources.reference_out, strict=True)}


def _candidates(groups: list[Group]) -> list[Unit]:
    """Half of them from the first layers, two thirds of what is left from each; the rest those that err most."""
    found: list[Unit] = []
    for group in groups:
        most = max(1, (CANDIDATES - len(found)) // 2)
        if len(found) + most > CANDIDATES:
            break
        found += sorted(group.units, key=lambda unit: unit.made.sqnr_db)[:most]
    return found


def named(groups: list[Group], total_db: float) -> Unit | None:
    """The op that made the error (see this module); ``None`` where none made any."""
    tried = [unit for group in groups for unit in group.units if unit.alone_db is not None]
    enough = [unit for unit in tried if unit.alone_db is not None and unit.alone_db <= total_db + NEARLY_DB]
    if enough:
        return min(enough, key=lambda unit: unit.place)
    of_worst = [unit for unit in groups[0].units if unit.alone_db is not None] if groups else []
    return min(of_worst, key=lambda unit: (unit.alone_db, unit.place), default=None)


def describe(pair: Pair, unit: Unit) -> dict[str, Any]:
    """A unit as a row of the table; see `explain`."""
    file = pair.suspect
    dtype = file.dtype(0, unit.tensor)
    parameters = file.tensor(0, unit.tensor).quantization
    scales = scales_of(file.tensor(0, unit.tensor))
    row: dict[str, Any] = {
        "place": unit.place,
        "kind": unit.op.name,
        "index": unit.tensor,
        "tensor": tensor_name(file, unit.tensor),
        "layer": layer(tensor_name(file, unit.tensor)),
        "shape": file.shape(0, unit.tensor),
        "dtype": dtype.lower(),
        "compared": unit.partner is not None and unit.passed.elements > 0,
    }
    if not row["compared"]:
        return row
    row |= {
        "sqnr_db": unit.passed.sqnr_db,
        "cosine": unit.passed.cosine,
        "made_db": unit.made.sqnr_db,
        "max_abs": unit.passed.largest,
        "different": unit.passed.different / unit.passed.elements,
        "low": unit.passed.low,
        "high": unit.passed.high,
        "given": [unit.passed.given_low, unit.passed.given_high],
        "nonfinite": unit.passed.nonfinite,
        "alone_db": unit.alone_db,
        "alone_texts": unit.alone_texts,
    }
    if len(scales) == 1 and dtype in _RANGES:
        zero_point = 0 if parameters.zeroPoint is None else int(parameters.zeroPoint[0])
        least, most = ((limit - zero_point) * scales[0] for limit in _RANGES[dtype])
        row |= {"scale": scales[0], "zero_point": zero_point, "representable": [least, most]}
        row["levels"] = (row["high"] - row["low"]) / scales[0] if scales[0] > 0 else None
        row["saturates"] = row["low"] < least - scales[0] or row["high"] > most + scales[0]
    constants = [t for t in unit.op.inputs if t >= 0 and file.data(0, t) is not None and scales_of(file.tensor(0, t))]
    row["weights"] = [
        {"dtype": file.dtype(0, t).lower(), "scales": len(scales_of(file.tensor(0, t)))} for t in constants
    ]
    return row


def layer(name: str) -> str:
    """The source's layer in a tensor's name.

    TensorFlow's converter joins the names of what it fused by semicolons: the shortest is the layer's own. litert-torch
    writes the path of modules, each as ``package.Class_attribute``, and a number behind a semicolon.
    """
    if name.startswith(_TORCH):
        modules = name.partition(";")[0].removeprefix(_TORCH).split("/")
        return "/".join(module.rpartition(".")[2].partition("_")[2] or module for module in modules if module)
    parts = [part for part in name.split(";") if part]
    return min(parts, key=len) if parts else name


def group_names(names: list[str]) -> list[str]:
    """The layer that each op belongs to, by the name of what it computes: the scope of its `layer` (of litert-torch,
    which names no ops, the layer itself), without the number where it is one of many steps."""
    scopes = [
        layer(name) if name.startswith(_TORCH) else layer(name).rpartition("/")[0] or layer(name) for name in names
    ]
    bases = [
        scope if name.startswith(_TORCH) else _NUMBER.sub("", scope) for name, scope in zip(names, scopes, strict=True)
    ]
    members: dict[str, set[str]] = {}
    for scope, base in zip(scopes, bases, strict=True):
        members.setdefault(base, set()).add(scope)
    return [base if len(members[base]) > SIBLINGS else scope for scope, base in zip(scopes, bases, strict=True)]


@dataclass
class Finding:
    """What `look` found."""

    total: Sums
    groups: list[Group]
    named: Unit | None
    rows: list[dict[str, Any]]

    def facts(self) -> dict[str, Any]:
        """See `explain`."""
        tried = [row for row in self.rows if row.get("alone_db") is not None]
        return {
            "named": next(
                (row for row in self.rows if self.named is not None and row["index"] == self.named.tensor), None
            ),
            "worst": sorted(tried, key=lambda row: row["alone_db"]),
            "layers": [
                {
                    "name": group.name,
                    "ops": list(dict.fromkeys(unit.place for unit in group.units)),
                    "alone_db": group.alone.sqnr_db,
                    "alone_texts": group.alone_texts,
                }
                for group in self.groups
            ],
            "sqnr_db": self.total.sqnr_db,
            "ops": len({row["place"] for row in self.rows}),
            "compared": len({row["place"] for row in self.rows if row["compared"]}),
        }


def look(pair: Pair, sources: Sources | Steps, model: SourceModel | None, samples: int) -> Finding:
    """Compare, try alone, name."""
    measure(pair, sources, samples)
    total, groups = try_alone(pair, sources, model, min(samples, ALONE_SAMPLES))
    return Finding(total, groups, named(groups, total.sqnr_db), [describe(pair, unit) for unit in pair.units])


def look_into_loop(pair: Pair, sources: Sources, loop: Unit) -> Finding | None:
    """The same inside a WHILE, whose steps are the samples; ``None`` where the reference's op is no WHILE."""
    theirs = next((op for op in pair.reference.ops[0] if loop.partner in op.outputs), None)
    if theirs is None or theirs.name != "WHILE":
        return None
    condition, body = (
        as_main(pair.suspect_bytes, index)
        for index in (loop.op.options.condSubgraphIndex, loop.op.options.bodySubgraphIndex)
    )
    inside = Pair(body, as_main(pair.reference_bytes, theirs.options.bodySubgraphIndex))
    steps = Steps(body, inside.reference_bytes)
    computed = [t for t in dict.fromkeys(loop.op.inputs) if pair.suspect.data(0, t) is None]
    suspect, wanted = _with_outputs(pair.suspect_bytes, computed)
    feeds = sources.feeds(sources.suspect, 0)
    given = {**feeds, **suspect(feeds, [t for t in wanted if t not in feeds])}
    start = [given[t] if t in given else pair.suspect.array(0, t) for t in loop.op.inputs]
    steps.run(condition, body, start, STEPS)
    return look(inside, steps, None, len(steps.states)) if steps.states else None


def explain(job: Job) -> dict[str, Any]:
    """Compare an artifact op by op with a reference of the same network.

    Params: ``model``, ``samples`` (of the inputs, 4). Inputs: ``artifact`` and ``reference`` (folders with
    ``model.tflite``), ``inputs`` (folder of `source.prepare`). Files: ``ops.json``, all rows in execution order:

    - ``place`` (in execution order), ``kind``, ``index``, ``tensor`` and ``layer`` (the output's index and name, and
      the source's layer in it; an op with several outputs has a row for each), ``shape``, ``dtype``; ``compared``:
      whether the reference has such a tensor; with it
    - ``sqnr_db``, ``cosine``, ``max_abs``, ``different`` (share of elements): of its output beside the reference's
    - ``made_db``: SQNR of the error that is made in this op
    - ``low``, ``high``: the reference's range; ``given``: the artifact's; ``nonfinite``: numbers that are none, of
      either
    - ``weights``: of each quantized constant that the op reads ``dtype`` and number of ``scales``
    - ``alone_db``: SQNR of the network's outputs with this op's error alone, ``alone_texts``: how many samples are then
      read otherwise; ``None`` where it was not tried
    - of an integer tensor ``scale``, ``zero_point``, ``representable`` (lowest and highest number), ``levels`` (steps
      that the reference's range spans), ``saturates``

    Returns:
        ``named``: the row of the op that made the error, or ``None``; ``worst``: rows of the tried ops, worst first;
        ``layers``: ``name``, ``ops`` (places), ``alone_db``, ``alone_texts`` of each, worst first; ``sqnr_db`` of the
        outputs; ``samples``, and ``alone_samples`` of them on which errors were tried alone; ``ops``, ``compared``
        (numbers of them). Where the named op is a WHILE, ``inside``: the
        same of its body, whose samples are steps of the loop on the first image.
    """
    model: SourceModel = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    samples = min(job.params["samples"], tensors.count(inputs))
    job.stage("allocate")
    suspect, reference = ((job.inputs[name] / ARTIFACT).read_bytes() for name in ("artifact", "reference"))
    pair = Pair(suspect, reference)
    sources = Sources(job, model, inputs, pair)
    job.stage("invoke")
    found = look(pair, sources, model, samples)
    (job.out / "ops.json").write_text(json.dumps(found.rows))
    facts = {**found.facts(), "samples": samples, "alone_samples": min(samples, ALONE_SAMPLES)}
    if found.named is not None and found.named.op.name == "WHILE":
        inside = look_into_loop(pair, sources, found.named)
        if inside is not None:
            facts["inside"] = inside.facts()
    return facts
