"""Is the OCR model you converted still the model you trained? Conformance checks for TFLite (LiteRT) conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocr_conformance.conformance import Report as Report
    from ocr_conformance.conformance import check_conformance as check_conformance

__all__ = ["Report", "check_conformance"]


def __getattr__(name: str) -> Any:
    """Load the engine on first use: pytest imports this package in every project that has the plugin installed."""
    if name in __all__:
        from ocr_conformance import conformance

        return getattr(conformance, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
