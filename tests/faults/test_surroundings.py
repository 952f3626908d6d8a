"""Clocks that jump, no home, odd paths, full and closed outputs: a verdict or a sentence, and the next run is right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance.cache import Cache, digest
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits
from tests.engine.conftest import PATIENCE
from tests.repository import OURS, PYTEST, QUICK, Repository, finish

LIMITS = Limits(10, 1 << 30)
YEAR = 365 * 86400


# --- the clock --------------------------------------------------------------------------------------------------------


def put(cache: Cache, name: str, seen: float, used: float | None = None) -> str:
    """Store an entry that was made, and used, at some time; its key."""
    key = digest(name)
    workspace = cache.workspace()
    (workspace / "model.bin").write_bytes(b"m")
    folder = cache.store(key, name, Outcome("ok", "convert", seen=seen), workspace, LIMITS).folder
    assert folder is not None
    os.utime(folder / "entry.json", (used or seen,) * 2)
    return key


def test_evidence_from_the_future_has_no_age(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    key = put(cache, "a job", time.time() + YEAR)
    assert cache.lookup(key, LIMITS) is not None
    for age in (0, 60, 2 * YEAR):
        assert cache.lookup(key, LIMITS, max_age=age) is None


def test_pruning_takes_what_a_wrong_clock_has_marked(tmp_path: Path) -> None:
    """Entries of the future are no use of a run under way; a mark and a workspace of another machine count a day."""
    cache = Cache(tmp_path / "cache")
    key = put(cache, "a job", time.time() + 10 * YEAR)
    for folder in ("runs", "tmp"):
        left = cache.root / folder / f"1-{'0a' * 4}-{'0d' * 16}"
        left.mkdir() if folder == "tmp" else left.touch()
        os.utime(left, (time.time() + YEAR,) * 2)
    assert cache.prune(keep_bytes=0)[0] == 1
    assert cache.lookup(key, LIMITS) is None
    assert [path for folder in ("runs", "tmp") for path in (cache.root / folder).iterdir()] == []


def test_pruning_leaves_what_a_run_used_before_the_clock_went_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.in_use():
        (mark,) = (cache.root / "runs").iterdir()
        os.utime(mark, (time.time() + YEAR,) * 2)
        key = put(cache, "a job", time.time() + YEAR + 1)
        assert cache.prune(keep_bytes=0) == (0, 0)
        assert cache.lookup(key, LIMITS) is not None


CLOCK = """

import threading
import time

_real_time, _jumps = time.time, iter({jumps!r})
_offset = 0.0

def _time():
    return _real_time() + _offset

from ocr_conformance.plugin import Conformance

_take = Conformance.take

def _taken(self, record):
    global _offset
    _offset += next(_jumps, 0.0)
    return _take(self, record)

Conformance.take = _taken

_offset = float({begin!r})
time.time = _time
"""


def set_clock(repository: Repository, begin: float, *jumps: float) -> None:
    """Let the clock of runs be wrong by so many seconds, and jump after each test."""
    path = repository.root / "conftest.py"
    text = path.read_text().partition("\n\nimport threading")[0]
    path.write_text(text + CLOCK.format(begin=begin, jumps=jumps))


@pytest.mark.parametrize("begin", [10 * YEAR, -10 * YEAR])
def test_a_clock_that_was_wrong_in_an_earlier_run_misleads_none(
    repository: Repository, begin: float, whole: bool
) -> None:
    if not whole and begin < 0:
        pytest.skip("both with --whole")
    set_clock(repository, begin)
    repository.run(*QUICK)
    set_clock(repository, 0)
    assert "nothing converted or run" in repository.run(*QUICK)
    out = repository.run(*QUICK, "--ocr-max-age=1")
    assert "nothing converted or run" not in out, "its age is not known, or it is too old"
    assert "nothing converted or run" in repository.run(*QUICK, "--ocr-max-age=1")
    repository.nothing_left()


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_clock_that_jumps_during_a_run_disturbs_nothing(repository: Repository, jump: float, whole: bool) -> None:
    if not whole and jump > 0:
        pytest.skip("both with --whole")
    set_clock(repository, 0, jump)
    report = repository.root / "run.json"
    checks = ("--ocr-check=size", "--ocr-check=repeatability", "--ocr-max-age=0", f"--ocr-report={report}")
    assert "3 passed" in repository.run(*QUICK, *checks)
    (run,) = json.loads(report.read_text())["runs"]
    assert 0 < run["seconds"] < PATIENCE
    finish(repository.launch([*OURS, "report", str(report), "--output", str(repository.root / "run.md")]), 0)
    repository.nothing_left()


# --- folders that every program expects -------------------------------------------------------------------------------


def plain(repository: Repository, *more: str, status: int = 0) -> str:
    """Run pytest with the user's cache, not with one that is named."""
    return finish(repository.launch([*PYTEST, "-q", *QUICK, *more]), status)


