"""The cache's disk fails, its files rot, its processes die: what is found is whole, what is said is one sentence."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance import cache as cache_module
from ocr_conformance.cache import Cache, digest
from ocr_conformance.errors import CacheError
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits
from tests.engine.conftest import CHECKOUT, PATIENCE
from tests.repository import OURS, QUICK, Repository, finish, needs_root, small_disk

KEY = digest("a job")
LIMITS = Limits(10, 1 << 30)
LARGE = 2 << 20
SCENARIOS = (
    "store", "replace", "discard", "rotten", "prune", "stage", "keep", "report", "artifact", "picture", "download",
)  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty store."""
    return Cache(tmp_path / "cache")


def put(cache: Cache, key: str = KEY, *, size: int = 10) -> Path:
    """Store a job that wrote a small file, an array file and one of ``size`` bytes; the entry's folder."""
    workspace = cache.workspace()
    (workspace / "small.txt").write_text("small")
    (workspace / "outputs.npz").write_bytes(b"n" * 5000)
    (workspace / "sub").mkdir()
    (workspace / "sub" / "model.bin").write_bytes(b"m" * size)
    outcome = Outcome("ok", "convert", "why", ("last", "words"), {"texts": ["abcd"]}, seen=1e9)
    folder = cache.store(key, "a job", outcome, workspace, LIMITS).folder
    assert folder is not None
    return folder


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


# --- each write, struck at each of its operations ---------------------------------------------------------------------


