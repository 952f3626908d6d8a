"""Good cases, shared by all tests here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from .planting import Nursery


@pytest.fixture(scope="session")
def nursery(
    evidence: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Nursery]:
    """Where defects are planted; the jobs of all selected tests are under way."""
    for module in ("tensorflow", "keras", "tf_keras", "torch", "litert_torch", "ai_edge_litert"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: defects are planted in tox's `modern`")
    made = Nursery(evidence, tmp_path_factory.mktemp("adapters"))
    wanted = []
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        wanted += [
            (params[name], params[name].must, name == "seeded") for name in ("seeded", "control") if name in params
        ]
    made.prefetch(wanted)
    yield made
    made.close()
