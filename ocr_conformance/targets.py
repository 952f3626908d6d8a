"""Where a file would run: rules of delegates as data, and what was measured, said per target.

Every rule is read off an upstream file (`SOURCES`) and held against the facts of `ocr_conformance.inspect.tflite`;
``xnnpack`` and ``micro`` are measured by jobs (`ocr_conformance.runtime.xnnpack`, `ocr_conformance.runtime.micro`).
Pure functions: a changed rule judges anew and converts nothing. docs/targets.md says what each target means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

TARGETS = ("builtins", "flex", "gpu", "nnapi", "xnnpack", "micro")
"""The targets a contract can demand, in the order in which they are shown."""

_LITERT = "github.com/google-ai-edge/LiteRT"
SOURCES = {
    "schema": f"{_LITERT} tflite/converter/schema/schema.fbs (BuiltinOperator, CUSTOM)",
    "flex": "https://ai.google.dev/edge/litert/models/ops_select (Android AAR; Metrics, binary size)",
    "gpu-types": f"{_LITERT}@e3b6183f tflite/delegates/gpu/common/model_builder.cc (GetOpsToReplace)",
    "gpu-ops": f"{_LITERT}@e3b6183f tflite/delegates/gpu/common/model_builder.cc (NewOperationParser, IsSupported)",
    "gpu-limits": f"{_LITERT}@007226f4 tflite/tools/versioning/gpu_compatibility.cc (CheckGpuDelegateCompatibility)",
    "static": f"{_LITERT} tflite/core/subgraph.cc (ModifyGraphWithDelegate: static-sized tensors only)",
    "nnapi": f"{_LITERT}@5c8a6d4b tflite/delegates/nnapi/nnapi_delegate.cc (Validate, at Android 11 = API level 30)",
    "xnnpack": "measured: the graph of the running interpreter",
    "micro": "measured: the tflite-micro interpreter",
}
"""Where each rule is from. ``@`` is the commit that was read."""

FLEX = {
    "android": "org.tensorflow:tensorflow-lite-select-tf-ops",
    "apk_bytes": 7_439_000,
    "binary_bytes": 22_204_000,
    "source": SOURCES["flex"],
}
"""What Flex ops cost an Android app: the dependency beside ``org.tensorflow:tensorflow-lite`` (LiteRT's pages name the
same one) and what the documentation's table says it adds, 8.0 MB - 561 KB of APK and 23.0 MB - 796 KB of library
(android_arm, all ops; a build of selected ops adds less)."""

AGREEMENT = 0.99
"""Cosine of the worst sample, at least, for outputs of TFLite Micro to be LiteRT's. Kernels of one file differ by
rounding: seen were 0.9999 (captcha, 8 bit), and 0.23 where Micro computes something else (its float LSTMs between 8-bit
layers)."""

_FLOATS = frozenset({"FLOAT32", "FLOAT16"})
_EIGHT = frozenset({"INT8", "UINT8"})
_INT32 = frozenset({"INT32"})
_BOOL = frozenset({"BOOL"})
_COMPUTED = "computed"
OUTPUT = -1
"""In the tables of a `Rule`: the first output. Other numbers are inputs."""


@dataclass(frozen=True)
class Rule:
    """What a target asks of an op; what is not given is not asked.

    Attributes:
        source: a key of `SOURCES`.
        version: the op's version, at most.
        computed: how many inputs may be computed (not constant), any of these numbers.
        constant: inputs that must be constants (those that are there).
        types: types that an input, or the output, may have.
        ranks: fewest and most axes that an input, or the output, may have.
        options: values that an option of the op may have.
        inputs: how many inputs there must be, any of these numbers (an omitted one counts where it is listed).
        also: a condition that is none of these: says what is wrong, or nothing.
    """

    source: str
    version: int | None = None
    computed: tuple[int, ...] = ()
    constant: tuple[int, ...] = ()
    types: Mapping[int, frozenset[str]] = field(default_factory=dict)
    ranks: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    also: Callable[[Mapping[str, Any]], str] | None = None

    def broken(self, use: Mapping[str, Any]) -> str:
        """What of the rule ``use`` (an entry of the facts' ``uses``) breaks, in words; empty where nothing."""
        if self.version is not None and use["version"] > self.version:
            return f"version {use['version']} > {self.version}"
        if self.inputs and len(use["inputs"]) not in self.inputs:
            return f"{len(use['inputs'])} inputs, not {_either(self.inputs)}"
        computed = sum(tensor is not None and tensor["role"] != "constant" for tensor in use["inputs"])
        if self.computed and computed not in self.computed:
            return f"{computed} computed inputs, not {_either(self.computed)}"
        for place in self.constant:
            tensor = _tensor(use, place)
            if tensor is not None and tensor["role"] != "constant":
                return f"{_place(place)} is no constant"
        for place, types in self.types.items():
            tensor = _tensor(use, place)
            if tensor is not None and tensor["dtype"] not in types:
                return f"{_place(place)} is {tensor['dtype']}, not {_either(sorted(types))}"
        for place, (least, most) in self.ranks.items():
            tensor = _tensor(use, place)
            if tensor is not None and not least <= len(tensor["shape"]) <= most:
                return f"{_place(place)} has {len(tensor['shape'])} axes, not {least} to {most}"
        for name, values in self.options.items():
            if use["options"].get(name, values[0]) not in values:
                return f"{name} = {use['options'][name]}"
        return self.also(use) if self.also is not None else ""


def _tensor(use: Mapping[str, Any], place: int) -> Mapping[str, Any] | None:
    tensors: Sequence[Mapping[str, Any] | None] = use["outputs"] if place == OUTPUT else use["inputs"]
    index = 0 if place == OUTPUT else place
    return tensors[index] if index < len(tensors) else None


def _place(place: int) -> str:
    return "the output" if place == OUTPUT else f"input {place}"


def _either(values: Iterable[Any]) -> str:
    return " or ".join(str(value) for value in values)


def _rules(names: str, *rules: Rule) -> dict[str, tuple[Rule, ...]]:
    return dict.fromkeys(names.split(), rules)


# --- GPU delegate ----------------------------------------------------------------------------------------------------


def _broadcast(use: Mapping[str, Any]) -> str:
    """Of ADD and MUL, inputs of unequal rank: only some ways of broadcasting."""
    if len(use["inputs"]) != 2:
        return f"{len(use['inputs'])} inputs, not 2"
    longer, shorter = sorted((tensor["shape"] for tensor in use["inputs"]), key=len, reverse=True)
    if len(shorter) < 2 or len(longer) == len(shorter):
        return ""
    if len(longer) == 4 and (
        (len(shorter) == 3 and longer[0] == 1)
        or (len(shorter) == 2 and ((longer[0] == 1 and shorter == [1, 1]) or shorter == [longer[0], longer[3]]))
    ):
        return ""
    return f"{shorter} cannot be broadcast to {longer}"


def _same_rank_kept(use: Mapping[str, Any]) -> str:
    given, output = _tensor(use, 0), _tensor(use, OUTPUT)
    assert given is not None and output is not None
    kept = use["options"].get("keepNumDims") and len(given["shape"]) != len(output["shape"])
    return "keep_num_dims with another number of axes in the output" if kept else ""


def _paddings(use: Mapping[str, Any]) -> str:
    paddings = _tensor(use, 1)
    wrong = paddings is not None and paddings["shape"] not in ([3, 2], [4, 2])
    return f"paddings of shape {paddings['shape']}, not [3, 2] or [4, 2]" if wrong and paddings is not None else ""


def _cast(use: Mapping[str, Any]) -> str:
    given, output = _tensor(use, 0), _tensor(use, OUTPUT)
    assert given is not None and output is not None
    types = given["dtype"], output["dtype"]
    allowed = bool(_FLOATS & set(types)) if "BOOL" in types else set(types) <= {"FLOAT32", "INT32"}
    return "" if allowed else f"{types[0]} to {types[1]}"


_ONE = Rule("gpu-limits", computed=(1,))
_ALONE = Rule("gpu-limits", computed=(1,), inputs=(1,))
_PAIR = Rule("gpu-limits", computed=(1, 2), inputs=(2,))
_WEIGHTS = Rule("gpu-limits", computed=(1, 2))
_REDUCED = Rule("gpu-limits", computed=(1,), constant=(1,), types={1: _INT32})


def _known(version: int | None = None) -> Rule:
    return Rule("gpu-ops", version=version)


GPU: dict[str, tuple[Rule, ...]] = {
    **_rules("ADD", _known(2), Rule("gpu-limits", also=_broadcast)),
    **_rules("MUL", _known(3), Rule("gpu-limits", also=_broadcast)),
    **_rules("ADD_N", _known(2), Rule("gpu-limits", inputs=(2,))),
    **_rules("AVERAGE_POOL_2D MAX_POOL_2D", _known(2), _ONE),
    **_rules("BATCH_MATMUL", _known(), Rule("gpu-limits", inputs=(2,))),
    **_rules("CAST", _known(), Rule("gpu-limits", also=_cast)),
    **_rules("CONCATENATION", _known(2)),
    **_rules("CONV_2D", _known(6), _WEIGHTS),
    **_rules("TRANSPOSE_CONV", _known(3), _WEIGHTS),
    **_rules(
        "DEPTHWISE_CONV_2D",
        _known(6),
        Rule("gpu-limits", computed=(1, 2), ranks={0: (4, 4), 1: (4, 4), OUTPUT: (4, 4)}),
    ),
    **_rules("FULLY_CONNECTED", _known(9), Rule("gpu-limits", computed=(1, 2), options={"weightsFormat": (0,)},
                                               also=_same_rank_kept)),
    **_rules("DEPTH_TO_SPACE", _known(), _ONE),
    **_rules("SPACE_TO_DEPTH", _known(2), _ONE),
    **_rules("DEQUANTIZE", _known(3), Rule("gpu-limits", types={0: _EIGHT | _FLOATS})),
    **_rules("QUANTIZE", _known(2), _ONE),
    **_rules("ABS COS ELU EXP FLOOR GELU LOG NEG RSQRT SIGN SIN SQRT SQUARE TANH LOGISTIC", _known(2), _ALONE),
    **_rules("HARD_SWISH", _known(), _ALONE),
    **_rules("DIV FLOOR_DIV FLOOR_MOD MAXIMUM MINIMUM POW SQUARED_DIFFERENCE SUB LOGICAL_AND", _known(2), _PAIR),
    **_rules("EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL", _known(2)),
    **_rules("GATHER", _known(1), Rule("gpu-limits", computed=(1, 2), types={1: _INT32}, ranks={1: (1, 1)})),
    **_rules("LSTM", _known(4), Rule("gpu-limits", inputs=(5, 20, 24))),
    **_rules("MEAN REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM", _known(), _REDUCED),
    **_rules("PACK SPLIT SPLIT_V UNPACK", _known()),
    **_rules("PRELU", _known(1)),
    **_rules("RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 LEAKY_RELU", _known(2)),
    **_rules("PAD PADV2 MIRROR_PAD", _known(2), Rule("gpu-limits", computed=(1,), also=_paddings)),
    **_rules("RESHAPE", _known(1), _ONE),
    **_rules("RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR", _known(3), _ONE),
    **_rules("SELECT SELECT_V2", _known(1), Rule("gpu-limits", inputs=(3,))),
    **_rules("SLICE", _known(2), Rule("gpu-limits", ranks={0: (3, 4)})),
    **_rules("SOFTMAX", _known(2), Rule("gpu-limits", options={"beta": (1.0,)})),
    **_rules("STRIDED_SLICE", _known(4), Rule("gpu-limits", ranks={0: (3, 4)}, options={
        "ellipsisMask": (0,), "newAxisMask": (0,), "shrinkAxisMask": (0,)})),
    **_rules("TILE", _known(), _ONE),
    **_rules("TRANSPOSE", _known(4), _ONE),
}  # fmt: skip
"""Ops of OCR networks that the GPU delegate knows, with what it asks of each. An op that is not here it does not run.

That a comparison must be read by one CAST or SELECT is not looked at."""

_GPU_TYPES = _FLOATS | _EIGHT
_GPU_IN = {"CAST": _BOOL | _INT32, "SELECT": _BOOL, "SELECT_V2": _BOOL, "LOGICAL_AND": _BOOL, "GATHER": _INT32}
_GPU_OUT = {
    "CAST": _BOOL | _INT32,
    "LOGICAL_AND": _BOOL,
    **dict.fromkeys(("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"), _BOOL),
}


def _gpu_tensors(use: Mapping[str, Any]) -> str:
    """What holds for the tensors of every op: at most 4 axes, and types of numbers for what is computed."""
    for tensors, more in ((use["inputs"], _GPU_IN), (use["outputs"], _GPU_OUT)):
        allowed = _GPU_TYPES | more.get(use["name"], frozenset())
        for tensor in tensors:
            if tensor is not None and len(tensor["shape"]) > 4:
                return f"a tensor has {len(tensor['shape'])} axes, at most 4"
            if tensor is not None and tensor["role"] == _COMPUTED and tensor["dtype"] not in allowed:
                return f"a computed tensor is {tensor['dtype']}"
    return ""


_GPU_EVERY = Rule("gpu-types", also=_gpu_tensors)


# --- NNAPI delegate --------------------------------------------------------------------------------------------------

_NN = frozenset({"FLOAT32"}) | _EIGHT
_NN_INT = _NN | _INT32
_ONLY_FLOAT = frozenset({"FLOAT32"})
_LOW = {0: (0, 4), 1: (0, 4)}


def _nn(version: int | None = None, first: frozenset[str] | None = None, **more: Any) -> Rule:
    types = {**({0: first} if first is not None else {}), **more.pop("types", {})}
    return Rule("nnapi", version=version, types=types, **more)


def _hybrid_lstm(use: Mapping[str, Any]) -> str:
    given, weights = _tensor(use, 0), _tensor(use, 2)
    hybrid = given is not None and weights is not None and given["dtype"] == "FLOAT32" and weights["dtype"] in _EIGHT
    return "float activations with integer weights" if hybrid else ""


def _last_axis(use: Mapping[str, Any]) -> str:
    given = _tensor(use, 0)
    last = given is not None and use["options"].get("axis") in (-1, len(given["shape"]) - 1)
    return "along the last axis" if last else ""


def _pack_axis(use: Mapping[str, Any]) -> str:
    given = _tensor(use, 0)
    last = given is not None and use["options"].get("axis") in (-1, len(given["shape"]))
    return "along the last axis" if last else ""


NNAPI: dict[str, tuple[Rule, ...]] = {
    **_rules("ADD MUL", _nn(2, _NN_INT, ranks=_LOW)),
    **_rules("SUB", _nn(3, _NN_INT, ranks=_LOW)),
    **_rules("DIV", _nn(1, _ONLY_FLOAT, ranks=_LOW)),
    **_rules("ARG_MAX ARG_MIN", _nn(2, _FLOATS | _EIGHT | _INT32)),
    **_rules("AVERAGE_POOL_2D MAX_POOL_2D", _nn(2, _NN)),
    **_rules("CONV_2D", _nn(5, inputs=(3,))),
    **_rules("DEPTHWISE_CONV_2D", _nn(3)),
    **_rules("FULLY_CONNECTED", _nn(5, types={OUTPUT: _NN | _FLOATS | _INT32})),
    **_rules("TRANSPOSE_CONV", _nn(4, constant=(0, 1))),
    **_rules("HARD_SWISH", _nn(None, _NN)),
    **_rules("SOFTMAX", _nn(2, _NN, types={OUTPUT: _NN}, ranks={0: (0, 4)})),
    **_rules("RESHAPE", _nn(1, _NN, constant=(1,), ranks={0: (0, 4), OUTPUT: (0, 4)})),
    **_rules("RESIZE_BILINEAR", _nn(3, _NN, constant=(1,), ranks={0: (4, 4)})),
    **_rules("RESIZE_NEAREST_NEIGHBOR", _nn(3, _NN, constant=(1,))),
    **_rules("SQUEEZE", _nn(1)),
    **_rules("UNIDIRECTIONAL_SEQUENCE_LSTM", _nn(2, inputs=(20, 24), also=_hybrid_lstm)),
    **_rules("BIDIRECTIONAL_SEQUENCE_LSTM", _nn(1, also=_hybrid_lstm)),
    **_rules("CONCATENATION", _nn(2, _NN | _FLOATS, ranks={0: (0, 4)}, options={"fusedActivationFunction": (0,)})),
    **_rules("DEQUANTIZE", _nn(2, _EIGHT)),
    **_rules("QUANTIZE", _nn(2, _NN, types={OUTPUT: _EIGHT})),
    **_rules("FLOOR", _nn(1)),
    **_rules("RELU RELU6 RELU_N1_TO_1 LOGISTIC TANH", _nn(2, _NN)),
    **_rules("LEAKY_RELU PRELU", _nn(1, _NN)),
    **_rules("ABS EXP LOG POW SIN COS SQRT", _nn(1, _ONLY_FLOAT)),
    **_rules("RSQRT", _nn(2, _ONLY_FLOAT)),
    **_rules("PAD PADV2 STRIDED_SLICE", _nn(2, _NN)),
    **_rules("TRANSPOSE", _nn(2, constant=(1,))),
    **_rules("SLICE", _nn(2, _NN_INT, types={1: _INT32, 2: _INT32})),
    **_rules("SPACE_TO_DEPTH", _nn(2, _NN)),
    **_rules("DEPTH_TO_SPACE", _nn(None, _NN)),
    **_rules("MEAN", _nn(2, _NN, ranks={0: (0, 4), OUTPUT: (1, 4)})),
    **_rules("SUM REDUCE_PROD", _nn(1, _ONLY_FLOAT, ranks={OUTPUT: (1, 8)})),
    **_rules("REDUCE_MAX REDUCE_MIN", _nn(2, _NN)),
    **_rules("MAXIMUM MINIMUM", _nn(3, _NN_INT)),
    **_rules("CAST", _nn(1, _NN_INT, types={OUTPUT: _NN_INT})),
    **_rules("TILE", _nn(1, _NN_INT, types={1: _INT32})),
    **_rules("EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL", _nn(2, _NN_INT | _BOOL)),
    **_rules("LOGICAL_AND LOGICAL_NOT LOGICAL_OR", _nn(1, _BOOL)),
    **_rules("GATHER", _nn(2, _NN_INT | _FLOATS, types={1: _INT32}, ranks={1: (1, 8)})),
    **_rules("EXPAND_DIMS", _nn(1, _NN_INT | _FLOATS, constant=(1,), types={1: _INT32})),
    **_rules("SPLIT", _nn(3, constant=(0,), types={0: _INT32, 1: _NN_INT})),
    **_rules("SPLIT_V", _nn(2, _NN_INT, constant=(1, 2), types={1: _INT32, 2: _INT32})),
    **_rules("PACK", _nn(2, frozenset({"FLOAT32", "INT8"}), also=_pack_axis)),
    **_rules("UNPACK", _nn(2, _NN, ranks={0: (2, 4)}, also=_last_axis)),
    **_rules("SQUARED_DIFFERENCE", _nn(2, _NN_INT, ranks=_LOW)),
    **_rules("NEG", _nn(2, _ONLY_FLOAT | _INT32)),
    **_rules("LOG_SOFTMAX ELU", _nn(1, _ONLY_FLOAT)),
}
"""Ops of OCR networks that the NNAPI delegate maps at API level 30, with what it asks of each.

BATCH_MATMUL, REVERSE_V2 and MIRROR_PAD come with later feature levels, which not every phone has."""


# --- what each target says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """Why a target does not take an op: which, how many of them, what it lacks, and where that is written."""

    op: str
    count: int
    rule: str
    source: str

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.op}{times}: {self.rule}" if self.op else self.rule


