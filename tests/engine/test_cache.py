"""The store: whole or absent, verified, one flight per key, and a full disk is one sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ocr_conformance.cache import Cache, digest
from ocr_conformance.evidence import Outcome, OutcomeKind
from ocr_conformance.isolation import Limits

KEY = digest("a job")
LIMITS = Limits(10, 1 << 30)
LARGE = 2 << 20


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty store."""
    return Cache(tmp_path / "cache")


def put(
    cache: Cache, key: str = KEY, *, kind: OutcomeKind = "ok", seen: float | None = None, size: int = 10
) -> Outcome:
    """Store a job that wrote a small file, an array file and one of ``size`` bytes."""
    workspace = cache.workspace()
    if kind == "ok":
        (workspace / "small.txt").write_text("small")
        (workspace / "outputs.npz").write_bytes(b"n" * LARGE)
        (workspace / "sub").mkdir()
        (workspace / "sub" / "model.bin").write_bytes(b"m" * size)
    outcome = Outcome(kind, "convert", "why", ("last", "words"), {"texts": ["abcd"]}, seen=seen or time.time())
    return cache.store(key, "a job", outcome, workspace, LIMITS)


def flip(path: Path, at: int = 3) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def left(cache: Cache) -> list[str]:
    """What lies in the store besides whole entries, locks and marks of runs."""
    halves = [path for path in (cache.root / "entries").glob("*/*") if not (path / "entry.json").is_file()]
    return [str(path) for path in [*halves, *(cache.root / "tmp").iterdir()]]


def test_what_was_stored_is_found(cache: Cache) -> None:
    assert cache.lookup(KEY, LIMITS) is None
    put(cache)
    found = cache.lookup(KEY, LIMITS)
    assert found is not None and found.folder is not None
    assert (found.kind, found.facts, found.tail, found.cached) == ("ok", {"texts": ["abcd"]}, ("last", "words"), True)
    assert (found.folder / "sub" / "model.bin").read_bytes() == b"m" * 10
    assert left(cache) == []


def test_a_relative_folder_is_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = Cache(Path("here"))
    monkeypatch.chdir("/")
    put(cache)
    assert (tmp_path / "here" / "entries").is_dir()


@pytest.mark.parametrize(
    ("kind", "asked", "answers"),
    [
        ("timeout", Limits(10, 1), True),
        ("timeout", Limits(9, 2 << 30), True),
        ("timeout", Limits(11, 1), False),
        ("memory", Limits(99, 1 << 30), True),
        ("memory", Limits(1, (1 << 30) - 1), True),
        ("memory", Limits(1, (1 << 30) + 1), False),
        ("signal", Limits(99, 2 << 30), True),
        ("exception", Limits(99, 2 << 30), True),
        ("ok", Limits(1, 1), True),
    ],
)
def test_a_limit_that_was_hit_answers_only_for_limits_no_larger(
    cache: Cache, kind: OutcomeKind, asked: Limits, answers: bool
) -> None:
    put(cache, kind=kind)
    assert (cache.lookup(KEY, asked) is not None) == answers


def test_old_evidence_is_not_good_enough_where_fresh_is_asked_for(cache: Cache) -> None:
    put(cache, seen=time.time() - 100)
    assert cache.lookup(KEY, LIMITS) is not None
    assert cache.lookup(KEY, LIMITS, max_age=200) is not None
    assert cache.lookup(KEY, LIMITS, max_age=50) is None
    assert cache.lookup(KEY, LIMITS) is not None, "it is too old for some, and stays for others"


# --- pruning ----------------------------------------------------------------------------------------------------------


def age(cache: Cache, key: str, seconds: float) -> None:
    """Let an entry's last use be so long ago."""
    then = time.time() - seconds
    os.utime(cache._folder(key) / "entry.json", (then, then))


def test_pruning_by_size_takes_the_longest_unused_first(cache: Cache) -> None:
    keys = [digest(number) for number in range(3)]
    for number, key in enumerate(keys):
        put(cache, key)
        age(cache, key, 100 - number)
    cache.lookup(keys[0], LIMITS)  # used: now the youngest
    count, freed = cache.prune(keep_bytes=2 * LARGE + 10_000)
    assert count == 1 and freed > LARGE
    assert [cache.lookup(key, LIMITS) is not None for key in keys] == [True, False, True]
    assert cache.prune(keep_bytes=0)[0] == 2
    assert cache.entries() == []


