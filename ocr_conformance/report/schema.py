"""The shape of a record, ``run.json``. `record.schema.json` beside this file is the same as a JSON Schema (2020-12).

What two identical runs differ in: the keys ``started``, ``seconds``, ``cpu_seconds``, ``peak_bytes``, ``seen`` and
``jobs_run``, and, where evidence was made anew, what ``latency`` and ``memory`` measured, and the ``sha256`` of
artifacts whose converter writes another file each time (TFLiteConverter does for captcha-ocr, unrolled, in int8).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ocr_conformance.checks import BUILT_IN
from ocr_conformance.errors import UserError
from ocr_conformance.results import Verdict

SCHEMA = 2
"""Version of the shape; a reader refuses what it does not know. Keys may be added within a version."""

PUBLISHED = Path(__file__).with_name("record.schema.json")

Count = Annotated[int, Field(ge=0)]
Moment = Annotated[float, Field(ge=0, le=253402300799)]
"""Seconds since the epoch, up to the year 9999; 0: not known."""
Interval = tuple[float | None, float | None]
Seconds = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Value(_Table):
    """One measured number beside its limit."""

    name: str
    measured: float | None
    """``null``: NaN or infinite."""
    limit: float | None
    """``null``: the contract sets none; shown, not judged."""
    most: bool
    """Whether the limit is the most that is allowed; else it is the least."""
    unit: str
    tightest: float | None
    """The tightest limit of four significant digits that would have passed."""


class Claim(_Table):
    """The contract's claim that a check was held against."""

    where: str
    claimed: str
    why: str
    issue: str | None = None


class Step(_Table):
    """What came of a hop beside the one before."""

    before: str
    hop: str
    said: str


class Op(_Table):
    """Ops of one kind and version."""

    name: str
    version: int
    kind: str
    count: Count


class Reason(_Table):
    """Why a target does not take an op."""

    op: str
    count: Count
    rule: str
    source: str


class Target(_Table):
    """Whether a target would take the file; see `ocr_conformance.targets`."""

    runs: bool | None
    summary: str
    reasons: tuple[Reason, ...]
    kinds: dict[str, bool | None]


class Counterexample(_Table):
    """The picture that a search has found."""

    source: Any
    artifact: Any
    file: str
    png: str | None = None
    """The picture, base64."""


class Data(_Table):
    """What our own checks say that is no single number; what another package's check says is not looked at."""

    claim: Claim | None = None
    hops: tuple[Step, ...] = ()
    ops: tuple[Op, ...] = ()
    targets: dict[str, Target] = {}
    intervals: dict[str, Interval] = {}
    """95 % confidence, of ``latency`` over all its ``looks``."""
    looks: int = 1
    """How often latency was looked at, while it was undecided."""
    interval: dict[str, Interval] | Interval | None = None
    """95 % confidence, of ``accuracy`` and ``search``."""
    counterexample: Counterexample | None = None
    pictures: tuple[str, ...] = ()
    """Where pictures of the scenes lie, on the machine of the run."""
    hop: str = ""
    stage: str = ""
    kind: str = ""
    """Of a conversion that failed."""
    seen: Moment = 0.0
    """When the newest part of the evidence was really made."""
    detector: Data | None = None
    recognizer: Data | None = None
    """Of a pipeline what is said of its parts."""


class Check(_Table):
    """What one check says of a case."""

    check: str
    verdict: Verdict
    message: str
    values: tuple[Value, ...]
    details: tuple[str, ...]
    data: dict[str, Any]
    """Of our own checks: see `Data`."""
    seconds: Seconds
    """Wall time of the jobs that the check read; a job that several checks read counts in each."""

    @model_validator(mode="after")
    def _known_data(self) -> Check:
        looked_at = self.data if self.check in BUILT_IN else {"claim": self.data.get("claim")}
        Data.model_validate_json(json.dumps(looked_at), strict=True)  # as JSON: its arrays are our tuples
        return self


class Hop(_Table):
    """How one hop of the route ended, and what it cost."""

    name: str
    kind: Literal["ok", "exception", "signal", "timeout", "memory", "exit"]
    stage: str
    message: str
    seconds: Seconds
    cpu_seconds: Seconds
    peak_bytes: Count
    """Resident memory of its process."""
    seen: Moment
    """When it was really run, in seconds since the epoch."""


class Artifact(_Table):
    """A file that came of a case; of a pipeline there are two."""

    model: str
    """Model, or model:variant."""
    file: str
    sha256: Sha256
    bytes: Count


class Explained(_Table):
    """Which op did it."""

    sentence: str
    reference: str
    op: int | None
    """Its place in execution order."""
    sqnr: tuple[tuple[int, float | None, float | None], ...]
    """Place of an op, dB that it passes on, dB of its own error."""


class CaseRecord(_Table):
    """One case with all that was found."""

    run: Count
    """Index into ``runs``."""
    verdict: Verdict
    hops: tuple[Hop, ...]
    artifacts: tuple[Artifact, ...]
    checks: dict[str, Check]
    explanation: Explained | None = None
    """Where a failure was explained."""


