"""The shape of a record, ``run.json``. `record.schema.json` beside this file is the same as a JSON Schema (2020-12).

What two identical runs differ in: the keys ``started``, ``seconds``, ``cpu_seconds``, ``peak_bytes``, ``seen`` and
``jobs_run``, and, where evidence was made anew, what ``latency`` and ``memory`` measured, and the ``sha256`` of
artifacts whose converter writes another file each time (TFLiteConverter does for captcha-ocr, unrolled, in int8).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocr_conformance.errors import UserError
from ocr_conformance.results import Verdict

SCHEMA = 2
"""Version of the shape; a reader refuses what it does not know. Keys may be added within a version."""

PUBLISHED = Path(__file__).with_name("record.schema.json")

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)


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


class Check(_Table):
    """What one check says of a case."""

    check: str
    verdict: Verdict
    message: str
    values: tuple[Value, ...]
    details: tuple[str, ...]
    data: dict[str, Any]
    """What is no single number: ``claim``, ``intervals``, ``hops``, ``ops``, ``seen`` (seconds since the epoch) ..."""
    seconds: Seconds
    """Wall time of the jobs that the check read; a job that several checks read counts in each."""


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
    seen: float
    """When it was really run, in seconds since the epoch."""


class Artifact(_Table):
    """A file that came of a case; of a pipeline there are two."""

    model: str
    """Model, or model:variant."""
    file: str
    sha256: Sha256
    bytes: Count


class CaseRecord(_Table):
    """One case with all that was found."""

    run: Count
    """Index into ``runs``."""
    verdict: Verdict
    hops: tuple[Hop, ...]
    artifacts: tuple[Artifact, ...]
    checks: dict[str, Check]
    explanation: dict[str, Any] | None = None
    """Where a failure was explained: ``sentence``, ``reference``, and ``sqnr``: op, dB passed on, dB made there."""


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


class Run(_Table):
    """One run of pytest, or of ``check_conformance``."""

    name: str
    """A run's own record has one run, ``run``; merged ones are named by their files."""
    started: str
    """UTC, ``2026-11-25T22:17:43Z``."""
    seconds: Seconds
    jobs_run: Count
    """The rest came from the cache."""
    environment: dict[str, Any]
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
    """Read a record.

    Raises:
        UserError: there is no such file, it is no record, or one of another version of the shape.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{path}: cannot be read ({reason}): expected the .json report of a run") from None
    expected = "expected the .json report of a run"
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}): {expected}") from None
    if not isinstance(document, dict) or "schema" not in document:
        raise UserError(f"{path}: is no record of OCR conformance: {expected}")
    if document["schema"] != SCHEMA:
        raise UserError(
            f"{path}: is a record of schema {document['schema']!r}, this version reads {SCHEMA}: make it anew"
        )
    try:
        Record.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: is a broken record, at {place}: {first['msg']}") from None
    _check_runs(path, document)
    return document


def _check_runs(path: Path, document: dict[str, Any]) -> None:
    """Each case belongs to a run that knows its model.

    Raises:
        UserError: one does not.
    """
    from ocr_conformance.cases import Case

    cases = [*document["cases"].items(), *((each["case"], each["record"]) for each in document.get("conflicts", ()))]
    for case, known in cases:
        try:
            model = Case.parse(case).model_id
        except UserError as error:
            raise UserError(f"{path}: is a broken record, {error}") from None
        run = known["run"]
        if run >= len(document["runs"]) or model not in document["runs"][run]["models"]:
            raise UserError(f"{path}: is a broken record, at cases.{case}.run: no run {run} with this model")


if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
