"""Toolchains: Python environments with a lock that can run certain hops (the converters exclude each other).

A lock is ``toolchains/NAME.lock``, a full list of ``name==version`` lines resolved from ``toolchains/NAME.in``. A
toolchain that was created, or adopted from an existing environment, is known by a record ``toolchain.json`` in the
user's cache, written last: an environment without its record is half-built and not used.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ocr_conformance import resources
from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.names import near

HERE = ("here", "@here")
"""Aliases of the environment pytest runs in."""

LOCAL = "local"
"""Name of the environment pytest runs in, where it is none of the locked ones."""

_BYSTANDERS = frozenset({"iniconfig", "pip", "pluggy", "pytest", "setuptools", "wheel"})
# Pinned, so that a toolchain is the same everywhere (onnx2tf requires a pytest); not compared: they change no hop.

_FRAMEWORKS = frozenset(
    {"ai-edge-litert", "litert-quantizer", "litert-torch", "onnx2tf", "tensorflow", "tensorflow-cpu", "torch"}
)
_CONVERTERS = _FRAMEWORKS | {"keras", "numpy", "onnx", "onnx-tf", "onnxruntime", "protobuf", "tf-keras", "tflite-micro"}
# What tells one `local` environment from another, beside all that any lock pins.

_SAME = {"tensorflow": ("tensorflow-cpu", "tensorflow-intel")}
# Distributions that carry the same package under another name.

_SHOWN = ("tensorflow", "tensorflow-cpu", "keras", "tf-keras", "keras-ocr", "torch", "onnx", "onnx-tf", "onnx2tf",
          "litert-torch", "ai-edge-litert", "litert-quantizer", "tflite-micro", "numpy")  # fmt: skip
# What a reader of a record looks for.

_LIST = """
import json, sys, sysconfig
from importlib import metadata
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "site": sysconfig.get_path("purelib"),
    "versions": {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]},
}))
"""


@dataclass(frozen=True)
class Lock:
    """A toolchain as it should be.

    Attributes:
        sha256: over Python version, platform and pins, so that a comment in the file changes no cache key.
        python: ``major.minor``.
        platform: as in the file's header, e.g. ``linux x86_64``.
        pins: version by canonical distribution name.
        only: distributions (canonical names) it is there for: cases that need none of them are judged elsewhere, though
            it could. Empty: it is for all that it can run.
    """

    name: str
    path: Path
    sha256: str
    python: str
    platform: str
    pins: Mapping[str, str] = field(hash=False)
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Toolchain:
    """A toolchain as it is on this machine.

    Attributes:
        name: the lock's name, or ``local``.
        python: interpreter to run jobs with; empty where the toolchain is missing.
        lock_sha256: identifies it in keys and records. For ``local``, a hash of what is installed.
        versions: version by canonical distribution name; what the lock pins, where the toolchain is missing.
        missing: why it cannot be used here, in one clause; empty where it can.
        how: the command that creates it, where it is missing.
        is_here: it is the environment pytest runs in.
    """

    name: str
    python: str
    lock_sha256: str
    versions: Mapping[str, str] = field(hash=False)
    missing: str = ""
    how: str = ""
    is_here: bool = False

    @property
    def present(self) -> bool:
        """Whether jobs can run in it."""
        return not self.missing

    def __str__(self) -> str:
        return f"{self.name} ({self.lock_sha256[:8]})"


def frameworks(versions: Mapping[str, str]) -> dict[str, str]:
    """The distributions of a toolchain that a reader looks for."""
    return {name: versions[name] for name in _SHOWN if name in versions}


def locks(folder: Path | None = None) -> dict[str, Lock]:
    """The locks that travel in the package, by name.

    Raises:
        UserError: a lock with a line that is no pin, or without its ``# python:`` header.
    """
    return _read_locks(folder) if folder else _packaged_locks()


@functools.cache
def _packaged_locks() -> dict[str, Lock]:
    return _read_locks(Path(__file__).parent / "toolchains")


def _read_locks(folder: Path) -> dict[str, Lock]:
    return {path.stem: _read_lock(path) for path in sorted(folder.glob("*.lock"))}


def default_root() -> Path:
    """Folder of the toolchains in the user's cache.

    Raises:
        UserError: the user has no home.
    """
    return resources.user_cache() / "toolchains"


@functools.lru_cache(maxsize=1)
def here() -> Toolchain:
    """The environment pytest runs in.

    It is a locked toolchain when its Python and platform are the lock's, a framework of the lock is installed, and
    every distribution that the lock pins and that is installed has that very version. Otherwise it is ``local``.
    """
    versions = {_canonical(name): version for name, version in _installed_here()}
    known = locks()
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    matching = [
        lock
        for lock in known.values()
        if lock.python == python
        and lock.platform == _platform()
        and _FRAMEWORKS & lock.pins.keys() & versions.keys()
        and not _differences(lock, versions, absent=False)
    ]
    if matching:
        # The lock with most of its pins present says most about what is installed.
        lock = max(matching, key=lambda lock: len(lock.pins.keys() & versions.keys()))
        return Toolchain(lock.name, sys.executable, lock.sha256, versions, is_here=True)
    relevant = _CONVERTERS.union(*(lock.pins for lock in known.values())) - _BYSTANDERS
    pins = {name: version for name, version in versions.items() if name in relevant}
    return Toolchain(LOCAL, sys.executable, _digest(python, _platform(), pins), versions, is_here=True)


def find(name: str, root: Path | None = None) -> Toolchain:
    """The toolchain of that name: here, created, adopted, or missing (then it says so, and how to create it).

    Raises:
        UserError: no toolchain has that name.
    """
    current = here()
    if name in (*HERE, current.name):
        return current
    lock = _lock(name)
    how = f"ocr-conformance toolchain create {name}"
    record = None
    with contextlib.suppress(UserError):  # without a home nothing was created
        folder = _folder(lock, root or default_root())
        record = _read_record(folder)
    if record is None:
        return Toolchain(name, "", lock.sha256, lock.pins, f"toolchain {name} is not created here", how)
    python = record["python"]
    try:
        versions = distributions(python, folder)
    except UserError:
        return Toolchain(name, "", lock.sha256, lock.pins, f"the interpreter {python} of toolchain {name} is gone", how)
    wrong = _differences(lock, versions)
    if wrong:
        return Toolchain(name, "", lock.sha256, lock.pins, f"{python} is no longer {name}: {wrong[0]}", how)
    return Toolchain(name, python, lock.sha256, versions)


def available(root: Path | None = None) -> list[Toolchain]:
    """Every toolchain there could be: this environment first, then each lock's, present or missing."""
    current = here()
    return [current, *(find(name, root) for name in locks() if name != current.name)]


