"""What a model promises: ``contract.toml``, its layered limits, its claims of what is unsupported, and its gates.

A contract has the model's description (``[model]``, ``[variants.NAME]``, ``[weights.NAME]``, ``[measured]``), its
promises (``[[promise]]``: selectors and tables of limits), what it claims not to work (``[[unsupported]]``) and
ceilings on named devices (``[device.NAME]``). The limits of a case are the package's own promises
(``contract_defaults.toml``) and then the contract's, in file order: a later one wins key by key.
`ocr_conformance.claims` holds results against claims, `ocr_conformance.rebaseline` writes measured numbers back.
"""

from __future__ import annotations

import datetime
import difflib
import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from ocr_conformance.cases import MODES, Case, matches
from ocr_conformance.checks import CHECKS
from ocr_conformance.errors import UserError, escaped
from ocr_conformance.targets import TARGETS
from ocr_conformance.weights import WeightsSource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULTS = Path(__file__).with_name("contract_defaults.toml")
"""The promises that hold for every model until its own contract says otherwise."""

_T = TypeVar("_T", bound=BaseModel)

_ALIASES = {"tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")}
"""One framework, several distributions: a gate on the first name is also answered by the others."""


# --- field types -----------------------------------------------------------------------------------------------------


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _mode_globs(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        if not any(matches(mode, [pattern]) for mode in MODES):
            raise ValueError(f"{pattern!r} matches no mode{_near(pattern, MODES)}; modes are {', '.join(MODES)}")
    return value


def _requirement(value: str) -> str:
    try:
        Requirement(value)
    except InvalidRequirement as error:
        raise ValueError(f"{value!r} is no requirement such as 'tensorflow>=2.16'") from error
    return value


def _version(value: str) -> str:
    try:
        Version(value)
    except InvalidVersion as error:
        raise ValueError(f"{value!r} is no version such as '2.21.0'") from error
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return value


def _check_name(value: str) -> str:
    if value not in CHECKS:
        raise ValueError(f"unknown check {value!r}{_near(value, CHECKS)}; checks are {', '.join(CHECKS)}")
    return value


def _target(value: str) -> str:
    if value not in TARGETS:
        raise ValueError(f"unknown target {value!r}{_near(value, TARGETS)}; targets are {', '.join(TARGETS)}")
    return value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
Cosine = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1, le=1)]
Bytes = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(min_length=1)]
Names = tuple[Text, ...]
Globs = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
ModeGlobs = Annotated[Globs, AfterValidator(_mode_globs)]
RequirementText = Annotated[str, AfterValidator(_requirement)]
Gates = Annotated[tuple[RequirementText, ...], BeforeValidator(_one_or_many)]
VersionText = Annotated[str, AfterValidator(_version)]
Regex = Annotated[str, AfterValidator(_regex)]
Kinds = Annotated[
    tuple[Literal["exception", "signal", "timeout", "memory", "exit", "out-of-tolerance"], ...],
    BeforeValidator(_one_or_many),
]
CheckNames = Annotated[
    tuple[Annotated[str, AfterValidator(_check_name)], ...], BeforeValidator(_one_or_many), Field(min_length=1)
]
TargetNames = Annotated[tuple[Annotated[str, AfterValidator(_target)], ...], BeforeValidator(_one_or_many)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- limits ----------------------------------------------------------------------------------------------------------


class TensorLimits(_Table):
    """Distances of the artifact's (de-quantized) outputs to the source's; see `ocr_conformance.metrics`."""

    max_abs: NonNegative | None = None
    """At most: largest absolute difference, in units of the reference's largest magnitude."""
    rmse: NonNegative | None = None
    """At most: root mean square difference, in the same units."""
    cosine: Cosine | None = None
    """At least: cosine similarity of the worst sample."""
    cosine_mean: Cosine | None = None
    """At least: cosine similarity averaged over the samples."""
    sqnr_db: Number | None = None
    """At least: signal to quantization noise ratio over all samples, dB."""
    outside: Share | None = None
    """At most: share of elements whose scaled difference is above ``tolerance``."""
    tolerance: NonNegative | None = None
    """The scaled difference at which an element counts as outside (a setting, not judged)."""


class TextLimits(_Table):
    """Decoded text of the artifact against the source's, over all samples."""

    agreement: Share | None = None
    """At least: share of samples that decode to exactly the same text."""
    cer: NonNegative | None = None
    """At most: character error rate with the source's text as reference (may exceed 1)."""
    lost: Share | None = None
    """At most: share of labelled samples that the source reads right and the artifact does not."""


class BoxLimits(_Table):
    """Boxes of the artifact against the source's, matched one to one by intersection over union (IoU); all at least."""

    precision: Share | None = None
    """Share of the artifact's boxes that are the source's, at IoU 0.5."""
    recall: Share | None = None
    """Share of the source's boxes that the artifact has, at IoU 0.5."""
    precision_75: Share | None = None
    """The same at IoU 0.75."""
    recall_75: Share | None = None
    """The same at IoU 0.75."""
    mean_iou: Share | None = None
    """IoU averaged over the pairs that match at 0.5."""


class PipelineLimits(_Table):
    """Words of the artifacts against those of the source networks, matched by their boxes (IoU 0.5)."""

    same: Share | None = None
    """At least: share of the source's words that are found and read the same."""
    cer: NonNegative | None = None
    """At most: character error rate with the source's words as reference; a lost word counts whole, an invented one
    as that many insertions (may exceed 1)."""
    lost: Share | None = None
    """At most: share of the source's words that no box of the artifact matches."""
    invented: Share | None = None
    """At most: share of the artifact's words that match no box of the source."""


class AccuracyLimits(_Table):
    """Accuracy against labels, source and artifact side by side."""

    drop: Share | None = None
    """At most: accuracy of the source minus accuracy of the artifact."""
    source: Share | None = None
    """The source must read at least this share, else the comparison says nothing and is skipped (a setting). Of scenes
    it is the source's harmonic mean of precision and recall."""
    reached: Share | None = None
    """At least, of what ``source`` is measured by, on the model's own images: an alphabet, a decoding or a
    preprocessing that is wrong is wrong for source and artifact alike, and only the ground truth shows it."""


class EffectLimits(_Table):
    """What proves that the quantization mode took effect, measured in the file: shares, at least."""

    integer_macs: Share | None = None
    """Multiply-accumulates with integer weights and 8-bit activations (``int16x8``: 16-bit ones)."""
    hybrid_macs: Share | None = None
    """Multiply-accumulates with float activations and integer weights."""
    integer_weights: Share | None = None
    """Weight bytes (with quantized biases) that are stored as integers."""
    float16_weights: Share | None = None
    """Weight bytes that are stored as float16."""
    float_tensors: Annotated[int, Field(strict=True, ge=0)] | None = None
    """At most: activations that are float."""


class PreprocessingLimits(_Table):
    """What the phone's recipe feeds against what the source library feeds, from the same file."""

    max_abs: NonNegative | None = None
    """At most: largest absolute difference, in units of the input's declared range."""
    mean_abs: NonNegative | None = None
    """At most: mean absolute difference over an image, in the same units. Rounding moves some values by a grey level;
    a scale or a mean that is off by one moves all of them."""
    clipped: Share | None = None
    """At most: share of input values outside the range that an integer input can represent."""


class SignatureLimits(_Table):
    """The file's declared interface."""

    names: Flag | None = None
    """Whether input and output names must be the adapter's."""
    output_shape: Flag | None = None
    """Whether declared output shapes must be the ones that really come out."""


class OpsLimits(_Table):
    """What a runtime must have to run the file."""

    flex: Flag | None = None
    """Whether Select-TF (Flex) ops may appear."""
    custom: Names | None = None
    """Custom ops that may appear."""
    denied: Names | None = None
    """Ops (globs) that must not appear."""
    allowed: Names | None = None
    """Where given, the only ops (globs) that may appear."""
    runtime_max: VersionText | None = None
    """The minimum runtime version that the file asks for must not be above this one."""
    targets: TargetNames | None = None
    """Targets that must take the whole file (`ocr_conformance.targets.TARGETS`)."""


class SizeLimits(_Table):
    """Size of the file."""

    bytes: Bytes | None = None
    """At most."""
    ratio: Positive | None = None
    """At most: size over that of the float32 artifact of the same route."""
    bytes_per_parameter: NonNegative | None = None
    """At least: a file that stores fewer weight bytes per weight value of the source has lost some."""


class LatencyLimits(_Table):
    """Ratios (at most) of median process time per invoke, measured interleaved."""

    ratio_to_float32: Positive | None = None
    ratio_to_source: Positive | None = None


class MemoryLimits(_Table):
    """Resident memory of load and first invoke, in a fresh process."""

    growth_bytes: Bytes | None = None
    """At most."""


class RepeatabilityLimits(_Table):
    """Largest absolute difference (at most), in units of the reference's magnitude, between invokes on one image."""

    max_abs: NonNegative | None = None
    """Second invoke and invoke after another image, with the state reset before each."""
    without_reset: NonNegative | None = None
    """The same without a reset: what an app that reuses its interpreter gets."""
    threads: NonNegative | None = None
    """One thread against several."""


class SearchLimits(_Table):
    """Pictures drawn by `ocr_conformance.diagnose.search`, harder than a model's images."""

    disagreement: Share | None = None
    """At most: share of independent pictures that the artifact reads otherwise than the source."""


LIMIT_TABLES: dict[str, type[_Table]] = {
    "tensors": TensorLimits,
    "text": TextLimits,
    "boxes": BoxLimits,
    "pipeline": PipelineLimits,
    "accuracy": AccuracyLimits,
    "effect": EffectLimits,
    "preprocessing": PreprocessingLimits,
    "signature": SignatureLimits,
    "ops": OpsLimits,
    "size": SizeLimits,
    "latency": LatencyLimits,
    "memory": MemoryLimits,
    "repeatability": RepeatabilityLimits,
    "search": SearchLimits,
}
"""The tables of a promise. ``effect`` belongs to the check ``mode``: in a promise ``mode`` is the selector."""


class DeviceCeilings(_Table):
    """Absolute ceilings of one case on a named device."""

    name: str
    threads: int | None = None
    latency_ms: Positive | None = None
    memory_bytes: Bytes | None = None
    sources: dict[str, str] = {}
    """Where ``latency_ms`` and ``memory_bytes`` are from, as far as the contract says."""


class Limits(_Table):
    """All limits of one case. A key that no promise sets is ``None``: shown, not judged."""

    tensors: TensorLimits = TensorLimits()
    text: TextLimits = TextLimits()
    boxes: BoxLimits = BoxLimits()
    pipeline: PipelineLimits = PipelineLimits()
    accuracy: AccuracyLimits = AccuracyLimits()
    effect: EffectLimits = EffectLimits()
    preprocessing: PreprocessingLimits = PreprocessingLimits()
    signature: SignatureLimits = SignatureLimits()
    ops: OpsLimits = OpsLimits()
    size: SizeLimits = SizeLimits()
    latency: LatencyLimits = LatencyLimits()
    memory: MemoryLimits = MemoryLimits()
    repeatability: RepeatabilityLimits = RepeatabilityLimits()
    search: SearchLimits = SearchLimits()
    device: DeviceCeilings | None = None
    compare: Literal["exact", "alphanumeric"] = "exact"
    """How a text is held against a label: as it is, or its letters and digits in lower case."""
    origin: dict[str, str] = {}
    """Where each ``table.key`` was set: ``file:line``."""


# --- the file --------------------------------------------------------------------------------------------------------


class _Selected(_Table):
    """Selectors; what is not given selects everything."""

    variant: Globs = ()
    """Variant names (globs); the plain model's is the empty string."""
    route: Globs = ()
    mode: ModeGlobs = ()
    toolchain: Globs = ()
    when: Gates = ()
    """Version gates, all of which must hold in the toolchain: ``tensorflow>=2.16``."""
    weights: Globs = ()
    """Names of the source's weights (globs): one of ``[weights]``, or the name of a user's file."""

    def selects(self, case: Case, versions: Mapping[str, str], weights: str = "") -> bool:
        """Whether ``case``, run in a toolchain with these distribution ``versions``, is meant.

        ``weights`` names the source's weights; if not known (``""``), an entry for some weights is not meant.
        """
        return (
            matches(case.variant, self.variant)
            and matches(case.route, self.route)
            and matches(case.mode, self.mode)
            and matches(case.toolchain, self.toolchain)
            and (not self.weights or (weights != "" and matches(weights, self.weights)))
            and all(gate_holds(gate, versions) for gate in self.when)
        )

    @property
    def selectors(self) -> str:
        """The selectors that are given, for a message."""
        names = ("variant", "route", "mode", "toolchain", "when", "weights")
        given = {name: getattr(self, name) for name in names}
        return ", ".join(f"{name} {' | '.join(values)}" for name, values in given.items() if values) or "every case"


class Promise(_Selected):
    """Limits for the cases that its selectors name."""

    tensors: TensorLimits | None = None
    text: TextLimits | None = None
    boxes: BoxLimits | None = None
    pipeline: PipelineLimits | None = None
    accuracy: AccuracyLimits | None = None
    effect: EffectLimits | None = None
    preprocessing: PreprocessingLimits | None = None
    signature: SignatureLimits | None = None
    ops: OpsLimits | None = None
    size: SizeLimits | None = None
    latency: LatencyLimits | None = None
    memory: MemoryLimits | None = None
    repeatability: RepeatabilityLimits | None = None
    search: SearchLimits | None = None
    because: Text | None = None
    """Why a limit is looser than it was."""


class ClaimValue(_Table):
    """A bound on a value of the failed check, so that "fails" cannot silently become "fails otherwise"."""

    name: Text
    at_most: Number | None = None
    at_least: Number | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> ClaimValue:
        if self.at_most is None and self.at_least is None:
            raise ValueError("needs at_most or at_least")
        return self

    def holds(self, measured: float) -> bool:
        """Whether ``measured`` keeps to the bounds. NaN never does."""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= measured <= high


class Unsupported(_Selected):
    """A claim that the selected cases fail, at which stage or in which check, and how. It is re-tested each run."""

    stage: Literal["export", "convert", "allocate", "invoke"] | None = None
    check: CheckNames | None = None
    kind: Kinds = ()
    """How it fails, or several ways (a hunger for memory ends by the limit that is hit first); a claim on a check can
    only be ``out-of-tolerance`` and need not say so."""
    match: Regex | None = None
    """Searched in the outcome's message and last lines (stage), or in the result's message and details (check)."""
    value: ClaimValue | None = None
    """A bound on one of the check's values."""
    why: Text
    issue: Url | None = None
    """The upstream issue."""
    _where: str = PrivateAttr("")

    @property
    def where(self) -> str:
        """``file:line`` of the entry."""
        return self._where

    @model_validator(mode="after")
    def _coherent(self) -> Unsupported:
        if (self.stage is None) == (self.check is None):
            raise ValueError("needs either stage or check")
        if self.stage is not None:
            if not self.kind or "out-of-tolerance" in self.kind:
                raise ValueError("a claim on a stage needs kind exception, signal, timeout, memory or exit")
            if self.value is not None:
                raise ValueError("value belongs to a claim on a check")
        elif self.kind not in ((), ("out-of-tolerance",)):
            raise ValueError(f"a check fails out-of-tolerance, not by {' or '.join(self.kind)}: use stage")
        elif "conversion" in (self.check or ()):
            raise ValueError("a conversion fails at a stage: use stage, not check")
        return self

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that the claim says fail; a stage concerns ``conversion``."""
        return ("conversion",) if self.check is None else self.check

    @property
    def claimed(self) -> str:
        """What is claimed, in words."""
        if self.stage is not None:
            how = f"{' or '.join(self.kind)} at {self.stage}"
        else:
            how = f"{' and '.join(self.checks)} out of tolerance"
        if self.value is not None:
            bounds = (("<=", self.value.at_most), (">=", self.value.at_least))
            how += "".join(f" with {self.value.name} {sign} {bound:g}" for sign, bound in bounds if bound is not None)
        return how + (f" matching /{self.match}/" if self.match else "")


class Description(_Table):
    """``[model]``: what the model is and what it needs. A variant may replace the keys from ``requires`` on."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
    kind: Literal["recognizer", "detector", "pipeline"] = "recognizer"
    framework: Text
    summary: Text
    adapter: Annotated[str, Field(pattern=r"^([^:]+\.py:[A-Za-z_]\w*)?$")] = ""
    """``model.py:ClassName``; the file lies beside the contract. A pipeline has none."""
    default_weights: Text | None = None
    """The weights that are used unless the user names others; needed where there are several."""
    label_from_name: Flag = False
    """Whether an image's name is its label, where there is no ``labels.tsv``."""
    alphabet: str | None = None
    """The characters a label may have (for labels from file names); the shorter of two readings otherwise."""
    compare: Literal["exact", "alphanumeric"] = "exact"
    requires: tuple[RequirementText, ...] = ()
    """Distributions that the source framework needs in a toolchain."""
    uses: Names = ()
    """Folders of other models, beside this one, whose Python files the adapter imports (`job.beside`)."""
    plain: Flag = True
    """Whether the model can be judged without a variant."""
    preload: Names = ()
    """Modules that a warm parent imports before it forks."""
    environment: dict[str, str] = {}
    """Environment variables that bind at import."""
    images: Text = "words"
    """Name of the fixture set that the model is judged on."""
    calibration: Text = "words-calibration"
    """Name of the fixture set for calibration: never the images that are judged."""
    routes: Names = ()
    """Names of routes; ``ROUTE+ROUTE`` of a pipeline, which may leave them out (`ocr_conformance.pipelines.routes`)."""
    twin: Text | None = None
    """A model with the same network and weights in another framework: what it finds must be the same."""
    on_request: Names = ()
    """Routes that are judged only where ``--ocr-route`` has their very name."""
    options: dict[str, bool | int | float | str] = {}
    """Options of the routes, e.g. ``select_tf_ops = true``."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Description:
        if self.kind == "pipeline":
            if self.adapter:
                raise ValueError("a pipeline has no adapter: its parts have")
        elif not self.adapter:
            raise ValueError("adapter: this key is missing, e.g. model.py:ClassName")
        elif not self.routes:
            raise ValueError("routes are missing: name at least one (--ocr-list shows them)")
        return self

    @property
    def all_routes(self) -> tuple[str, ...]:
        """Those that are judged, and those on request."""
        return (*self.routes, *self.on_request)


class Variant(_Table):
    """``[variants.NAME]``: a key given here replaces the model's own (whole, not merged)."""

    summary: Text
    default: Flag = True
    """Whether the variant is judged when only the model's name is selected."""
    pattern: Regex | None = None
    """The variant stands for all whose names match (whole), as ``wN`` for ``w512``; only judged on request."""
    requires: tuple[RequirementText, ...] | None = None
    preload: Names | None = None
    environment: dict[str, str] | None = None
    images: Text | None = None
    calibration: Text | None = None
    routes: Annotated[Names, Field(min_length=1)] | None = None
    on_request: Names | None = None
    options: dict[str, bool | int | float | str] | None = None
    alphabet: str | None = None
    label_from_name: Flag | None = None


class Reading(_Table):
    """``[reading]``: how an image becomes the input of a network that is only a file, and its output a text."""

    input: Text
    """Name of the file's input."""
    output: Text
    """Name of the file's output: scores or probabilities ``[1, frames, classes]``."""
    layout: Literal["NCHW", "NHWC"]
    height: Annotated[int, Field(strict=True, gt=0)]
    width: Annotated[int, Field(strict=True, gt=0)]
    frames: Annotated[int, Field(strict=True, gt=0)]
    """Time steps of the output at that width."""
    color: Literal["gray", "rgb", "bgr"] = "gray"
    fit: Literal["stretch", "pad"] = "stretch"
    """``pad`` keeps the ratio (up to ``width``) and fills the rest to the right."""
    resize: Literal["linear", "bicubic"] = "linear"
    """``linear`` as OpenCV and TensorFlow do it, ``bicubic`` as Pillow does."""
    mean: Number = 0.0
    std: Positive = 1.0
    """The network is fed ``(x / 255 - mean) / std``."""
    pad: Number | Literal["edge"] = 0.0
    """The value of the filling, after that; ``edge`` repeats the last column."""
    blank: Literal["first", "last"] = "first"
    """Where the CTC blank stands beside ``model.alphabet``."""


class WeightsEntry(_Table):
    """``[weights.NAME]``: one origin; see `ocr_conformance.weights.WeightsSource` for the keys."""

    recipe: Text | None = None
    """No file: the adapter draws the weights from a seed; any change of how it does so needs a new recipe name."""
    path: Text | None = None
    url: Url | None = None
    distribution: Text | None = None
    file: Text | None = None
    sha256: Sha256 | None = None
    licence: Text | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> WeightsEntry:
        if sum(origin is not None for origin in (self.recipe, self.path, self.url, self.distribution)) != 1:
            raise ValueError("needs exactly one of recipe, path, url, distribution")
        if (self.distribution is None) != (self.file is None):
            raise ValueError("distribution and file belong together")
        if self.recipe is None and self.sha256 is None:
            raise ValueError("weights from a file need their sha256")
        return self


class Measured(_Table):
    """``[measured]``: what the contract's numbers belong to."""

    weights_sha256: Sha256
    toolchain: str | None = None
    date: datetime.date | None = None


class Ceiling(_Selected):
    """One entry of ``[[device.NAME.ceiling]]``; a later one wins key by key."""

    latency_ms: Positive | None = None
    memory_bytes: Bytes | None = None
    source: Text | None = None
    """Where the figures are from; shown with them."""


class Device(_Table):
    """``[device.NAME]``: absolute ceilings on a named device."""

    summary: str = ""
    threads: Annotated[int, Field(strict=True, gt=0)] | None = None
    """Threads that the ceilings are meant for."""
    remote: Flag = False
    """Whether pytest does not run on it: it is judged by `ocr-conformance latency import`, never by a check."""
    ceiling: tuple[Ceiling, ...] = ()


class Defaults(_Table):
    """The shape of ``contract_defaults.toml``."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    promise: tuple[Promise, ...] = ()


class Contract(_Table):
    """One model's contract. Made by `load` or `from_dict`."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    model: Description
    variants: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")], Variant] = {}
    weights: dict[str, WeightsEntry] = {}
    """Of a pipeline none: its parts have them, and selectors name those of both, as ``craft_mlt_25k+english_g2``."""
    measured: Measured | None = None
    promise: tuple[Promise, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    device: dict[str, Device] = {}
    reading: Reading | None = None
    _where: str = PrivateAttr("")
    _lines: dict[str, tuple[int, ...]] = PrivateAttr(default_factory=dict)

    @property
    def where(self) -> str:
        """The file, or what stands for it."""
        return self._where

    @model_validator(mode="after")
    def _coherent(self) -> Contract:
        if self.reading is not None and not self.model.alphabet:
            raise ValueError("[reading] needs model.alphabet: the characters in class order, without the blank")
        if not self.weights and self.model.kind != "pipeline":
            raise ValueError("weights: this key is missing; name at least one origin, e.g. [weights.seeded]")
        default = self.model.default_weights
        if default is None and len(self.weights) > 1:
            raise ValueError(f"model.default_weights must say which of {', '.join(self.weights)} is the default")
        if default is not None and default not in self.weights:
            raise ValueError(f"model.default_weights {default!r} is not in [weights]{_near(default, self.weights)}")
        if not self.model.plain and not self.variants:
            raise ValueError("model.plain is false and there are no variants: there is nothing to judge")
        for name, variant in self.variants.items():
            if variant.pattern is not None and variant.default:
                raise ValueError(
                    f"variants.{name} has a pattern: it needs default = false, for there is no end of them"
                )
        routes = {route for variant in (*self.plain, *self.variants) for route in self.settings(variant).all_routes}
        groups: tuple[tuple[str, Sequence[_Selected]], ...] = (
            ("[[promise]]", self.promise),
            ("[[unsupported]]", self.unsupported),
            *((f"[[device.{name}.ceiling]]", device.ceiling) for name, device in self.device.items()),
        )
        for header, entries in groups:
            for number, entry in enumerate(entries, 1):
                for what, patterns, known in (
                    ("variant", entry.variant, {*self.plain, *self.variants}),
                    ("route", entry.route, routes),
                ):
                    if self.model.kind == "pipeline":  # any pair of parts, any pair of routes
                        continue
                    for pattern in patterns:
                        if not any(matches(name, [pattern]) for name in known):
                            names = ", ".join(sorted(known - {""})) or "none"
                            raise ValueError(
                                f"{header} {number}: {what} {pattern!r} matches no {what} of this model"
                                f"{_near(pattern, known)}; it has {names}"
                            )
                for pattern in entry.weights if self.weights else ():
                    if "." not in pattern and not any(matches(name, [pattern]) for name in self.weights):
                        raise ValueError(
                            f"{header} {number}: weights {pattern!r} matches no weights of this model"
                            f"{_near(pattern, self.weights)}; it has {', '.join(sorted(self.weights))} "
                            "(a file is named with its suffix)"
                        )
        return self

    @property
    def plain(self) -> tuple[str, ...]:
        """The plain model's variant name ``""``, where the model can be judged without a variant."""
        return ("",) if self.model.plain else ()

    def variant(self, name: str) -> Variant | None:
        """The entry of a variant: its own, or the one whose pattern its name matches."""
        known = self.variants.get(name)
        if known is not None:
            return known if known.pattern is None else None
        patterns = ((entry.pattern, entry) for entry in self.variants.values() if entry.pattern is not None)
        return next((entry for pattern, entry in patterns if re.fullmatch(pattern, name)), None)

    def has_variant(self, name: str) -> bool:
        """Whether there is such a variant."""
        return name in self.plain if not name else self.variant(name) is not None

    @property
    def default_weights(self) -> str:
        """Name of the weights that are used unless the user names others."""
        return self.model.default_weights or next(iter(self.weights))

    def weights_sources(self) -> dict[str, WeightsSource]:
        """The weights table in the form that `ocr_conformance.weights.resolve` takes."""
        return {
            name: WeightsSource(name, **entry.model_dump(exclude_none=True)) for name, entry in self.weights.items()
        }

    def settings(self, variant: str) -> Description:
        """The model's description with what ``variant`` (``""``: the plain model) replaces.

        Raises:
            UserError: the model has no such variant.
        """
        if not variant:
            return self.model
        entry = self.variants.get(variant) or self.variant(variant)
        if entry is None:
            names = ", ".join(self.variants) or "none"
            raise UserError(
                f"{self.model.name} has no variant {variant!r}{_near(variant, self.variants)}; its variants: {names}"
            )
        given = entry.model_dump(exclude={"default", "pattern"}, exclude_none=True)
        return self.model.model_copy(update=given)

    def limits(self, case: Case, versions: Mapping[str, str], device: str | None = None, weights: str = "") -> Limits:
        """The limits of ``case`` in a toolchain with these distribution ``versions``, on a named ``device``.

        ``weights`` names the source's weights; if not known (``""``), entries for some weights do not count.
        """
        merged: dict[str, dict[str, Any]] = {table: {} for table in LIMIT_TABLES}
        origin: dict[str, str] = {}
        layers = [(promise, "package defaults") for promise in defaults().promise]
        layers += [(promise, self._place("promise", number)) for number, promise in enumerate(self.promise)]
        for promise, place in layers:
            if promise.selects(case, versions, weights):
                for table, keys in merged.items():
                    given = getattr(promise, table)
                    if given is not None:
                        keys.update(given.model_dump(exclude_unset=True))
                        origin.update({f"{table}.{key}": place for key in given.model_fields_set})
        ceilings = None
        if device is not None:
            found: dict[str, Any] = {}
            sources: dict[str, str | None] = {}
            profile = self.device.get(device, Device())
            for ceiling in profile.ceiling:
                if ceiling.selects(case, versions, weights):
                    given = ceiling.model_dump(include={"latency_ms", "memory_bytes"}, exclude_unset=True)
                    found.update(given)
                    sources.update(dict.fromkeys(given, ceiling.source))
            known = {key: source for key, source in sources.items() if source is not None}
            ceilings = DeviceCeilings(name=device, threads=profile.threads, sources=known, **found)
        tables = {table: LIMIT_TABLES[table](**keys) for table, keys in merged.items()}
        return Limits(**tables, device=ceilings, compare=self.model.compare, origin=origin)  # type: ignore[arg-type]

    def claims(self, case: Case, versions: Mapping[str, str], weights: str = "") -> list[Unsupported]:
        """The claims in force for ``case``, in file order: for each check the last that names it, as with promises.

        ``weights`` as for `limits`. One that still has a say on another check stays: of several that name a check, the
        last is the one in force.
        """
        in_force: dict[str, Unsupported] = {}
        for claim in self.unsupported:
            if claim.selects(case, versions, weights):
                in_force.update(dict.fromkeys(claim.checks, claim))
        return [claim for claim in self.unsupported if any(claim is other for other in in_force.values())]

    def stale_claims(self, cases: Iterable[tuple[Case, Mapping[str, str]]]) -> list[Unsupported]:
        """The claims that are in force for none of ``cases`` (each with its toolchain's distribution versions).

        With any weights: each of ``[weights]``, none that an entry names, and a user's file, which a selector that
        matches none of ``[weights]`` is taken to name.
        """
        files = (glob for claim in self.unsupported for glob in claim.weights)
        names = [
            "",
            *self.weights,
            *(glob for glob in files if not any(matches(name, [glob]) for name in self.weights)),
        ]
        left = list(self.unsupported)
        for case, versions in cases:
            for name in dict.fromkeys(names):
                in_force = self.claims(case, versions, name)
                left = [claim for claim in left if not any(claim is other for other in in_force)]
        return left

    def _place(self, table: str, number: int) -> str:
        return place(self._where, table, number, self._lines)


# --- loading ---------------------------------------------------------------------------------------------------------


def load(path: Path, given: Mapping[str, Mapping[str, Any]] | None = None) -> Contract:
    """Read a model's ``contract.toml``.

    Args:
        given: tables with defaults for keys that the file does not set.

    Raises:
        UserError: the file is missing, is no TOML, or says something impossible; one sentence that names the file,
            the key, what was expected and, for a misspelt key, the near match.
    """
    text = _read(path)
    data = _parse(text, str(path))
    for table, defaults_of in (given or {}).items():
        own = data.get(table, {})
        if isinstance(own, dict):  # else validation says what is wrong with it
            data[table] = {**defaults_of, **own}
    return from_dict(data, str(path), header_lines(text))


def from_dict(data: Mapping[str, Any], where: str, lines: Mapping[str, tuple[int, ...]] | None = None) -> Contract:
    """A contract from the plain data of its TOML; ``where`` names it in messages, e.g. ``contract of my-model``.

    Raises:
        UserError: as `load`.
    """
    lines = dict(lines or {})
    contract = _validate(Contract, data, where, lines)
    contract._where, contract._lines = where, lines
    for number, claim in enumerate(contract.unsupported):
        claim._where = place(where, "unsupported", number, lines)
    return contract


@functools.cache
def defaults() -> Defaults:
    """The package's own promises."""
    text = _read(DEFAULTS)
    return _validate(Defaults, _parse(text, DEFAULTS.name), DEFAULTS.name, header_lines(text))


def gate_holds(gate: str, versions: Mapping[str, str]) -> bool:
    """Whether a version gate such as ``tensorflow>=2.16`` holds; a distribution that is not there fails its gate.

    ``versions`` maps distribution names (any spelling) to versions; ``python`` may be among them. Pre-releases count.
    """
    requirement = Requirement(gate)
    have = {canonicalize_name(name): version for name, version in versions.items()}
    wanted = canonicalize_name(requirement.name)
    for name in (wanted, *_ALIASES.get(wanted, ())):
        if name in have:
            return requirement.specifier.contains(have[name], prereleases=True)
    return False


def header_lines(text: str) -> dict[str, tuple[int, ...]]:
    """Line numbers (from 1) of the ``[[promise]]`` and ``[[unsupported]]`` headers of a contract's text."""
    found: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[\s*(promise|unsupported)\s*\]\]", line)
        if header:
            found.setdefault(header[1], []).append(number)
    return {table: tuple(numbers) for table, numbers in found.items()}


def place(where: str, table: str, number: int, lines: Mapping[str, tuple[int, ...]]) -> str:
    """``file:line`` of entry ``number`` (from 0), or its ordinal where the line is not known."""
    known = lines.get(table, ())
    return f"{where}:{known[number]}" if number < len(known) else f"{where}, [[{table}]] {number + 1}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such contract") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or too much of it
        raise UserError(f"{where} is no TOML: {error}") from error


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [candidate for candidate in known if candidate], n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _validate(shape: type[_T], data: Mapping[str, Any], where: str, lines: Mapping[str, tuple[int, ...]]) -> _T:
    try:
        return shape.model_validate(dict(data))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # An unknown key explains a missing one: it is the one to name.
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{_location(where, first['loc'], lines)}: {_complaint(shape, first)}{more}") from None


