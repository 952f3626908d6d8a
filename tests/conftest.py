"""What several test files need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A file or folder of ``../shared/data``, which is no part of the project.

    Where it is missing the test is skipped; with ``OCR_REQUIRE_SHARED=1`` (as in `.ci/run`) it fails.
    """

    def find(name: str) -> Path:
        path = CHECKOUT.parent / "shared" / "data" / name
        if path.exists():
            return path
        if os.environ.get("OCR_REQUIRE_SHARED") == "1":
            pytest.fail(f"OCR_REQUIRE_SHARED=1, and there is no {path}")
        pytest.skip(f"no {path}: the test needs data that are no part of the project")

    return find