class Weights(_Table):
    """Whose weights."""

    name: str
    sha256: str


class Images(_Table):
    """A set of images."""

    name: str
    origin: str
    """``user``, ``rendered``, ``real`` ..."""
    count: Count
    labelled: Count
    sha256: str


class Model(_Table):
    """A source model as it was judged."""

    kind: Literal["recognizer", "detector", "pipeline"]
    summary: str
    framework: str
    contract: str
    weights: Weights
    measured_on: str | None
    """sha256 of the weights that the contract's numbers belong to."""
    images: Images
    calibration: Images


class Toolchain(_Table):
    """An environment that ran hops."""

    lock_sha256: str
    versions: dict[str, str]
    missing: str
    """Why it could not be used, empty where it could."""


class Cpu(_Table):
    """What of a processor can change a number."""

    machine: str
    model: str
    features: str
    """Hash of its flags."""


class Environment(_Table):
    """What ran where, and the settings that change a number."""

    ocr_conformance: str
    pytest: str
    python: str
    cpu: Cpu
    threads: Annotated[int, Field(ge=1)]
    device: str | None
    network_of_jobs: Literal["loopback", "none", "host"] | None = None
    """What jobs could reach: a loopback of their own, nothing, or (where the system has no way to keep them from it)
    all that the user can. ``null``: an older version did not say."""


class Run(_Table):
    """One run of pytest, or of ``check_conformance``."""

    name: str
    """A run's own record has one run, ``run``; merged ones are named by their files."""
    started: str
    """UTC, ``2026-11-25T22:17:43Z``."""
    seconds: Seconds
    jobs_run: Count
    """The rest came from the cache."""
    environment: Environment
    toolchains: dict[str, Toolchain]
    models: dict[str, Model]
    warnings: tuple[str, ...]
    without_passed_mode: tuple[str, ...]
    """Models of which modes beyond float32 were judged, and none passed."""


class Conflict(_Table):
    """A case that two of the merged runs do not agree on."""

    case: str
    differs: tuple[str, ...]
    record: CaseRecord
    """What is not among ``cases``."""


class Record(_Table):
    """The document."""

    schema_: Annotated[Literal[2], Field(alias="schema")]
    runs: Annotated[tuple[Run, ...], Field(min_length=1)]
    cases: dict[str, CaseRecord]
    """By case string, ``model[:variant]/route/mode@toolchain``."""
    conflicts: tuple[Conflict, ...] = ()


def json_schema() -> dict[str, Any]:
    """The JSON Schema that `PUBLISHED` holds."""
    described = Record.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "OCR conformance record", **described}


def load(path: Path) -> dict[str, Any]:
    """Read a record; what is no finite number is null, and control characters are dropped from its texts.

    Raises:
        UserError: there is no such file, it is no record, or one of another version of the shape.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{path}: cannot be read ({reason}): expected the .json report of a run") from None
    expected = "expected the .json report of a run"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON ({error}): {expected}") from None
    if not isinstance(document, dict) or "schema" not in document:
        raise UserError(f"{path}: is no record of OCR conformance: {expected}")
    if document["schema"] != SCHEMA:
        raise UserError(
            f"{path}: is a record of schema {document['schema']!r}, this version reads {SCHEMA}: make it anew"
        )
    try:
        record = Record.model_validate_json(json.dumps(_plain(document), allow_nan=False), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: is a broken record, at {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is a broken record: {error}") from None
    found = record.model_dump(mode="json", by_alias=True)
    _check_relations(path, found)
    return found


_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))
"""Characters that a terminal obeys; tab and line feed are left."""


def _plain(data: Any) -> Any:
    """JSON without what no view can show."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, str):
        return data.translate(_CONTROLS).encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {_plain(name): _plain(each) for name, each in data.items()}
    return [_plain(each) for each in data] if isinstance(data, list) else data


def _check_relations(path: Path, document: dict[str, Any]) -> None:
    """Each case has a mode that there is, and belongs to a run that knows its model; its verdict is that of its checks.

    Raises:
        UserError: one does not.
    """
    from ocr_conformance.cases import MODES, Case
    from ocr_conformance.report.record import verdict

    cases = [*document["cases"].items(), *((each["case"], each["record"]) for each in document["conflicts"])]
    for case, known in cases:
        broken = f"{path}: is a broken record, at cases.{case}"
        try:
            parsed = Case.parse(case)
        except UserError as error:
            raise UserError(f"{path}: is a broken record, {error}") from None
        if parsed.mode not in MODES:
            raise UserError(f"{broken}: there is no mode {parsed.mode!r}")
        run = known["run"]
        if run >= len(document["runs"]) or parsed.model_id not in document["runs"][run]["models"]:
            raise UserError(f"{broken}.run: no run {run} with this model")
        if not known["checks"] or known["verdict"] != verdict(known["checks"].values()):
            raise UserError(f"{broken}.verdict: it is not the worst of its checks")
        if case not in document["cases"]:
            raise UserError(f"{path}: is a broken record, at conflicts: {case} is not among the cases")


if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