def strikes(scenario: str, how: str, folder: Path, stride: int = 1) -> int:
    """Strike a write in all places (see strikes.py); in how many."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("strikes.py"), scenario, how, folder, str(stride)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=20 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == [], "\n".join(found["problems"])
    return int(found["strikes"])


@pytest.mark.parametrize("how", ["kill", "full", "broken"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_write_that_is_struck_at_any_operation_leaves_all_or_nothing(
    scenario: str, how: str, tmp_path: Path, whole: bool
) -> None:
    if not whole and how != "kill" and scenario not in ("store", "artifact", "download"):
        pytest.skip("all of them with --whole")
    assert strikes(scenario, how, tmp_path) > 0


@pytest.mark.parametrize("scenario", ["store", "replace", "stage", "keep", "report", "artifact", "picture", "download"])
def test_a_write_that_is_killed_in_the_middle_of_a_file_leaves_all_or_nothing(
    scenario: str, tmp_path: Path, whole: bool
) -> None:
    assert strikes(scenario, "cut", tmp_path, 1 if whole else 3) > 0


@pytest.mark.parametrize("how", ["syscall", "refused"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_write_that_is_struck_at_any_system_call_leaves_all_or_nothing(
    scenario: str, how: str, tmp_path: Path, whole: bool
) -> None:
    if not whole and (scenario, how) != ("report", "syscall"):
        pytest.skip("all of them with --whole")
    traced = (
        shutil.which("strace") and subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode == 0
    )
    if not traced:
        pytest.skip("no strace here, or it may not trace")
    assert strikes(scenario, how, tmp_path) > 0


# --- what rots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small.txt", "outputs.npz", "sub/model.bin"])
def test_a_file_that_rots_anywhere_is_never_used(cache: Cache, name: str) -> None:
    draw = random.Random(name)
    size = (put(cache) / name).stat().st_size
    for at in {0, size - 1, *(draw.randrange(size) for _ in range(20))}:
        folder = put(cache)
        flip(folder / name, at, draw.randrange(8))
        assert cache.lookup(KEY, LIMITS) is None, at
        assert not folder.exists()


def test_a_large_file_that_rots_is_seen_before_a_job_builds_on_it(cache: Cache) -> None:
    folder = put(cache, size=LARGE)
    assert cache.verify(KEY)
    flip(folder / "sub" / "model.bin", LARGE // 2)
    assert cache.lookup(KEY, LIMITS) is not None, "the outcome is whole; the file is not read here"
    assert not cache.verify(KEY)
    assert not folder.exists()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a folder": _folder,
    "a dangling link": _link,
    "a link to itself": _loop,
}


@pytest.mark.parametrize("name", ["small.txt", "sub/model.bin", "entry.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_makes_its_entry_absent_and_the_next_store_mends_it(
    cache: Cache, damage: str, name: str
) -> None:
    folder = put(cache, size=LARGE)
    DAMAGE[damage](folder / name)
    if damage == "longer" and name == "entry.json":
        (folder / name).write_bytes((folder / name).read_bytes() + b"}")
    assert cache.lookup(KEY, LIMITS) is None
    assert not cache.verify(KEY)
    put(cache)
    assert cache.lookup(KEY, LIMITS) is not None and cache.verify(KEY)
    cache.prune()
    assert list((cache.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', "\xff", "[" * 100_000])
def test_a_broken_entry_is_removed(cache: Cache, text: str) -> None:
    folder = put(cache)
    (folder / "entry.json").write_text(text, encoding="latin-1")
    assert cache.entries() == []
    assert cache.lookup(KEY, LIMITS) is None
    assert not folder.exists()
    assert not cache.verify(KEY)


def test_a_description_that_rots_anywhere_says_what_it_said_or_nothing(cache: Cache, whole: bool) -> None:
    folder = put(cache)
    kept = (folder / "entry.json").read_bytes()
    said = cache.lookup(KEY, LIMITS)
    for at in range(len(kept)):
        for bit in range(8) if whole else (at % 8,) if at % 5 == 0 else ():
            if not folder.exists():
                put(cache)
            (folder / "entry.json").write_bytes(kept)
            flip(folder / "entry.json", at, bit)
            assert cache.lookup(KEY, LIMITS) in (None, said), (at, bit)
    for size in range(0, len(kept), 1 if whole else 31):
        if not folder.exists():
            put(cache)
        (folder / "entry.json").write_bytes(kept[:size])
        assert cache.lookup(KEY, LIMITS) is None, size


def test_an_entry_of_another_schema_is_made_anew(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache)
    monkeypatch.setattr(cache_module, "_SCHEMA", 2)
    assert cache.lookup(KEY, LIMITS) is None


def test_an_entry_in_the_place_of_another_is_not_its_answer(cache: Cache) -> None:
    """As a tool that copies a cache may confuse them."""
    folder = put(cache)
    other = digest("another job")
    shutil.copytree(folder, cache._folder(other))
    assert cache.lookup(other, LIMITS) is None
    assert cache.lookup(KEY, LIMITS) is not None


def test_an_artifact_that_rotted_is_made_anew(repository: Repository) -> None:
    repository.run(*QUICK)
    (artifact,) = (repository.cache / "entries").glob("*/*/model.bin")
    (code,) = (repository.cache / "code").glob("hops-*/hops.py")
    text = code.read_text()
    data = artifact.read_bytes()
    flip(artifact, len(data) // 2)
    code.write_text(text.replace("np.linspace(0.01", "np.linspace(0.31"))
    assert "1 passed" in repository.run(*QUICK)
    assert code.read_text() == text, "no other converter than the one that its hash tells of"
    assert artifact.read_bytes() == data
    assert "nothing converted or run" in repository.run(*QUICK)
    repository.nothing_left()


# --- what is not the cache's ------------------------------------------------------------------------------------------


def test_what_is_not_the_cache_s_own_is_left_and_does_not_disturb(cache: Cache) -> None:
    folder = put(cache)
    root, random_ = cache.root, "0d" * 16
    files = [root / "letter.txt", root / "entries" / "letter.txt", folder.parent / "letter.txt", folder / "letter.txt"]
    files += [root / "locks" / "letter.txt", root / "tmp" / "letter.txt", root / "runs" / f"{random_}.txt"]
    for path in files:
        path.write_text("mine")
    (root / "entries" / "zz").mkdir()
    (root / "entries" / "zz" / "folder").mkdir()
    assert [info.key for info in cache.entries()] == [KEY]
    assert cache.lookup(KEY, LIMITS) is not None
    put(cache, digest("another job"))
    assert cache.prune(keep_bytes=1 << 40) == (0, 0)
    assert all(path.read_text() == "mine" for path in files)
    assert (root / "entries" / "zz" / "folder").is_dir()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_lies_in_the_place_of_an_entry_makes_way(cache: Cache, what: str) -> None:
    place = cache._folder(KEY)
    place.parent.mkdir()
    if what == "file":
        place.write_text("no entry")
    elif what == "folder":
        place.mkdir()
        (place / "thing").touch()
    else:
        place.symlink_to("nowhere")
    assert cache.lookup(KEY, LIMITS) is None
    put(cache)
    assert cache.lookup(KEY, LIMITS) is not None
    cache.prune()
    assert list((cache.root / "tmp").iterdir()) == []


def test_a_folder_in_the_place_of_a_lock_is_one_sentence_that_names_it(cache: Cache) -> None:
    (cache.root / "locks" / f"{KEY}.lock").mkdir()
    named = rf"cannot use the cache in .*: locks/{KEY}\.lock\): name another place"
    with pytest.raises(CacheError, match=named), cache.flight(KEY):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "with spaces",
        'it\'s "quoted"',
        "new\nline",
        "höhlenmalerei",
        b"not \xff utf-8",
        "%s {0} $HOME `id`",
        "[a-z]*?",
        "-rf",
    ],
)
def test_a_cache_may_have_any_name(tmp_path: Path, name: str | bytes) -> None:
    cache = Cache(tmp_path / os.fsdecode(name))
    put(cache)
    assert cache.lookup(KEY, LIMITS) is not None and cache.verify(KEY)
    with cache.in_use(), cache.flight(KEY) as mine:
        assert mine
    assert [info.key for info in cache.entries()] == [KEY]
    assert cache.prune(keep_bytes=0)[0] == 1


def test_a_run_takes_a_cache_of_an_odd_name(repository: Repository) -> None:
    repository.cache = repository.root.parent / os.fsdecode(b'it\'s "a" [cache] %s\n of h\xc3\xb6hlen \xff')
    report = repository.root / "run.json"
    assert "1 passed" in repository.run(*QUICK, f"--ocr-report={report}")
    assert json.loads(report.read_text())["runs"][0]["jobs_run"] > 0
    assert "nothing converted or run" in repository.run(*QUICK)
    assert "entries" in finish(repository.launch([*OURS, "cache", "info", "--cache", str(repository.cache)]), 0)
    repository.nothing_left()


# --- no space, no permission ------------------------------------------------------------------------------------------

REFUSED = "--ocr-cache DIR"


def refusal(disk: Path) -> str:
    """Store; why it could not be done, if so."""
    try:
        put(Cache(disk), size=10_000)
    except CacheError as error:
        return str(error)
    except OSError as error:
        return "a write of the job's own" if error.errno == errno.ENOSPC else str(error)
    return ""


def remount(folder: Path, options: str) -> None:
    """Change a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@needs_root
