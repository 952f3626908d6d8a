"""The manifest beside an artifact: what an app developer must know to feed the file and to read what it gives."""

from __future__ import annotations

import json
import re
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance import targets, toolchain, weights
from ocr_conformance.whole import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocr_conformance.conformance import Plan
    from ocr_conformance.contract import Unsupported
    from ocr_conformance.evidence import Outcome
    from ocr_conformance.schedule import Task

SCHEMA = 1
"""Version of the document's shape."""

_SECTIONS = {"feeding": "What the phone must feed", "boxes": "From maps to boxes"}
"""Sections of a model's README that an app developer follows, by their key in the manifest."""


def document(plan: Plan, claims: Sequence[Unsupported], **outcomes: Outcome | None) -> dict[str, Any]:
    """The manifest of a case's artifact; docs/cli.md says what each key means.

    Args:
        claims: `Contract.claims` of the case.
        outcomes: of the plan's tasks: ``artifact``, which ended well; ``inputs``, ``run``, ``inspect`` and
            ``describe``, as far as there are any: what they do not say is not in the manifest.
    """
    facts = {name: outcome.facts if outcome is not None and outcome.ok else {} for name, outcome in outcomes.items()}
    artifact, source, file = outcomes["artifact"], plan.source, facts["inspect"]
    assert artifact is not None and artifact.folder is not None
    product = artifact.folder / plan.product
    known = {
        "schema": SCHEMA,
        "case": str(plan.case),
        "sha256": weights.file_sha256(product),
        "bytes": product.stat().st_size,
        "model": {
            "name": source.model_id,
            "kind": source.description.kind,
            "summary": source.description.summary,
            "framework": source.description.framework,
        },
        "weights": {"name": source.weights.name, "sha256": source.weights.sha256},
        "toolchain": {"name": plan.chain.name, "lock_sha256": plan.chain.lock_sha256},
        "hops": [_hop(name, task) for name, task, _ in plan.hops],
        "calibration": _calibration(plan),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(artifact.seen)),
        "made_by": f"pytest-ocr-conformance {metadata.version('pytest-ocr-conformance')}",
        "inputs": [
            {**each, **_range(each, facts["inputs"].get("input_specs", ()))}
            for each in map(_tensor, facts["run"].get("inputs", ()))
        ],
        "outputs": [_tensor(each) for each in facts["run"].get("outputs", ())],
        "signatures": facts["run"].get("signature_names"),
        "runtime": {
            "minimum": file.get("min_runtime") or None,
            "ran_on": facts["run"].get("runtime"),
            "ops": file.get("ops"),
            "targets": _targets(file) if "ops" in file else None,
            "keeps_state": bool(file["variable_tensors"]) if "variable_tensors" in file else None,
        },
        "reading": facts["describe"] or None,
        "recipe": None if source.entry.contract.reading is None else source.entry.contract.reading.model_dump(),
        **{key: _section(source.entry.folder / "README.md", title) for key, title in _SECTIONS.items()},
        "known": [
            {"checks": list(claim.checks), "why": claim.why, "issue": claim.issue}
            for claim in claims
            if claim.stage is None
        ],
        "facts": artifact.facts,
    }
    return {key: value for key, value in known.items() if value is not None}


def _hop(name: str, task: Task) -> dict[str, Any]:
    """A hop, its parameters without the paths of this machine, and the versions of what it ran with."""
    chain = next((each for each in toolchain.available() if each.python == task.workplace.python), None)
    return {
        "name": name,
        "params": {key: value for key, value in task.params.items() if key not in ("model", "images")},
        "versions": {} if chain is None else toolchain.frameworks(chain.versions),
    }


def _calibration(plan: Plan) -> dict[str, Any] | None:
    """The images that a hop of the route was calibrated on; ``None`` where none was."""
    if not any("calibration" in task.inputs for _, task, _ in plan.hops):
        return None
    images = plan.source.calibration
    return {"name": images.name, "images": len(images.samples), "sha256": images.sha256}


def _tensor(described: dict[str, Any]) -> dict[str, Any]:
    """An input or output as an app sees it; ``quantization`` is ``None`` where its numbers are what they say."""
    scale = described.get("scale") or 0.0
    return {
        "name": described["name"],
        "tensor": described.get("tensor", described["name"]),
        "model": described.get("declared_as", described["name"]),
        "shape": described.get("real_shape") or described.get("shape"),
        "dtype": described["dtype"],
        "quantization": {"scale": scale, "zero_point": described.get("zero_point", 0)} if scale else None,
    }


def _range(tensor: dict[str, Any], specs: Any) -> dict[str, Any]:
    """The smallest and the largest value that preprocessing gives, before it is quantized."""
    found: dict[str, Any] = next((spec for spec in specs if spec["name"] == tensor["model"]), {})
    return {name: found.get(name) for name in ("low", "high")}


def _targets(file: dict[str, Any]) -> dict[str, Any]:
    """Which targets take the file, by rules alone; those that must be measured are left out."""
    found = targets.evaluate(file)
    return {
        name: {"runs": target.runs, "summary": target.summary}
        for name, target in found.items()
        if target.runs is not None
    }


def _section(readme: Path, title: str) -> str | None:
    """The Markdown of a second-level section, without its heading; ``None`` where there is none."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else None


def write(target: Path, product: Path, known: dict[str, Any]) -> None:
    """Copy ``product`` to ``target`` and write what is known of it beside it, as ``.json``: each file appears whole.

    Raises:
        OSError: they cannot be written; what was begun is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with parts(target, target.with_suffix(".json")) as (copy, described):
        shutil.copyfile(product, copy)
        described.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
