"""How another repository adds a route of its own, and models in a folder (``ocr_model_paths`` in its ini file)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocr_conformance.convert import HopSpec, Route
from ocr_conformance.registry import Format

HOPS = Path(__file__).with_name("hops.py")


def _plan(mode: str, options: Mapping[str, Any]) -> tuple[HopSpec, ...]:
    return (HopSpec(f"pack({mode})", f"{HOPS}:pack", "packed", {"mode": mode, **options}, ()),)


def pytest_ocr_register(config, registry):
    registry.add_route(Route("pack", "numpy -> packed", "numpy", (), _plan, {"fault": "", "seconds": 0.0}))
    functions = {name: f"{HOPS}:{name}" for name in ("run", "inspect", "repeat", "latency", "memory")}
    open_ = f"{HOPS}:open_artifact"
    registry.add_format("packed", Format("model.bin", open=open_, **functions))