def unmet(toolchain: Toolchain, requires: Sequence[str]) -> list[str]:
    """Those of the requirements (``tensorflow>=2.15``) that the toolchain's distributions do not satisfy.

    A missing toolchain is judged by its lock. ``tensorflow`` is satisfied by ``tensorflow-cpu`` too.
    """
    from packaging.requirements import Requirement

    def met(text: str) -> bool:
        requirement = Requirement(text)
        name = _canonical(requirement.name)
        found = [toolchain.versions[other] for other in (name, *_SAME.get(name, ())) if other in toolchain.versions]
        return any(requirement.specifier.contains(version, prereleases=True) for version in found)

    return [text for text in requires if not met(text)]


def can_run(toolchain: Toolchain, requires: Sequence[str]) -> bool:
    """Whether the toolchain is present and satisfies every requirement."""
    return toolchain.present and not unmet(toolchain, requires)


def by_lock(toolchain: Toolchain, requires: Sequence[str]) -> bool:
    """Whether cases with these requirements belong there: missing, or here in part, it is judged by its lock."""
    from packaging.requirements import Requirement

    lock = locks().get(toolchain.name)
    if (
        lock is not None
        and lock.only
        and not set(lock.only) & {_canonical(Requirement(text).name) for text in requires}
    ):
        return False
    return not unmet(_whole(toolchain), requires)


