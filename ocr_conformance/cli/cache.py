"""`cache info` and `prune`."""

from __future__ import annotations

import argparse
import time

from ocr_conformance.cli.options import Commands, add_cache, cache_folder, days, existing_cache, size
from ocr_conformance.errors import UserError


def add(commands: Commands) -> None:
    """Register the commands."""
    cache = commands.add_parser("cache", help="artifacts and evidence").add_subparsers(required=True, metavar="ACTION")
    info = cache.add_parser("info", help="what it holds")
    add_cache(info)
    info.set_defaults(command=_cache_info)
    prune = cache.add_parser("prune", help="remove what was long unused and what killed runs left")
    prune.add_argument(
        "--keep", type=size, metavar="SIZE", help="keep at most so much, e.g. 2GB; the longest unused goes"
    )
    prune.add_argument("--unused", type=days, metavar="DAYS", help="remove what was unused for so long")
    add_cache(prune)
    prune.set_defaults(command=_cache_prune)


def _cache_info(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    folder = existing_cache(options)
    entries = Cache(folder).entries() if folder else []
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{entry.size / 2**20:9.1f} MB  used {used}  {entry.title}")
    print(f"{len(entries)} entries, {sum(entry.size for entry in entries) / 2**20:.1f} MB in {cache_folder(options)}")
    return 0


def _cache_prune(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    if options.keep is None and options.unused is None:
        raise UserError("cache prune: say what may stay, --keep SIZE (e.g. 2GB) or --unused DAYS")
    unused = None if options.unused is None else options.unused * 86400
    folder = existing_cache(options)
    count, freed = Cache(folder).prune(keep_bytes=options.keep, unused_seconds=unused) if folder else (0, 0)
    print(f"removed {count} entries, {freed / 2**20:.1f} MB")
    return 0