@pytest.mark.parametrize("given", ["", "relative/to/where", None])
def test_the_user_s_cache_is_below_his_home_where_nothing_else_is_named(
    repository: Repository, given: str | None
) -> None:
    """By the XDG specification a relative XDG_CACHE_HOME is ignored."""
    home = repository.root.parent / "home"
    home.mkdir()
    repository.environment["HOME"] = str(home)
    repository.environment.pop("XDG_CACHE_HOME", None)
    if given is not None:
        repository.environment["XDG_CACHE_HOME"] = given
    assert "1 passed" in plain(repository)
    repository.cache = home / ".cache" / "ocr-conformance" / "artifacts"
    assert (repository.cache / "entries").is_dir()
    assert not (repository.root / "relative").exists()
    repository.nothing_left()


def test_a_run_without_a_home_takes_the_one_that_the_system_knows_or_says_so(repository: Repository) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        repository.environment.pop(name, None)
    listed = finish(repository.launch([*OURS, "list"]), 0)
    assert "reader" not in listed and "captcha-ocr" in listed
    assert "1 passed" in repository.run(*QUICK)
    nobody = "import os, pwd\npwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid))\n"
    (repository.root / "conftest.py").write_text((repository.root / "conftest.py").read_text() + f"\n\n{nobody}")
    assert "there is no home folder to keep the cache in: set HOME or XDG_CACHE_HOME" in plain(repository, status=4)
    assert "nothing converted or run" in repository.run(*QUICK), "with a cache that is named"
    repository.nothing_left()
    assert not (repository.root / "~").exists()


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_temporary_folder_that_is_none_is_made_good_elsewhere(repository: Repository, kind: str, whole: bool) -> None:
    """As every Python program, by /tmp."""
    if not whole:
        pytest.skip("its slots are those of the machine: with --whole")
    place = repository.temporary / "none"
    if kind == "file":
        place.touch()
    repository.environment["TMPDIR"] = str(place)
    assert "1 passed" in repository.run(*QUICK)


def test_a_place_for_jobs_that_cannot_be_used_is_one_sentence(repository: Repository) -> None:
    place = repository.temporary / f"ocr-conformance-{os.getuid()}"
    place.touch()
    said = f"cannot use {place}, where the machine's places for jobs are"
    assert said in repository.run(*QUICK, status=4)
    place.unlink()
    (place / "slot-0.lock").mkdir(parents=True)
    (place / "slot-1.lock").mkdir()
    (place / "slot-x.lock").touch()
    assert said in repository.run(*QUICK, status=1)
    shutil.rmtree(place)
    assert "2 passed" in repository.run(*QUICK, "--ocr-check=latency")
    repository.nothing_left()


def in_namespace(command: list[str], script: str) -> list[str]:
    """A command in a mount namespace of its own, which ``script`` has prepared; skips where there is none."""
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")
    return ["unshare", "-rm", "sh", "-c", f'{script} && exec "$@"', "sh", *command]


def test_a_run_needs_no_shared_memory(repository: Repository) -> None:
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK]
    hidden = in_namespace(judge, "mount -t tmpfs -o ro,size=4k none /dev/shm")
    assert "1 passed" in finish(repository.launch(hidden), 0)
    repository.nothing_left()


