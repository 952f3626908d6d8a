"""Evidence made by hand: what the jobs would have written, in a folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_conformance.cases import Case
from ocr_conformance.evidence import Evidence, Hop, Outcome

MakeOutcome = Callable[..., Outcome]
MakeEvidence = Callable[..., Evidence]


@pytest.fixture
def outcome(tmp_path: Path) -> MakeOutcome:
    """An outcome that went well, with its facts and its arrays by file name."""
    numbers = itertools.count()

    def make(facts: dict[str, Any] | None = None, **files: Mapping[str, Any]) -> Outcome:
        folder = tmp_path / f"outcome-{next(numbers)}"
        folder.mkdir()
        for name, arrays in files.items():
            np.savez(folder / f"{name}.npz", **{key: np.asarray(value) for key, value in arrays.items()})
        return Outcome("ok", "", facts=facts or {}, folder=folder, seconds=2.0, cpu_seconds=1.5, peak_bytes=10**8)

    return make


@pytest.fixture
def reading(outcome: MakeOutcome) -> MakeEvidence:
    """Evidence of a recognizer: outputs and texts of the source, of the SavedModel hop and of the artifact."""

    def make(
        source: Any,
        artifact: Any,
        *,
        between: Any = None,
        texts: tuple[list[str] | None, list[str] | None] = (["a"], ["a"]),
        labels: tuple[str | None, ...] = (),
        mode: str = "int8",
    ) -> Evidence:
        def side(arrays: Any, read: list[str] | None) -> Outcome:
            facts: dict[str, Any] = {"texts": read, "parameters": 1000, "runtime": "litert"}
            if read is None:
                facts["undecoded"] = "IndexError: no"
            return outcome(facts, outputs=arrays if isinstance(arrays, dict) else {"softmax": arrays})

        count = len(next(iter(source.values())) if isinstance(source, dict) else source)
        return Evidence(
            Case("m", "", "tf-lite", mode, "modern"),
            labels=labels,
            images=tuple(f"word-{index}.png" for index in range(count)),
            weights_name="seeded",
            source=side(source, texts[0]),
            hops=(
                Hop("saved-model", outcome(), side(source if between is None else between, texts[0])),
                Hop(f"tf-lite({mode})", outcome()),
            ),
            run=side(artifact, texts[1]),
        )

    return make
