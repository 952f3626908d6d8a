"""Content-addressed store of artifacts, outputs and failures: atomic, verified, locked.

An entry is a folder ``entries/<k>/<key>`` with the job's files and ``entry.json`` (the outcome and a sha256 per file).
It appears by one rename, so that it is whole or absent; every read verifies the hash of what it reads.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ocr_conformance.errors import CacheError
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits, remove
from ocr_conformance.whole import OWNED, alive, here, own_name

_ENTRY = "entry.json"
_SCHEMA = 1
_SMALL = 1 << 20
_ABANDONED_SECONDS = 24 * 3600
_UNUSED_SECONDS = 30 * 24 * 3600

# What `prune` may remove besides entries; whatever else lies in these folders is somebody else's.
_STAGED = re.compile(r".+-[0-9a-f]{16}")  # a folder of code: name, start of its hash
_LOCK = re.compile(r"[0-9a-f]{64}\.lock")

_TAG = "CACHEDIR.TAG"
_TAG_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of ocr-conformance, which makes it anew where it is gone.
# See https://bford.info/cachedir/
"""


def digest(value: Any) -> str:
    """sha256 of a JSON-able value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(stream)


def _sha256(stream: Any) -> str:
    """Python 3.10 has no `hashlib.file_digest`."""
    state = hashlib.sha256()
    while block := stream.read(1 << 20):
        state.update(block)
    return state.hexdigest()


def tree_sha256(files: Iterable[tuple[str, Path]]) -> str:
    """One hash over named files, whatever their order."""
    return digest(sorted((name, file_sha256(path)) for name, path in files))


@dataclass(frozen=True)
class CacheInfo:
    """What `Cache.entries` knows of one entry."""

    key: str
    title: str
    size: int
    created: float
    used: float
    folder: Path


def _entry_sha256(entry: dict[str, Any]) -> str:
    """Hash of an entry's description without the hash itself."""
    return digest({name: value for name, value in entry.items() if name != "sha256"})


def _reason(error: OSError, root: Path) -> str:
    """Why, and of which file in the cache."""
    reason = error.strerror or str(error)
    with contextlib.suppress(TypeError, ValueError):
        where = Path(os.fsdecode(error.filename)).relative_to(root.absolute())
        if where.parts:
            return f"{reason}: {where}"
    return reason


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full, forbidden or broken disk into one sentence.

    Raises:
        CacheError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise CacheError(
                f"no space left for the cache in {root}: free some (`ocr-conformance cache prune`) "
                "or name another place with --ocr-cache DIR"
            ) from error
        raise CacheError(
            f"cannot use the cache in {root} ({_reason(error, root)}): name another place with --ocr-cache DIR"
        ) from error