def test_a_temporary_folder_without_space_is_one_sentence(repository: Repository) -> None:
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK]
    full = f"mount -t tmpfs -o size=4k,nr_inodes=3 none '{repository.temporary}'"
    out = finish(repository.launch(in_namespace(judge, full)), 4)
    assert "No space left on device" in out and "set TMPDIR to a folder" in out
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


def test_a_model_s_folder_may_be_read_only(repository: Repository) -> None:
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK]
    frozen = f"mount --bind '{repository.root}' '{repository.root}' && mount -o remount,bind,ro '{repository.root}'"
    command = in_namespace(judge, f"{frozen} && cd '{repository.root}'")
    assert "1 passed" in finish(repository.launch(command), 0)
    repository.nothing_left()


@pytest.mark.parametrize("mask", ["077", "000"])
def test_the_umask_is_the_user_s(repository: Repository, mask: str) -> None:
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK, "--ocr-artifacts=made"]
    assert "1 passed" in finish(repository.launch(["sh", "-c", f'umask {mask}; exec "$@"', "sh", *judge]), 0)
    (made,) = (repository.root / "made").rglob("*.bin")
    assert made.stat().st_mode & 0o777 == 0o666 & ~int(mask, 8)
    (place,) = repository.temporary.glob("ocr-conformance-*")
    assert place.stat().st_mode & 0o777 == 0o700, "nobody else may hold our places"
    repository.nothing_left()


# --- inputs and outputs -----------------------------------------------------------------------------------------------


def shell(repository: Repository, script: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as ``"$@"`` of a script."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *command],
        cwd=repository.root,
        env=repository.environment,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_streams_judges_as_far_as_pytest_does(
    repository: Repository, closed: str, whole: bool
) -> None:
    if not whole and closed != "<&-":
        pytest.skip("all of them with --whole")
    report = repository.root / "run.json"
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK, f"--ocr-report={report}"]
    shell(repository, f'"$@" {closed}', judge)
    if closed == "<&-":  # without the others pytest itself does not begin
        (case,) = json.loads(report.read_text())["cases"].values()
        assert case["checks"]["text"]["verdict"] == "passed"
    done = shell(repository, f'"$@" {closed}', [*OURS, "cache", "info", "--cache", str(repository.cache)])
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ('"$@" > /dev/full', 4, "ocr-conformance: the output cannot be written (No space left on device)\n"),
        ('set -o pipefail; "$@" | head -1', 0, ""),
        ('set -o pipefail; "$@" | true', 0, ""),
    ],
)
def test_a_command_whose_output_nobody_takes_says_so_or_ends(
    repository: Repository, script: str, status: int, said: str
) -> None:
    done = shell(repository, script, [*OURS, "list", "--model-path=models", "--hooks=conftest.py"])
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("script", ['"$@" > /dev/full', '"$@" | head -1', '"$@" | true'])
def test_a_run_whose_output_nobody_takes_leaves_nothing(repository: Repository, script: str, whole: bool) -> None:
    if not whole and "head" not in script:
        pytest.skip("all of them with --whole")
    shell(repository, script, [*PYTEST, f"--ocr-cache={repository.cache}", *QUICK])
    repository.nothing_left()
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


def test_a_locale_without_unicode_changes_no_verdict(repository: Repository) -> None:
    """A label and a file name that ASCII has not."""
    squares = repository.root / "models" / "reader" / "squares"
    table = squares / "labels.tsv"
    first = table.read_text().splitlines()[0].partition("\t")[0]
    (squares / first).rename(squares / "größe.png")
    table.write_text(table.read_text().replace(first, "größe.png"), encoding="utf-8")
    repository.environment |= {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    report = repository.root / "run.json"
    assert "2 passed" in repository.run(*QUICK, "--ocr-check=accuracy", f"--ocr-report={report}")
    assert json.loads(report.read_text(encoding="utf-8"))["runs"][0]["jobs_run"] > 0
    artifact = next((repository.cache / "entries").glob("*/*/model.bin"))
    shown = finish(repository.launch([*OURS, "cache", "info", "--cache", str(repository.cache)]), 0)
    assert "pack(float32)" in shown and artifact.exists()
    repository.nothing_left()


def test_a_current_folder_that_was_removed_is_one_sentence(repository: Repository) -> None:
    done = shell(repository, 'mkdir gone && cd gone && rmdir ../gone && "$@"', [*OURS, "list"])
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "ocr-conformance: there is no current folder (No such file or directory): go to one that exists\n"
    )


