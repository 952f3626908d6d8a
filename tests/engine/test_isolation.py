"""A job's crash, hang, hunger and noise are outcomes; nothing of it stays."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ocr_conformance import isolation
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Interrupted, Runner, Workplace
from tests.repository import needs_root, small_disk

from .conftest import PATIENCE, processes, wait_for

Run = Callable[..., Outcome]


def test_a_job_that_ends_well_has_facts_and_files(run: Run) -> None:
    outcome = run("fine")
    assert (outcome.kind, outcome.message, outcome.facts["answer"]) == ("ok", "", 42)
    assert outcome.folder is not None
    assert [path.name for path in outcome.folder.iterdir()] == ["answer.txt"], "only the job's own files stay"
    assert outcome.facts["cwd"] == str(outcome.folder), "what a converter leaves lying around is its own"


def test_an_exception_is_told_by_type_message_and_stage(run: Run) -> None:
    outcome = run("raises")
    assert (outcome.kind, outcome.stage) == ("exception", "convert")
    assert outcome.message == "ValueError: 'toy.Relu6' op is neither a custom op nor a flex op"
    assert any("raises" in line for line in outcome.tail), "the traceback is kept"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGBUS", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_is_told_by_name_and_stage(run: Run, name: str) -> None:
    outcome = run("kills_itself", signal=getattr(signal, name))
    assert (outcome.kind, outcome.stage, outcome.message) == ("signal", "invoke", name)
    assert "last words" in outcome.tail


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="this system has no real-time signals")
def test_a_signal_without_a_name_is_told_by_number(run: Run) -> None:
    outcome = run("kills_itself", signal=signal.SIGRTMIN + 3)
    assert (outcome.kind, outcome.message) == ("signal", f"signal {signal.SIGRTMIN + 3}")


@pytest.mark.parametrize("fresh", [False, True])
def test_a_hang_is_a_timeout(run: Run, fresh: bool) -> None:
    outcome = run("waits", seconds=1.5, fresh=fresh)
    assert (outcome.kind, outcome.message) == ("timeout", "still running after 1.5 s")
    assert outcome.seconds < PATIENCE


def test_hunger_is_stopped_at_the_limit(run: Run) -> None:
    outcome = run("hoards", memory=200 << 20)
    assert (outcome.kind, outcome.stage) == ("memory", "convert")
    assert outcome.message == "more than 200 MB of resident memory"
    assert outcome.peak_bytes > 200 << 20


def test_a_refused_allocation_is_a_memory_failure_too(run: Run) -> None:
    outcome = run("asks_for_too_much")
    assert (outcome.kind, outcome.stage) == ("memory", "convert")
    assert outcome.message.startswith("MemoryError")


def test_leaving_without_a_result_is_an_exit(run: Run) -> None:
    outcome = run("leaves")
    assert (outcome.kind, outcome.stage) == ("exit", "convert")
    assert outcome.message == "the process left with status 3 and no result"


def test_a_polite_exit_is_an_exception(run: Run) -> None:
    assert (run("exits").kind, run("exits").message) == ("exception", "SystemExit: enough")


def test_facts_that_json_cannot_carry_are_the_jobs_mistake(run: Run) -> None:
    outcome = run("cannot_be_told")
    assert outcome.kind == "exception"
    assert outcome.message.startswith("TypeError")


def test_ten_megabytes_of_noise_are_cut_to_the_last_lines(run: Run) -> None:
    outcome = run("chatters")
    assert outcome.message == "RuntimeError: enough said"
    assert len(outcome.tail) == isolation.TAIL_LINES
    assert "the last line" in outcome.tail


def test_peak_memory_is_the_jobs_own(run: Run) -> None:
    small = run("takes", bytes=1)
    large = run("takes", bytes=150_000_000)
    assert 1_000_000 < small.peak_bytes < 100_000_000
    assert 140_000_000 < large.peak_bytes - small.peak_bytes < 160_000_000


@pytest.mark.parametrize("fresh", [False, True])
def test_a_job_sees_none_of_our_path_and_only_the_declared_variables(
    run: Run, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    (tmp_path / "only_in_the_tests.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    import only_in_the_tests  # noqa: F401

    place = replace(workplace, variables=(("TF_USE_LEGACY_KERAS", "1"),), preload=("colorsys",))
    facts = run("looks_around", place=place, fresh=fresh, variables={"FRESH": "1"}, modules=["only_in_the_tests"]).facts
    assert facts["found"] == {"only_in_the_tests": False}
    assert Path(facts["ours"]).is_relative_to(workplace.path[0]), "the staged copy, not the one that is installed"
    assert facts["environment"]["TF_USE_LEGACY_KERAS"] == "1"
    assert "SECRET_OF_THE_USER" not in facts["environment"]
    assert ("FRESH" in facts["environment"]) == fresh
    assert facts["preloaded"] == (not fresh), "a fresh process has imported nothing before"
    assert ("once" in facts["argv"]) == fresh


def test_an_interpreter_that_is_gone_is_told(run: Run, workplace: Workplace) -> None:
    outcome = run("fine", place=replace(workplace, python="/no/such/python"))
    assert (outcome.kind, outcome.stage) == ("exception", "import")
    assert outcome.message == "cannot start /no/such/python: No such file or directory"


def test_a_parent_survives_the_thread_that_started_it(run: Run, runner: Runner) -> None:
    first = threading.Thread(target=run, args=("fine",))
    first.start()
    first.join(PATIENCE)
    (parent,) = runner._parents.values()
    time.sleep(0.2)  # for the kernel's signal
    assert run("fine").ok
    assert list(runner._parents.values()) == [parent]


def test_closing_interrupts_a_running_job_and_leaves_no_process(
    run: Run, runner: Runner, worker_path: Path, tmp_path: Path
) -> None:
    mark = f"{tmp_path}/grandchild"
    with ThreadPoolExecutor() as pool:
        job = pool.submit(run, "spawns", mark=mark, then="wait")
        wait_for(lambda: processes(mark))
        (parent,) = runner._parents.values()
        family = [psutil.Process(parent._process.pid), *psutil.Process(parent._process.pid).children(recursive=True)]
        runner.close()
        with pytest.raises(Interrupted):
            job.result(PATIENCE)
    assert len(family) == 3, "the parent, the job, and what it has started"
    wait_for(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family))
    with pytest.raises(Interrupted):
        run("fine")


def test_many_jobs_at_once(run: Run) -> None:
    names = ["fine", "raises", "leaves", "aborts"] * 8
    with ThreadPoolExecutor(8) as pool:
        kinds = [outcome.kind for outcome in pool.map(run, names)]
    assert kinds == ["ok", "exception", "exit", "signal"] * 8


def test_temporary_files_are_the_job_s_own_and_go_with_it(run: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = run("litters")
    assert outcome.ok, outcome
    left = Path(outcome.facts["left"])
    assert left.parent.name == ".tmp"
    assert left.is_relative_to(tmp_path)
    assert not left.exists()


def _forest(folder: Path, trees: int) -> Path:
    for number in range(trees):
        (folder / f"{number}" / "in" / "each" / "other").mkdir(parents=True)
        (folder / f"{number}" / "in" / "file").touch()
    return folder


def test_several_may_remove_the_same_folder(tmp_path: Path) -> None:
    folder = _forest(tmp_path / "folder", 300)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(isolation.remove, [folder] * 4))
    assert not folder.exists()


@needs_root
def test_what_cannot_be_removed_keeps_nothing_else(tmp_path: Path) -> None:
    folder = _forest(tmp_path / "folder", 3)
    with small_disk(folder / "1" / "mounted", "size=64k"):
        isolation.remove(folder)
        assert [path.name for path in folder.iterdir()] == ["1"]
    isolation.remove(folder)
    assert not folder.exists()