class Cache:
    """The store below ``root``. Safe for many processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()  # jobs have working folders of their own
        with disk_errors(root):
            if os.pathsep in str(self.root):  # jobs get folders of it in PYTHONPATH
                raise OSError(errno.EINVAL, f"there must be no {os.pathsep!r} in the path")
            self.root.mkdir(parents=True, exist_ok=True)
            # Backups leave out what is tagged: never a folder of the user's own that was named as the cache.
            if not any(self.root.iterdir()):
                (self.root / _TAG).write_text(_TAG_TEXT, encoding="ascii")
            for name in ("entries", "locks", "tmp", "runs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Say that a run is under way: what it has used, `prune` leaves alone. What killed ones left, goes."""
        self._clear_dead()
        mark = self.root / "runs" / own_name()
        with disk_errors(self.root):
            mark.touch()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                mark.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether it is still there: somebody may remove it during a run."""
        return (self.root / "entries").is_dir()

    def _folder(self, key: str) -> Path:
        return self.root / "entries" / key[:2] / key

    @contextlib.contextmanager
    def flight(self, key: str) -> Iterator[bool]:
        """Hold the lock of whoever computes ``key``; yields ``False`` when another process (or thread) holds it.

        Raises:
            CacheError: the disk is full or forbidden.
        """
        lock = FileLock(self.root / "locks" / f"{key}.lock", thread_local=False)
        with disk_errors(self.root), contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
        try:
            yield lock.is_locked
        finally:
            with disk_errors(self.root):
                lock.release()

    def workspace(self) -> Path:
        """An empty folder on the cache's own disk, for a job to write to."""
        folder = self.root / "tmp" / own_name()
        with disk_errors(self.root):
            folder.mkdir()
        return folder

    def lookup(self, key: str, limits: Limits, max_age: float | None = None) -> Outcome | None:
        """The stored outcome, or ``None`` where there is none that answers the question.

        A time-out or out-of-memory answers only for limits no larger than the one that it hit; an entry older than
        ``max_age`` seconds answers nothing. An entry with a missing or altered file is removed.

        Raises:
            CacheError: the disk cannot be read, or an altered entry not be removed.
        """
        folder = self._folder(key)
        entry = self._entry(key)
        if entry is None:
            return None
        stored = Outcome(**{**entry["outcome"], "tail": tuple(entry["outcome"]["tail"]), "folder": folder})
        if max_age is not None and not 0 <= time.time() - stored.seen <= max_age:
            return None  # what is from the future was made by a wrong clock: its age is not known
        if stored.kind == "timeout" and limits.seconds > entry["limits"]["seconds"]:
            return None
        if stored.kind == "memory" and limits.memory > entry["limits"]["memory"]:
            return None
        if not all(self._whole(folder / name, known, thorough=False) for name, known in entry["files"].items()):
            self.discard(key)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / _ENTRY)  # what `prune` goes by
        return replace(stored, cached=True, key=key)

    def _entry(self, key: str) -> dict[str, Any] | None:
        """What `store` wrote of an entry; one of another schema, or altered, is removed."""
        with disk_errors(self.root):
            try:
                entry: Any = json.loads((self._folder(key) / _ENTRY).read_text())
            except FileNotFoundError:
                return None
            except (ValueError, RecursionError):
                entry = None
            except OSError as error:
                if error.errno not in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
                    raise
                entry = None
        known = {"schema": _SCHEMA, "key": key}
        if isinstance(entry, dict) and known.items() <= entry.items() and entry.get("sha256") == _entry_sha256(entry):
            return entry
        self.discard(key)
        return None

    def file(self, key: str, name: str) -> dict[str, Any] | None:
        """``size`` and ``sha256`` of a file of an entry, as `store` noted them; ``None``: there is none."""
        entry = self._entry(key)
        return None if entry is None else entry["files"].get(name)

    @staticmethod
    def _whole(path: Path, known: dict[str, Any], *, thorough: bool) -> bool:
        """Size always; the hash of small files and of arrays, which checks read, and of all when ``thorough``."""
        try:
            if path.stat().st_size != known["size"]:
                return False
            if known["size"] > _SMALL and path.suffix != ".npz" and not thorough:
                return True
            return bool(file_sha256(path) == known["sha256"])
        except OSError:
            return False

    def verify(self, key: str) -> bool:
        """Read every file of an entry against its hash: before a job builds on it, before it is handed out."""
        folder = self._folder(key)
        entry = self._entry(key)
        if entry is None:
            return False
        if all(self._whole(folder / name, known, thorough=True) for name, known in entry["files"].items()):
            return True
        self.discard(key)
        return False

    def stamps(self, key: str) -> dict[str, tuple[int, int, int]]:
        """Size, time and inode of all in an entry but its description, which is touched when it is read.

        Of an entry that is not there, or vanishes meanwhile: of none, or some.
        """
        folder, found = self._folder(key), {}
        with disk_errors(self.root), contextlib.suppress(FileNotFoundError):
            for path in folder.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    known = path.lstat()
                    if path != folder / _ENTRY:
                        found[str(path.relative_to(folder))] = (known.st_size, known.st_mtime_ns, known.st_ino)
        return found

    def store(self, key: str, title: str, outcome: Outcome, workspace: Path, limits: Limits) -> Outcome:
        """Move a job's folder into place and return the outcome as stored.

        Raises:
            CacheError: the disk is full or forbidden; nothing is left half-written.
        """
        folder = self._folder(key)
        with disk_errors(self.root):
            files = {
                str(path.relative_to(workspace)): {"size": path.stat().st_size, "sha256": file_sha256(path)}
                for path in sorted(workspace.rglob("*"))
                # Not a description half written when the disk was full, and nothing that a link points to.
                if path.is_file() and not path.is_symlink() and path != workspace / _ENTRY
            }
        stored = replace(outcome, folder=None, cached=False, key=key)
        entry: dict[str, Any] = {
            "schema": _SCHEMA,
            "key": key,
            "title": title,
            "outcome": asdict(stored),
            "limits": asdict(limits),
            "files": files,
        }
        entry["sha256"] = _entry_sha256(json.loads(json.dumps(entry)))  # as it will be read
        with disk_errors(self.root):
            remove(workspace / _ENTRY)  # whatever the job has left under that name
            (workspace / _ENTRY).write_text(json.dumps(entry, indent=1))
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.discard(key)
            workspace.rename(folder)
        return replace(stored, folder=folder)

    def discard(self, key: str) -> None:
        """Remove an entry."""
        self.remove(self._folder(key))

    def remove(self, folder: Path) -> None:
        """Remove a folder of the cache: out of sight first, so that nobody reads half of it."""
        aside = self.root / "tmp" / own_name()
        with disk_errors(self.root), contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            remove(aside)

    def entries(self) -> list[CacheInfo]:
        """All entries, the longest unused first.

        Raises:
            CacheError: the disk cannot be read.
        """
        found = []
        with disk_errors(self.root):
            folders = list((self.root / "entries").glob("*/*"))
        for folder in folders:
            try:
                text = (folder / _ENTRY).read_text()
                used = (folder / _ENTRY).stat().st_mtime
                entry = json.loads(text)
                size = len(text) + sum(known["size"] for known in entry["files"].values())
                found.append(CacheInfo(entry["key"], entry["title"], size, entry["outcome"]["seen"], used, folder))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
        return sorted(found, key=lambda info: info.used)

    def prune(self, *, keep_bytes: int | None = None, unused_seconds: float | None = None) -> tuple[int, int]:
        """Remove what was unused for so long, then the longest unused until ``keep_bytes`` remain.

        Also clears what killed runs left behind and, while no run is under way, code and locks that were unused for 30
        days. What a run under way has used stays, and so does every file that is not the cache's own. Returns the
        number of entries and of bytes removed.

        Raises:
            CacheError: the disk cannot be read, or what is to go not be removed.
        """
        with disk_errors(self.root):
            since, idle = self._clear_abandoned()
        entries = self.entries()
        now = time.time()
        total = sum(entry.size for entry in entries)
        count = freed = 0
        for entry in entries:
            if entry.used >= since and not (idle and entry.used > now):  # that clock was wrong
                continue
            old = unused_seconds is not None and now - entry.used > unused_seconds
            if not old and (keep_bytes is None or total - freed <= keep_bytes):
                continue
            self.discard(entry.key)
            count += 1
            freed += entry.size
        return count, freed

    def _clear_abandoned(self) -> tuple[float, bool]:
        """Remove what no run needs besides entries.

        Returns when the oldest run under way began, else now; and whether there is none.
        """
        since = now = time.time()
        idle = True
        for mark in _owned(self.root / "runs", OWNED):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                if _at_work(mark, now):
                    idle = False
                    since = min(since, mark.stat().st_mtime)
                else:
                    mark.unlink()
        for left in _owned(self.root / "tmp", OWNED):
            with contextlib.suppress(OSError):
                if not _at_work(left, now):
                    remove(left)
        if idle:
            code, locks = _owned(self.root / "code", _STAGED), _owned(self.root / "locks", _LOCK)
            with contextlib.suppress(FileNotFoundError):  # another process prunes too, and removes the rest
                for path in code:
                    if path.is_dir() and now - _last_used(path) > _UNUSED_SECONDS:
                        self.remove(path)
                for path in locks:
                    if path.is_file() and now - _last_used(path) > _UNUSED_SECONDS:
                        path.unlink()
        return since, idle

    def _clear_dead(self) -> None:
        """Remove the workspaces and marks of this machine's dead processes."""
        with contextlib.suppress(OSError):
            for left in (*_owned(self.root / "tmp", OWNED), *_owned(self.root / "runs", OWNED)):
                if here(left.name) and not alive(left.name):
                    remove(left)


def _owned(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """What in a folder of the cache has a name that only the cache gives; links are never its own."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if names.fullmatch(path.name) and not path.is_symlink()]


def _at_work(path: Path, now: float) -> bool:
    """Whether the process that a workspace or mark is of may still run; one of another machine, by what is a day old.

    A time far ahead is one of a clock that was wrong.
    """
    return alive(path.name) and (here(path.name) or abs(now - path.stat().st_mtime) <= _ABANDONED_SECONDS)


def _last_used(path: Path) -> float:
    """When a file, or any file in a folder, was last written or (as far as the disk keeps it) read."""
    known = [inside.lstat() for inside in (path, *path.rglob("*")) if not inside.is_dir()]  # looking reads folders
    return max([path.stat().st_mtime, *(max(stat.st_atime, stat.st_mtime) for stat in known)])