def lacking(toolchain: Toolchain, requires: Sequence[str]) -> str:
    """Why the toolchain cannot run what has these requirements, and the command that mends it; empty where it can."""
    if toolchain.missing:
        return f"{toolchain.missing}: create it with `{toolchain.how}`"
    wanting = unmet(toolchain, requires)
    if not wanting:
        return ""
    from packaging.requirements import Requirement

    lock = locks().get(toolchain.name)
    pins = {} if lock is None else lock.pins
    names = {text: _canonical(Requirement(text).name) for text in wanting}
    install = dict.fromkeys(f"{name}=={pins[name]}" if name in pins else text for text, name in names.items())
    command = [toolchain.python, "-m", "pip", "install", *install, *(["-c", str(lock.path)] if lock else [])]
    return f"toolchain {toolchain.name} lacks {', '.join(wanting)} here: install with `{shlex.join(command)}`"


def _whole(toolchain: Toolchain) -> Toolchain:
    """The toolchain with all that its lock pins."""
    lock = locks().get(toolchain.name)
    return toolchain if lock is None else replace(toolchain, versions={**lock.pins, **toolchain.versions})


def distributions(python: str, folder: Path | None = None) -> dict[str, str]:
    """Version by canonical name of what is installed for an interpreter.

    Args:
        folder: where to keep the answer; it is asked anew when the interpreter's site-packages changed since.

    Raises:
        UserError: the interpreter does not run.
    """
    cache = folder / "distributions.json" if folder else None
    if cache:
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(cache.read_text(encoding="utf-8"))
            if known["executable"] == python and Path(python).exists() and known["stamp"] == _stamp(known["site"]):
                return dict(known["versions"])
    listing = _list(python)
    versions = {_canonical(name): version for name, version in listing["versions"].items()}
    if cache:
        # Only a short cut: without it the interpreter is asked again.
        with contextlib.suppress(OSError):
            site = listing["site"]
            _write(cache, {"executable": python, "site": site, "stamp": _stamp(site), "versions": versions})
    return versions


