"""Many processes on one cold cache: the same verdicts in all, each job once, and one that dies takes none with it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance.cache import Cache
from tests.engine.conftest import PATIENCE, wait_for
from tests.repository import QUICK, SLOW, Repository, finish

CASES = ("--ocr-model=reader", "--ocr-model=reader:dark", "--ocr-mode=float32", "--ocr-mode=int8")
CHECKS = ("--ocr-check=conversion", "--ocr-check=text", "--ocr-check=size", "--ocr-check=repeatability")


def verdicts(record: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Of each case and check."""
    return {
        case: {check: result["verdict"] for check, result in known["checks"].items()}
        for case, known in record["cases"].items()
    }


def jobs_run(record: dict[str, Any]) -> int:
    """By all processes of a run."""
    return sum(run["jobs_run"] for run in record["runs"])


def start(repository: Repository, number: int, *more: str) -> tuple[subprocess.Popen[str], Path]:
    """A run, and where its record will be."""
    report = repository.root / f"run-{number}.json"
    return repository.start(*CASES, *CHECKS, f"--ocr-report={report}", *more), report


def alone(repository: Repository) -> dict[str, Any]:
    """The record of a run with a cache of its own."""
    report = repository.root / "alone.json"
    shared, repository.cache = repository.cache, repository.root.parent / "cache-of-one"
    repository.run(*CASES, *CHECKS, f"--ocr-report={report}", status=1)  # the variant `dark` misreads
    repository.nothing_left()
    repository.cache = shared
    record: dict[str, Any] = json.loads(report.read_text())
    return record


@pytest.mark.parametrize("count", [2, 8])
def test_runs_at_once_on_a_cold_cache_agree_and_run_each_job_once(
    repository: Repository, count: int, whole: bool
) -> None:
    if count == 8 and not whole:
        pytest.skip("two here, eight with --whole")
    expected = alone(repository)
    runs = [start(repository, number) for number in range(count)]
    records = []
    for process, report in runs:
        finish(process, 1)
        records.append(json.loads(report.read_text()))
    assert all(verdicts(record) == verdicts(expected) for record in records)
    assert sum(map(jobs_run, records)) == jobs_run(expected)
    titles = [(info.key, info.title) for info in Cache(repository.cache).entries()]
    assert len(titles) == jobs_run(expected)
    repository.nothing_left()


def test_a_run_that_is_killed_takes_none_of_those_beside_it_with_it(repository: Repository, whole: bool) -> None:
    repository.slow(15)
    first = repository.begin()
    others = [repository.start(*SLOW) for _ in range(3 if whole else 1)]
    wait_for(lambda: len(list((repository.cache / "runs").iterdir())) == 1 + len(others))
    assert first.poll() is None
    first.kill()
    first.communicate(timeout=PATIENCE)
    for process in others:
        assert "1 passed" in finish(process, 0)
    titles = [info.title for info in Cache(repository.cache).entries()]
    assert len(titles) == len(set(titles)), "each job has one entry"
    assert "nothing converted or run" in repository.run(*SLOW)
    repository.nothing_left()


def test_workers_of_xdist_agree_with_one_process_and_run_each_job_once(repository: Repository) -> None:
    pytest.importorskip("xdist")
    expected = alone(repository)
    process, report = start(repository, 1, "-p", "xdist", "-n", "2")
    finish(process, 1)
    record = json.loads(report.read_text())
    assert verdicts(record) == verdicts(expected)
    assert jobs_run(record) == jobs_run(expected)
    repository.nothing_left()


def test_pruning_while_runs_are_under_way_disturbs_none(repository: Repository) -> None:
    runs = [repository.start(*QUICK, "--ocr-model=reader:dark") for _ in range(2)]
    wait_for((repository.cache / "runs").is_dir)
    while any(process.poll() is None for process in runs):
        Cache(repository.cache).prune(keep_bytes=0)
        time.sleep(0.02)
    for process in runs:
        finish(process, 0)
    repository.nothing_left()