def test_a_store_finds_the_disk_full_at_any_point_and_works_when_there_is_room_again(tmp_path: Path) -> None:
    """By files (each folder and file is one), then by 4 KB pages."""
    refused = 0
    for options in [f"nr_inodes={count}" for count in range(2, 24)] + [f"size={4 * pages}k" for pages in range(1, 14)]:
        with small_disk(tmp_path / "disk", options) as disk:
            said = refusal(disk)
            refused += said.startswith("no space left for the cache in") and said.endswith(REFUSED)
            assert said in ("", "a write of the job's own") or REFUSED in said, said
            remount(disk, "nr_inodes=100,size=1M")
            cache = Cache(disk)
            found = cache.lookup(KEY, LIMITS)
            assert found is None or cache.verify(KEY)
            put(cache)
            assert cache.lookup(KEY, LIMITS) is not None and cache.verify(KEY)
            assert sorted(path.name for path in disk.iterdir() if path.is_dir()) == ["entries", "locks", "runs", "tmp"]
    assert refused > 5


@needs_root
def test_a_run_on_a_disk_of_any_size_is_right_or_says_that_it_is_full(repository: Repository, whole: bool) -> None:
    with small_disk(repository.cache, "size=100m"):
        repository.run(*QUICK)
        (taken,) = [int(line.split()[2]) for line in _df(repository.cache)]
    sizes = range(8, taken + 40, max(4, taken // (40 if whole else 2)))
    full = 0
    for size in sizes:
        with small_disk(repository.cache, f"size={size}k") as disk:
            process = repository.start(*QUICK)
            out, _ = process.communicate(timeout=PATIENCE)
            flat = " ".join(out.split())
            assert "Traceback" not in out and "INTERNALERROR" not in out, out
            if process.returncode != 0:
                full += 1
                assert process.returncode in (1, 4), out
                assert f"no space left for the cache in {repository.cache}" in flat
            remount(disk, "size=100m")
            assert "1 passed" in repository.run(*QUICK), size
            repository.nothing_left()
    assert full >= len(sizes) // 2


def _df(folder: Path) -> list[str]:
    """Lines of df without their head: kilobytes."""
    return subprocess.run(["df", "-k", folder], check=True, capture_output=True, text=True).stdout.splitlines()[1:]


@needs_root
def test_a_read_only_disk_is_one_sentence(tmp_path: Path, repository: Repository) -> None:
    with small_disk(repository.cache, "size=100m") as disk:
        cache = Cache(disk)
        put(cache)
        repository.run(*QUICK)
        remount(disk, "ro")
        assert cache.lookup(KEY, LIMITS) is not None
        for forbidden in (cache.workspace, lambda: cache.discard(KEY), cache.in_use().__enter__, lambda: fly(cache)):
            with pytest.raises(CacheError, match=r"cannot use the cache in .* \(Read-only file system: .*\): name"):
                forbidden()
        out = repository.run(*QUICK, status=4)
        assert f"cannot use the cache in {disk} (Read-only file system: runs/" in out
        remount(disk, "rw")
        assert "nothing converted or run" in repository.run(*QUICK)
        repository.nothing_left()


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


PLACES: dict[str, Callable[[Path], object]] = {
    "a file": Path.touch,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "below a file": lambda path: path.parent.touch(),
    "too long a name": lambda path: None,
    "a colon": lambda path: None,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_where_no_cache_can_be_is_one_sentence(tmp_path: Path, place: str) -> None:
    names = {"below a file": Path("file/cache"), "too long a name": Path("x" * 300), "a colon": Path("a:b")}
    path = tmp_path / names.get(place, Path("cache"))
    PLACES[place](path)
    with pytest.raises(CacheError, match=r"cannot use the cache in .*--ocr-cache DIR") as caught:
        Cache(path)
    assert "\n" not in str(caught.value)


def test_a_run_whose_cache_cannot_be_is_one_sentence(repository: Repository) -> None:
    repository.cache.touch()
    assert f"cannot use the cache in {repository.cache} (" in repository.run(*QUICK, status=4)
    repository.cache.unlink()
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


def test_a_cache_that_vanishes_in_the_middle_of_a_run_is_one_sentence_or_made_anew(repository: Repository) -> None:
    repository.slow(5)
    process = repository.begin("--ocr-check=latency", "--ocr-check=accuracy")
    shutil.rmtree(repository.cache, ignore_errors=True)
    shutil.rmtree(repository.cache, ignore_errors=True)
    out, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in out and "INTERNALERROR" not in out, out
    assert process.returncode in (0, 1), out
    if process.returncode == 1:
        assert f"cannot use the cache in {repository.cache} (" in " ".join(out.split()), out
    shutil.rmtree(repository.cache, ignore_errors=True)
    assert "1 passed" in repository.run(*QUICK)
    repository.nothing_left()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
def test_whatever_the_disk_says_while_storing_is_one_sentence(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number))

    workspace = cache.workspace()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(CacheError, match=REFUSED):
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