def create(
    name: str,
    root: Path | None = None,
    *,
    python: str | None = None,
    progress: Callable[[str], None] = print,
) -> Toolchain:
    """Build the toolchain from its lock in the user's cache, or adopt the environment of ``python``.

    uv installs it where it is to be had, else venv and pip; a user's pip configuration (indexes, find-links,
    certificate, constraints) holds for both. A toolchain that is there already is returned as it is; an adopted
    environment replaces it, once it has been verified.

    Args:
        python: interpreter of an existing environment; it is verified against the lock and left where it is.
        progress: is called with each line of the installer.

    Raises:
        UserError: unknown name, another platform than the lock's, no interpreter of its version, the installer failed,
            or the adopted environment does not satisfy the lock.
        CacheError: the cache cannot be written.
    """
    from filelock import FileLock

    lock = _lock(name)
    if lock.platform != _platform():
        raise UserError(f"the lock of toolchain {name} was made for {lock.platform}, this machine is {_platform()}")
    root = root or default_root()
    folder = _folder(lock, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if python:
                return _adopt(lock, folder, python)
            record = _read_record(folder)
            if record is not None and (found := _verified(lock, record["python"])):
                progress(f"toolchain {name} is there: {found.python}")
                return found
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                return _build(lock, folder, progress)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    except OSError as error:
        raise CacheError(f"cannot write the toolchain {name} to {folder}: {error.strerror or error}") from None


def remove(name: str, root: Path | None = None) -> list[Path]:
    """Delete a toolchain, its older locks' included; an adopted environment is forgotten, not deleted.

    Returns:
        The folders that were deleted.

    Raises:
        UserError: no toolchain has that name.
    """
    from filelock import FileLock

    _lock(name)
    root = root or default_root()
    pattern = rf"{re.escape(name)}-[0-9a-f]{{8}}"
    gone = [path for path in sorted(root.glob(f"{name}-*")) if re.fullmatch(pattern, path.name)]
    for folder in gone:
        with FileLock(f"{folder}.lock"):
            (folder / "toolchain.json").unlink(missing_ok=True)  # first: nobody uses what is half-deleted
            shutil.rmtree(folder)
    return gone


def find_python(version: str) -> str | None:
    """An interpreter of that ``major.minor``: this one, one on PATH, or one that uv knows.

    Each is run: pyenv's shims are on PATH for versions that they then refuse to start.
    """
    candidates = [sys.executable] if sys.executable else []
    for folder in os.get_exec_path():
        candidates.append(os.path.join(folder, f"python{version}"))
    candidates = [candidate for candidate in candidates if os.access(candidate, os.X_OK)]
    if (uv := _uv()) and (known := _output([uv, "python", "find", "--no-project", version])):
        candidates.append(known)
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return next((path for path in candidates if _output([path, "-I", "-c", code]) == version), None)


def _build(lock: Lock, folder: Path, progress: Callable[[str], None]) -> Toolchain:
    uv = _uv()
    base = find_python(lock.python)
    if base is None and uv is None:
        raise UserError(
            f"toolchain {lock.name} needs Python {lock.python} and none was found: put python{lock.python} on PATH, "
            "or install uv, which fetches it (pip install uv)"
        )
    environment = folder / "env"
    python = str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    progress(f"toolchain {lock.name}: {len(lock.pins)} distributions into {environment}")
    if uv:
        # Without an interpreter of its own, uv fetches the version it is asked for.
        _install([uv, "venv", "--no-project", "--python", base or lock.python, str(environment)], lock, progress)
        command = [uv, "pip", "install", "--python", python, "--requirement", str(lock.path)]
        _install(command, lock, progress, _uv_settings())
    else:
        assert base is not None
        _install([base, "-m", "venv", str(environment)], lock, progress)
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        _install([*command, "--requirement", str(lock.path)], lock, progress)
    return _adopt(lock, folder, python)


def _adopt(lock: Lock, folder: Path, python: str) -> Toolchain:
    """Verify an environment, then make it the toolchain: until then, one that is there stays as it is."""
    # Absolute, but not resolved: a virtual environment's python is a link to the one it was made with.
    python = os.path.abspath(python)
    listing = _list(python)
    if listing["python"] != lock.python:
        raise UserError(f"{python} is Python {listing['python']}, toolchain {lock.name} needs {lock.python}")
    versions = {_canonical(name): version for name, version in listing["versions"].items()}
    wrong = _differences(lock, versions)
    if wrong:
        raise UserError(
            f"{python} is not the toolchain {lock.name} ({'; '.join(wrong[:3])}): install its lock there with "
            f"{shlex.join([python, '-m', 'pip', 'install', '-r', str(lock.path)])}"
        )
    record = {"name": lock.name, "lock_sha256": lock.sha256, "python": python, "created": time.time()}
    folder.mkdir(exist_ok=True)
    _write(folder / "toolchain.json", record)
    built = folder / "env"
    if not Path(python).parent.resolve().is_relative_to(built.resolve()):
        shutil.rmtree(built, ignore_errors=True)  # of the toolchain that this one replaces
    return Toolchain(lock.name, python, lock.sha256, versions)


def _verified(lock: Lock, python: str) -> Toolchain | None:
    try:
        versions = distributions(python)
    except UserError:
        return None
    return None if _differences(lock, versions) else Toolchain(lock.name, python, lock.sha256, versions)


def _differences(lock: Lock, versions: Mapping[str, str], *, absent: bool = True) -> list[str]:
    """How an environment differs from a lock, e.g. ``numpy is 2.4.5, locked 2.4.6``."""
    found = []
    for name, pin in lock.pins.items():
        version = versions.get(name)
        if name in _BYSTANDERS or _same(version, pin) or (version is None and not absent):
            continue
        found.append(f"{name} is {version or 'not installed'}, locked {pin}")
    return found


def _same(version: str | None, pin: str) -> bool:
    """Whether a version is the pinned one; a build of it (``2.13.0+cpu``) is."""
    return version is not None and (version == pin or version.partition("+")[0] == pin)


def _lock(name: str) -> Lock:
    known = locks()
    if name not in known:
        close = near(name, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(f"there is no toolchain {name!r}: known are {', '.join(known)}{hint}")
    return known[name]


def _read_lock(path: Path) -> Lock:
    headers: dict[str, str] = {}
    pins: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if text.startswith("#"):
            if found := re.fullmatch(r"# (python|platform|only): (.+)", text):
                headers[found[1]] = found[2]
        elif text:
            name, _, version = text.partition("==")
            if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not re.fullmatch(r"[A-Za-z0-9.+!]+", version):
                raise UserError(f"{path}, line {number}: {text!r} is no pin: a lock has only name==version lines")
            pins[_canonical(name)] = version
    only = tuple(_canonical(name) for name in headers.pop("only", "").split())
    if headers.keys() != {"python", "platform"} or not pins:
        raise UserError(f"{path} is no lock: it needs '# python:' and '# platform:' lines and name==version lines")
    target = headers["platform"]
    return Lock(path.stem, path, _digest(headers["python"], target, pins), headers["python"], target, pins, only)


def _digest(python: str, target: str, pins: Mapping[str, str]) -> str:
    lines = [f"python {python}", f"platform {target}", *(f"{name}=={pins[name]}" for name in sorted(pins))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _folder(lock: Lock, root: Path) -> Path:
    return root / f"{lock.name}-{lock.sha256[:8]}"


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((folder / "toolchain.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if "python" in record else None


def _write(path: Path, data: dict[str, Any]) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(data, indent=1, sort_keys=True), encoding="utf-8")
    part.replace(path)


def _stamp(site: str) -> int:
    """Changes with every install into and removal from a site-packages folder."""
    return os.stat(site).st_mtime_ns


def _list(python: str) -> dict[str, Any]:
    try:
        # -I: neither PYTHONPATH nor the user's site-packages belong to a toolchain.
        done = subprocess.run([python, "-I", "-c", _LIST], capture_output=True, text=True, timeout=120, check=True)
        listing: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(f"{python} does not run as a Python interpreter ({error})") from None
    return listing


def _installed_here() -> Iterator[tuple[str, str]]:
    for distribution in metadata.distributions():
        # Damaged leftovers of an interrupted pip have no name.
        if name := distribution.metadata["Name"]:
            yield name, distribution.version


def _canonical(name: str) -> str:
    # As packaging.utils.canonicalize_name, without the cost of its checks for hundreds of names.
    return re.sub(r"[-_.]+", "-", name).lower()


def _platform() -> str:
    return f"{platform.system().lower()} {platform.machine()}"


def _uv() -> str | None:
    """uv, where it is installed and starts (a pyenv shim may not)."""
    path = shutil.which("uv")
    return path if path and _output([path, "--version"]) else None


def _uv_settings() -> dict[str, str]:
    """The user's pip settings as uv's: uv reads none of pip's. A setting of uv's own wins."""
    listed = _output([sys.executable, "-m", "pip", "config", "list"]) or ""
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        section, _, option = key.rpartition(".")
        # The environment's settings beat those of files.
        if equals and (section in {":env:", "global", "install"}) and (section == ":env:" or option not in settings):
            settings[option] = " ".join(value.strip("'\"").replace("\\n", " ").split())
    names = {
        "cert": "SSL_CERT_FILE",
        "constraint": "UV_CONSTRAINT",
        "extra-index-url": "UV_EXTRA_INDEX_URL",
        "find-links": "UV_FIND_LINKS",
        "index-url": "UV_DEFAULT_INDEX",
    }
    found = {names[option]: value for option, value in settings.items() if option in names and value}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = ",".join(found["UV_FIND_LINKS"].split())
    if "UV_EXTRA_INDEX_URL" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip: the best version of any index, not the first index
    return {name: value for name, value in found.items() if name not in os.environ}


def _install(
    command: list[str], lock: Lock, progress: Callable[[str], None], settings: Mapping[str, str] | None = None
) -> None:
    last: deque[str] = deque(maxlen=4)
    # PYTHONPATH and a running virtual environment are of the process that builds, not of what is built.
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**environment, **(settings or {})},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if text := line.strip():
                    last.append(text)
                    progress(text)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise UserError(
            f"building the toolchain {lock.name} failed: {shlex.join(command)} ended with {process.returncode}: "
            f"{' | '.join(last) or 'no output'}"
        )


def _output(command: list[str]) -> str | None:
    """What a command prints, or ``None`` where it does not start or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