@dataclass(frozen=True)
class Target:
    """What one target says of a file.

    Attributes:
        runs: ``True``: it takes the whole file; ``False``: it does not (delegates leave the rest to the CPU);
            ``None``: not measured, ``summary`` says why.
        summary: one line.
        reasons: what it lacks, the most frequent first.
        shares: of ``ops``, and of ``macs`` where the file has any: 0 .. 1.
        kinds: per op kind, whether the target takes all of that kind; for a table of kinds by targets.
        data: what else is known, JSON-able.
    """

    name: str
    runs: bool | None
    summary: str
    reasons: tuple[Reason, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, bool | None] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {**asdict(self), "reasons": [asdict(reason) for reason in self.reasons]}


Ruling = Callable[[Mapping[str, Any]], "tuple[str, str] | None"]
"""Of a use: what is wrong and the source of that rule, or ``None``."""


def evaluate(
    facts: Mapping[str, Any],
    *,
    xnnpack: Mapping[str, Any] | None = None,
    micro: Mapping[str, Any] | None = None,
) -> dict[str, Target]:
    """What each target says of a file.

    Args:
        facts: of `ocr_conformance.inspect.tflite.inspect`; without ``uses``, delegates are not judged.
        xnnpack, micro: ``{"why"}`` where it was not measured; else of `runtime.xnnpack.partition` and of
            `runtime.micro.run`, that with ``differs`` (outputs against LiteRT's) in words where they do.
    """
    unmeasured = {"why": "not measured"}
    gpu, nnapi = _delegable(GPU, "gpu-ops", _GPU_EVERY), _delegable(NNAPI, "nnapi")
    if "uses" not in facts:  # another repository's format need not say what rules ask for
        blank = {"inputs": [], "outputs": [], "options": {}, "half": False, "macs": 0}
        facts = {**facts, "uses": [{**op, **blank} for op in facts["ops"]]}
        unsaid = "no rule can tell: the format's inspect gives no uses"
        delegates = {name: Target(name, None, unsaid) for name in ("gpu", "nnapi")}
    else:
        delegates = {name: _delegate(name, facts, known) for name, known in (("gpu", gpu), ("nnapi", nnapi))}
    return {
        "builtins": _by_rule("builtins", facts, _no_kernel),
        "flex": _flex(facts),
        **delegates,
        "xnnpack": _xnnpack(facts, xnnpack or unmeasured),
        "micro": _micro(facts, micro or unmeasured),
    }