def _location(where: str, loc: tuple[int | str, ...], lines: Mapping[str, tuple[int, ...]]) -> str:
    """``file:line, tensors.max_abs`` or ``file, model.routes``."""
    parts = list(loc)
    prefix = where
    if len(parts) > 1 and isinstance(parts[0], str) and isinstance(parts[1], int):
        prefix = place(where, parts[0], parts[1], lines)
        parts = parts[2:]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    key = key if len(key) <= 200 else f"{key[:200]}..."
    return f"{prefix}, {escaped(key)}" if key else prefix


def _complaint(shape: type[BaseModel], problem: Any) -> str:
    kind, loc = problem["type"], problem["loc"]
    if kind == "extra_forbidden":
        known = _keys_at(shape, loc[:-1])
        return f"unknown key{_near(str(loc[-1]), known)}; expected one of {', '.join(known)}"
    if kind == "missing":
        return "this key is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = re.sub(r"^(Input|String) should (be )?", lambda found: "expected " + ("" if found[2] else "to "), message)
    message = message.replace("a valid tuple", "a list")
    given = problem["input"]
    shown = f", not {_brief(given)}" if kind != "value_error" and isinstance(given, (str, int, float, bool)) else ""
    return message + shown


def _brief(value: object) -> str:
    """A value for a message, not longer than a line."""
    try:
        text = ascii(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        return "so large a number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_at(shape: Any, loc: tuple[int | str, ...]) -> list[str]:
    """The keys that a table at ``loc`` below ``shape`` may have."""
    named = False
    for part in loc:
        if named or isinstance(part, int):
            named = False  # an entry of a table of tables, or of a list
            continue
        annotation = shape.model_fields[part].annotation
        named = get_origin(annotation) is dict
        shape = _table_in(annotation)
    return [field.alias or name for name, field in shape.model_fields.items()]


def _is_table(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def _table_in(annotation: Any) -> Any:
    """The table class inside ``X | None``, ``tuple[X, ...]``, ``dict[str, X]`` or ``Annotated[X, ...]``."""
    if _is_table(annotation):
        return annotation
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return next((found for found in map(_table_in, inner) if found is not None), None)
