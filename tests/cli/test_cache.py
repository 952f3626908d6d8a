"""Caches are looked into and pruned."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocr_conformance.cache import Cache
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits

from .conftest import Captured, assert_refused, run, run_json


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache of three entries of 1 MB, unused for 3, 2 and 1 days."""
    cache = Cache(tmp_path / "cache")
    for days, name in ((3, "old"), (2, "middle"), (1, "new")):
        folder = cache.workspace()
        (folder / "model.bin").write_bytes(bytes(2**20))
        stored = cache.store(name * 8, f"convert {name}", Outcome("ok", "convert", seen=1.0), folder, Limits(1, 1))
        assert stored.folder is not None
        used = time.time() - days * 86400
        os.utime(stored.folder / "entry.json", (used, used))
    return cache.root


def test_cache_info(capsys: Captured, filled: Path) -> None:
    assert run("cache", "info", "--cache", filled) == 0
    *entries, total = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" ")[2] for line in entries] == ["old", "middle", "new"]
    assert total.startswith("3 entries, 3.0 MB in")


def test_cache_info_as_json(capsys: Captured, filled: Path) -> None:
    found = run_json(capsys, "cache", "info", "--cache", filled)
    assert found["cache"] == str(filled)
    assert [each["title"] for each in found["entries"]] == ["convert old", "convert middle", "convert new"]
    assert found["bytes"] == sum(each["bytes"] for each in found["entries"]) >= 3 * 2**20


@pytest.mark.parametrize(
    ("option", "left"),
    [("--unused=2.5", ["middle", "new"]), ("--keep=1.5MB", ["new"]), ("--keep=9GB", ["old", "middle", "new"])],
)
def test_cache_prune(capsys: Captured, filled: Path, option: str, left: list[str]) -> None:
    assert run("cache", "prune", option, "--cache", filled) == 0
    assert capsys.readouterr().out.startswith(f"removed {3 - len(left)} entries, {3 - len(left)}.0 MB")
    assert [entry.title.split()[1] for entry in Cache(filled).entries()] == left


def test_cache_prune_as_json(capsys: Captured, filled: Path) -> None:
    before = run_json(capsys, "cache", "info", "--cache", filled)
    found = run_json(capsys, "cache", "prune", "--unused=2.5", "--cache", filled)
    after = run_json(capsys, "cache", "info", "--cache", filled)
    assert (found["cache"], found["removed"]) == (str(filled), 1)
    assert found["bytes"] == before["bytes"] - after["bytes"] > 2**20


def test_prune_touches_no_folder_that_is_no_cache(capsys: Captured, tmp_path: Path) -> None:
    thesis = tmp_path / "tmp" / "thesis"
    thesis.mkdir(parents=True)
    os.utime(thesis, (0, 0))
    assert_refused(capsys, ["cache", "prune", "--unused=1", f"--cache={tmp_path}"], "there is no cache")
    assert thesis.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