def _no_kernel(use: Mapping[str, Any]) -> tuple[str, str] | None:
    if use["kind"] == "builtin":
        return None
    return ("a Select-TF (Flex) op" if use["kind"] == "flex" else "a custom op") + ", no builtin", "schema"


def _delegable(known: Mapping[str, tuple[Rule, ...]], unknown: str, *every: Rule) -> Ruling:
    def ruling(use: Mapping[str, Any]) -> tuple[str, str] | None:
        if use["half"]:  # a half-precision weight on its way to float: delegates read it as a constant
            return None
        if use["kind"] != "builtin" or use["name"] not in known:
            return "not among the ops that it knows", unknown
        for tensor in (*use["inputs"], *use["outputs"]):
            if tensor is not None and -1 in tensor["shape"][1:]:
                return f"a tensor of unknown size {tensor['shape']}", "static"
        for rule in (*known[use["name"]], *every):
            wrong = rule.broken(use)
            if wrong:
                return wrong, rule.source
        return None

    return ruling


def _by_rule(name: str, facts: Mapping[str, Any], ruling: Ruling) -> Target:
    counts: Counter[tuple[str, str, str]] = Counter()
    kinds: dict[str, bool | None] = {}
    taken: Counter[str] = Counter()
    for use in facts["uses"]:
        found = ruling(use)
        kinds[use["name"]] = bool(kinds.get(use["name"], True)) and found is None
        if found is None:
            taken.update(ops=use["count"], macs=use["macs"])
        else:
            counts[(use["name"], found[0], SOURCES[found[1]])] += use["count"]
    reasons = tuple(Reason(op, count, rule, source) for (op, rule, source), count in counts.most_common())
    total = {
        "ops": sum(use["count"] for use in facts["uses"]),
        "macs": sum(use["macs"] for use in facts["uses"]),
    }
    shares = _shares(taken, total)
    lacking = f"{len({reason.op for reason in reasons})} op kinds stay out"
    return Target(name, not reasons, lacking if reasons else "takes every op", reasons, shares, kinds)


