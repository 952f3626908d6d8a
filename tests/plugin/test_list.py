"""``--ocr-list``: what is here, what is missing and how to get it; also where the package came from its wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ocr_conformance import resources, toolchain


def test_the_list_works_from_an_empty_directory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ocr-list"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("keras-ocr", "captcha-ocr:tf-keras", "tf-lite-unrolled", "dynamic-range", "repeatability", "tf215"):
        assert name in done.stdout
    for chain in toolchain.available():
        if chain.missing:
            assert chain.how in " ".join(done.stdout.split())


def test_models_and_fixtures_travel_in_the_wheel() -> None:
    package = Path(resources.__file__).parent
    for name in ("models", "fixtures"):
        place = package / "_data" / name if "site-packages" in package.parts else package.parent / name
        assert resources.folder(name) == place  # type: ignore[arg-type]
        assert any(place.iterdir())