# --- paths ------------------------------------------------------------------------------------------------------------

NAMES = {
    "odd": 'it\'s "a" [repository] 100% of höhlen ~',
    "a colon": "a:b",
    "not UTF-8": os.fsdecode(b"h\xf6hle"),
    "long": "/".join(["x" * 200] * 4),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_repository_may_lie_anywhere(
    make_repository: Callable[[Path], Path], tmp_path: Path, name: str, whole: bool
) -> None:
    if not whole and name == "long":
        pytest.skip("all of them with --whole")
    root = tmp_path / NAMES[name] / "downstream"
    root.parent.mkdir(parents=True)
    repository = Repository(make_repository(root))
    repository.cache = tmp_path / "cache"
    views = [f"--ocr-report={repository.root / 'run'}{suffix}" for suffix in (".json", ".md", ".html")]
    assert "1 passed" in repository.run(*QUICK, "--ocr-artifacts=made", *views)
    assert "nothing converted or run" in repository.run(*QUICK)
    record = repository.root / "run.json"
    finish(repository.launch([*OURS, "diff", str(record), str(record)]), 0)
    repository.nothing_left()


def test_a_report_may_have_as_long_a_name_as_the_disk_takes(repository: Repository) -> None:
    most = repository.root / f"{'x' * 250}.json"
    assert "1 passed" in repository.run(*QUICK, f"--ocr-report={most}")
    assert json.loads(most.read_text())["cases"]
    longer = repository.root / f"{'x' * 251}.json"
    assert "(File name too long)" in repository.run(*QUICK, f"--ocr-report={longer}", status=4)
    deep = repository.root.parent / "/".join(["y" * 200] * 25)
    assert "(File name too long" in repository.run(*QUICK, f"--ocr-cache={deep}", status=4)
    repository.nothing_left()


def test_folders_in_circles_and_links_to_nothing_are_no_code(repository: Repository) -> None:
    squares = repository.root / "models" / "reader" / "squares"
    (squares / "round").symlink_to(squares)
    reader = repository.root / "models" / "reader"
    (reader / "round").symlink_to(reader)
    (reader / "itself.py").symlink_to("itself.py")
    (reader / "nowhere.py").symlink_to("nothing.py")
    (reader / "folder.py").mkdir()
    (repository.root / "models" / "round").symlink_to(repository.root / "models")
    assert "1 passed" in repository.run(*QUICK)
    assert "nothing converted or run" in repository.run(*QUICK)
    repository.nothing_left()


# --- few resources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [64, 24])
def test_few_file_descriptors_are_enough_or_one_sentence(repository: Repository, count: int) -> None:
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK]
    process = repository.launch(["sh", "-c", f'ulimit -n {count}; exec "$@"', "sh", *judge])
    out, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in out and "INTERNALERROR" not in out, out
    assert process.returncode in (0, 1, 4), out
    assert process.returncode == 0 or "Too many open files" in out, out
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_machine_that_starts_no_more_processes_is_one_sentence(
    repository: Repository, number: int, whole: bool
) -> None:
    """Root may always: the limit is played by strace, from the N-th fork of a process on."""
    if not whole:
        pytest.skip("with --whole")
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    calls = "clone,clone3,fork,vfork"
    judge = [*PYTEST, "-q", f"--ocr-cache={repository.cache}", *QUICK]
    inject = ["strace", "-f", "-o", os.devnull, "-e", f"trace={calls}"]
    inject += ["-e", f"inject={calls}:error=EAGAIN:when={number}+"]
    process = repository.launch([*inject, *judge])
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 1, 4), out
    assert "INTERNALERROR" not in out, out
    assert process.returncode == 0 or "Resource temporarily unavailable" in out or "can't start new thread" in out, out
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()
