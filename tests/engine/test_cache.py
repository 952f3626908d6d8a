"""The store: whole or absent, verified, one flight per key, and a full disk is one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_conformance import cache as cache_module
from ocr_conformance.cache import Cache, digest
from ocr_conformance.errors import CacheError
from ocr_conformance.evidence import Outcome, OutcomeKind
from ocr_conformance.isolation import Limits

from .conftest import CHECKOUT

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


@pytest.mark.parametrize("name", ["small.txt", "outputs.npz", "sub/model.bin"])
def test_an_altered_file_is_never_used(cache: Cache, name: str) -> None:
    folder = put(cache).folder
    assert folder is not None
    flip(folder / name)
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()


def test_an_altered_artifact_is_seen_before_a_job_builds_on_it(cache: Cache) -> None:
    folder = put(cache, size=LARGE).folder
    assert folder is not None
    assert cache.verify(KEY)
    flip(folder / "sub" / "model.bin", LARGE // 2)
    assert cache.lookup(KEY, LIMITS) is not None, "the outcome is whole; the file is not read here"
    assert not cache.verify(KEY)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["small.txt", "sub/model.bin"])
def test_a_missing_file_is_seen(cache: Cache, name: str) -> None:
    folder = put(cache, size=LARGE).folder
    assert folder is not None
    (folder / name).unlink()
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', "\xff"])
def test_a_broken_entry_is_removed(cache: Cache, text: str) -> None:
    folder = put(cache).folder
    assert folder is not None
    (folder / "entry.json").write_text(text, encoding="latin-1")
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()
    assert not cache.verify(KEY)


def test_a_truncated_entry_is_removed(cache: Cache) -> None:
    folder = put(cache).folder
    assert folder is not None
    text = (folder / "entry.json").read_text()
    (folder / "entry.json").write_text(text[: len(text) // 2])
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()


def test_a_changed_fact_is_seen(cache: Cache) -> None:
    """What the job read stands in the entry itself."""
    folder = put(cache).folder
    assert folder is not None
    text = (folder / "entry.json").read_text()
    assert text.count("abcd") == 1
    (folder / "entry.json").write_text(text.replace("abcd", "abcc"))
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()


def test_an_entry_of_another_schema_is_made_anew(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache)
    monkeypatch.setattr(cache_module, "_SCHEMA", 2)
    assert cache.lookup(KEY, LIMITS) is None


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


# --- one flight, killed processes -------------------------------------------------------------------------------------

STORING = """
import os, sys, time
from pathlib import Path
from ocr_conformance.cache import Cache
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits
root, key, where = sys.argv[1:]
real = getattr(Path, where)
def stuck(self, *args, **more):
    inside = self.parent.parent == Path(root) / "tmp" or self.parent == Path(root) / "tmp"
    if inside and (where != "write_text" or self.name == "entry.json"):
        if where == "write_text":
            real(self, args[0][:50])  # half of it
        print("in the middle", flush=True)
        time.sleep(600)
    return real(self, *args, **more)
cache = Cache(Path(root))
with cache.in_use(), cache.flight(key) as mine:
    assert mine
    workspace = cache.workspace()
    (workspace / "model.bin").write_bytes(b"x" * 1000)
    setattr(Path, where, stuck)
    cache.store(key, "a job", Outcome("ok", "convert"), workspace, Limits(10, 1 << 30))
"""


@contextlib.contextmanager
def python(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Another process of ours; killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("where", ["write_text", "rename"])
def test_a_process_killed_while_it_stores_leaves_no_entry_and_no_lock(cache: Cache, where: str) -> None:
    with python(STORING, cache.root, KEY, where) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        with cache.flight(KEY) as mine:
            assert not mine, "it is at it"
        process.send_signal(signal.SIGKILL)
    assert cache.lookup(KEY, LIMITS) is None
    assert len(left(cache)) == 1, "its workspace"
    with cache.flight(KEY) as mine:
        assert mine, "the lock went with the process"
        put(cache)
    assert cache.lookup(KEY, LIMITS) is not None
    cache.prune()
    assert left(cache) == [] and not any((cache.root / "runs").iterdir())
    assert cache.lookup(KEY, LIMITS) is not None


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
        workspace = cache.workspace()
        run = cache.in_use()
        run.__enter__()
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


# --- no space, no permission ------------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of so many kilobytes; skips where this is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@needs_root
def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        cache = Cache(disk)
        workspace = cache.workspace()
        (workspace / "model.bin").write_bytes(b"x" * 1000)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(b"x" * 4096):
                pass
        with pytest.raises(CacheError, match=r"no space left for the cache in .*disk: free some .*--ocr-cache DIR"):
            cache.store(KEY, "a job", Outcome("ok", "convert"), workspace, LIMITS)
        assert cache.lookup(KEY, LIMITS) is None
        assert list((cache.root / "entries").glob("*/*")) == []
        ballast.unlink()
        cache.store(KEY, "a job", Outcome("ok", "convert"), workspace, LIMITS)
        assert cache.lookup(KEY, LIMITS) is not None


@needs_root
def test_a_read_only_disk_is_one_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk:
        cache = Cache(disk)
        put(cache)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert cache.lookup(KEY, LIMITS) is not None
        for forbidden in (cache.workspace, lambda: cache.discard(KEY), cache.in_use().__enter__, lambda: fly(cache)):
            with pytest.raises(CacheError, match=r"cannot use the cache in .*disk \(Read-only file system.*\): name"):
                forbidden()


def fly(cache: Cache) -> None:
    """Take a lock that nobody has taken before."""
    with cache.flight(digest("new")):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_forbidden_folder_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CacheError, match="Permission denied"):
            Cache(tmp_path / "cache")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_place_of_the_cache_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(CacheError, match=r"cannot use the cache in .*--ocr-cache DIR"):
        Cache(tmp_path / "cache")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
def test_whatever_the_disk_says_while_storing_is_one_sentence(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number))

    workspace = cache.workspace()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(CacheError, match="--ocr-cache DIR"):
            cache.store(KEY, "a job", Outcome("ok", "convert"), workspace, LIMITS)
    assert cache.lookup(KEY, LIMITS) is None
    cache.store(KEY, "a job", Outcome("ok", "convert"), workspace, LIMITS)
    assert cache.lookup(KEY, LIMITS) is not None


def test_a_limit_on_file_sizes_reads_like_a_full_disk(cache: Cache) -> None:
    workspace = cache.workspace()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(CacheError, match="no space left"):
            cache.store(KEY, "a job", Outcome("ok", "convert", tail=("x" * 1000,)), workspace, LIMITS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert cache.lookup(KEY, LIMITS) is None
