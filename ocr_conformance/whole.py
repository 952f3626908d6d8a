"""Files that appear whole or not at all, and whose an unfinished one is: of a living process, or of a dead one."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

OWNED = re.compile(r"\d+-(?:[0-9a-f]{8}-)?[0-9a-f]{32}")
"""What `own_name` gives: process id, machine, random."""

_PART = re.compile(rf"\.part-({OWNED.pattern})")


def own_name() -> str:
    """A name that nobody else gives, and that says which process it is of."""
    return f"{os.getpid()}-{_machine()}-{uuid.uuid4().hex}"


def _machine() -> str:
    """Tells the machines apart that share a folder, and the containers of a machine; 8 hexadecimal digits."""
    known = json.dumps([platform.node(), _process_ids()])
    return hashlib.sha256(known.encode()).hexdigest()[:8]


@functools.cache
def _process_ids() -> str:
    """Among which processes an id means one: a container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def here(name: str) -> bool:
    """Whether an own name is of this machine."""
    return name.count("-") < 2 or name.split("-")[1] == _machine()


def alive(name: str) -> bool:
    """Whether the process that an own name is of may still run."""
    if not here(name):  # of another machine its processes cannot be asked
        return True
    pid, _, _ = name.partition("-")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):  # no process of this machine, or another user's: not ours to clear
        return True
    return True


@contextlib.contextmanager
def parts(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Files to write in the place of ``targets``, which lie in one folder and take their places at the end.

    The first is what the others tell of: they go before it is replaced, so that none ever tells of another one. What
    dead processes have left in the folder is cleared.

    Raises:
        OSError: one cannot be put into its place; all that were begun are removed.
    """
    folder = targets[0].parent
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            found = _PART.fullmatch(path.name)
            if found and not alive(found[1]):
                path.unlink(missing_ok=True)
    begun = tuple(folder / f".part-{own_name()}" for _ in targets)
    try:
        yield begun
        for target in targets[1:]:
            target.unlink(missing_ok=True)
        for part, target in zip(begun, targets, strict=True):
            part.replace(target)
    finally:
        for part in begun:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