def test_pruning_by_age(cache: Cache) -> None:
    old, young = digest("old"), digest("young")
    for key, seconds in ((old, 1000), (young, 10)):
        put(cache, key)
        age(cache, key, seconds)
    assert cache.prune(unused_seconds=100)[0] == 1
    assert [info.key for info in cache.entries()] == [young]


def test_pruning_leaves_what_a_run_under_way_has_used(cache: Cache) -> None:
    used, unused = digest("used"), digest("unused")
    for key in (used, unused):
        put(cache, key)
        age(cache, key, 1000)
    with cache.in_use():
        assert cache.lookup(used, LIMITS) is not None
        assert cache.prune(keep_bytes=0)[0] == 1
        assert [info.key for info in cache.entries()] == [used]
    time.sleep(0.02)  # the kernel's clock of files is coarse
    assert cache.prune(keep_bytes=0)[0] == 1


def test_pruning_spares_the_workspace_of_a_running_process(cache: Cache) -> None:
    workspace = cache.workspace()
    dead = cache.root / "tmp" / f"999999999-{'0d' * 16}"
    dead.mkdir()
    cache.prune()
    assert workspace.is_dir() and not dead.exists()


def test_pruning_leaves_alone_what_another_machine_is_at(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines may share a cache, and the process ids of one say nothing to another."""
    monkeypatch.setattr("os.getpid", lambda: 999999999)
    with monkeypatch.context() as other:
        other.setattr("platform.node", lambda: "another-machine")
        run = cache.in_use()
        run.__enter__()
        workspace = cache.workspace()
    put(cache)
    assert cache.prune(keep_bytes=0) == (0, 0), "the run over there may have used it"
    assert workspace.is_dir()
    (mark,) = (cache.root / "runs").iterdir()
    for path in (workspace, mark):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    assert cache.prune(keep_bytes=0)[0] == 1, "it has not been heard of for a day"
    assert not workspace.exists()
    assert not mark.exists()


def test_pruning_touches_nothing_that_is_not_the_cache_s_own(cache: Cache) -> None:
    random = "0d" * 16
    names = ["mine", "999999999-dead", f"x-{random}", f"999999999-{random}.txt", "999999999", f"{random}.lock"]
    (cache.root / "code").mkdir()
    others = [cache.root / folder / name for folder in ("tmp", "runs", "locks", "code") for name in names]
    for path in others:
        path.mkdir()
        (path / "file").write_text("mine")
    link = cache.root / "tmp" / f"999999999-{random}"
    link.symlink_to(others[0])
    for path in [*others, *(path / "file" for path in others)]:
        os.utime(path, (0, 0))
    cache.prune(keep_bytes=0, unused_seconds=0)
    assert all((path / "file").read_text() == "mine" for path in others)
    assert link.is_symlink()


def test_code_and_locks_that_were_long_unused_are_pruned_while_no_run_is_under_way(cache: Cache) -> None:
    def staged(name: str, days: float, read: float) -> Path:
        folder = cache.root / "code" / f"{name}-{'0d' * 8}"
        file = folder / "package" / "model.py"
        file.parent.mkdir(parents=True)
        file.touch()
        now = time.time()
        os.utime(file, (now - read * 86400, now - days * 86400))
        os.utime(folder, (now, now - days * 86400))
        return folder

    def lock(key: str, days: float) -> Path:
        path = cache.root / "locks" / f"{key}.lock"
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
        return path

    old = [staged("old", 31, 31), lock(digest("old"), 31)]
    young = [staged("young", 29, 29), staged("read", 31, 29), lock(digest("young"), 29)]
    with cache.in_use():
        cache.prune()
        assert all(path.exists() for path in [*old, *young])
    assert cache.prune() == (0, 0)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)
    assert left(cache) == []


def test_a_new_cache_is_tagged_for_backups_and_a_folder_of_the_user_is_not(tmp_path: Path) -> None:
    Cache(tmp_path / "new")
    tag = (tmp_path / "new" / "CACHEDIR.TAG").read_bytes()
    assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    Cache(tmp_path / "home")
    assert not (tmp_path / "home" / "CACHEDIR.TAG").exists()
