"""`cache info` and `prune`."""

from __future__ import annotations

import argparse
import time

from ocr_conformance.cli.options import (
    Commands,
    add_cache,
    add_json,
    cache_folder,
    command,
    days,
    existing_cache,
    group,
    print_json,
    size,
)
from ocr_conformance.errors import UserError


def add(commands: Commands) -> None:
    """Register the commands."""
    actions = group(commands, "cache", summary="artifacts and evidence")
    info = command(actions, "info", _cache_info, summary="what it holds, the longest unused first")
    add_json(info)
    add_cache(info)
    prune = command(actions, "prune", _cache_prune, summary="remove what was long unused and what killed runs left")
    prune.add_argument(
        "--keep", type=size, metavar="SIZE", help="keep at most so much, e.g. 2GB; the longest unused goes"
    )
    prune.add_argument("--unused", type=days, metavar="DAYS", help="remove what was unused for so long")
    add_json(prune)
    add_cache(prune)


def _cache_info(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    folder = existing_cache(options)
    entries = Cache(folder).entries() if folder else []
    total = sum(entry.size for entry in entries)
    if options.json:
        used = [{"title": entry.title, "bytes": entry.size, "used": _time(entry.used, "T")} for entry in entries]
        print_json({"cache": str(cache_folder(options)), "bytes": total, "entries": used})
        return 0
    for entry in entries:
        print(f"{entry.size / 2**20:9.1f} MB  used {_time(entry.used, ' ')}  {entry.title}")
    print(f"{len(entries)} entries, {total / 2**20:.1f} MB in {cache_folder(options)}")
    return 0


def _time(seconds: float, sign: str) -> str:
    """Local time to the minute, ``sign`` between date and time."""
    return time.strftime(f"%Y-%m-%d{sign}%H:%M", time.localtime(seconds))


def _cache_prune(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    if options.keep is None and options.unused is None:
        raise UserError("cache prune: say what may stay, --keep SIZE (e.g. 2GB) or --unused DAYS")
    unused = None if options.unused is None else options.unused * 86400
    folder = existing_cache(options)
    count, freed = Cache(folder).prune(keep_bytes=options.keep, unused_seconds=unused) if folder else (0, 0)
    if options.json:
        print_json({"cache": str(cache_folder(options)), "removed": count, "bytes": freed})
    else:
        print(f"removed {count} entries, {freed / 2**20:.1f} MB")
    return 0