def _shares(taken: Mapping[str, int], total: Mapping[str, int]) -> dict[str, float]:
    return {key: taken.get(key, 0) / whole for key, whole in total.items() if whole}


def _delegate(name: str, facts: Mapping[str, Any], ruling: Ruling) -> Target:
    target = _by_rule(name, facts, ruling)
    shares = ", ".join(f"{share:.1%} of {key}" for key, share in target.shares.items())
    summary = f"would take {shares or 'nothing'}, by rule"
    return Target(name, target.runs, summary, target.reasons, target.shares, target.kinds)


def _flex(facts: Mapping[str, Any]) -> Target:
    target = _by_rule("flex", facts, lambda use: None if use["kind"] == "flex" else _no_kernel(use))
    needed = sorted({use["name"] for use in facts["uses"] if use["kind"] == "flex"})
    if not needed:
        return Target("flex", target.runs, "has no Select-TF ops", target.reasons, target.shares, target.kinds)
    summary = (
        f"{len(needed)} Select-TF op kinds need {FLEX['android']} in an Android app, documented as about 7.4 MB of APK"
    )
    return Target("flex", target.runs, summary, target.reasons, target.shares, target.kinds, {"ops": needed, **FLEX})


def _xnnpack(facts: Mapping[str, Any], measured: Mapping[str, Any]) -> Target:
    if "why" in measured:
        return Target("xnnpack", None, measured["why"])
    total = {"ops": measured["ops"], "macs": sum(use["macs"] for use in facts["uses"])}
    shares = _shares({"ops": measured["taken"], "macs": measured["taken_macs"]}, total)
    reasons = [
        Reason(name, count, "stays with the builtin kernels", SOURCES["xnnpack"])
        for name, count in sorted(measured["left"].items(), key=lambda item: -item[1])
    ]
    hidden = measured["hidden_ops"]
    summary = ", ".join(f"{share:.1%} of {key}" for key, share in shares.items()) or "nothing"
    summary = f"takes {summary} in {measured['partitions']} partitions ({measured['runtime']})"
    if hidden:
        summary += f"; {hidden} ops inside loops and branches are not shown by the interpreter and count as left"
    kinds = {use["name"]: None for use in facts["uses"]} | {
        name: name not in measured["left"] for name in (*measured["taken_kinds"], *measured["left"])
    }
    whole = not reasons and not hidden
    return Target("xnnpack", whole, summary, tuple(reasons), shares, kinds, {"partitions": measured["partitions"]})


def _micro(facts: Mapping[str, Any], measured: Mapping[str, Any]) -> Target:
    if "why" in measured:
        return Target("micro", None, measured["why"])
    data = {
        key: measured[key] for key in ("runtime", "arena_bytes", "cosine", "max_abs") if measured.get(key) is not None
    }
    if not measured["runs"]:
        op, rule = measured.get("op", ""), measured["message"]
        reason = Reason(op, 1, rule, SOURCES["micro"])
        return Target("micro", False, f"does not run: {rule}", (reason,), {}, {op: False} if op else {}, data)
    if measured.get("differs"):
        reason = Reason("", 1, measured["differs"], SOURCES["micro"])
        return Target("micro", False, measured["differs"], (reason,), {}, {}, data)
    kinds: dict[str, bool | None] = {use["name"]: True for use in facts["uses"]}
    arena = f" in an arena of {measured['arena_bytes']:,} bytes" if measured.get("arena_bytes") else ""
    return Target("micro", True, f"runs{arena} ({measured['runtime']}), outputs as LiteRT's", (), {}, kinds, data)
