"""`contract update`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ocr_conformance.cli.options import (
    Commands,
    add_cache,
    add_model_paths,
    add_selection,
    cache_folder,
    command,
    group,
    registry_of,
)


def add(commands: Commands) -> None:
    """Register the command."""
    actions = group(commands, "contract", summary="a model's contract")
    update = command(
        actions,
        "update",
        _contract_update,
        summary="re-baseline limits from measured values, as a diff",
        about="Limits get head-room. Loosening needs --because. A case that did not pass is left alone.",
        status="0 it is done, or there is nothing to change",
    )
    update.add_argument("model", help="model, model:variant or glob")
    add_selection(update, "mode", "route", "toolchain", "check")
    update.add_argument("--images", type=Path, metavar="DIR", help="images to measure on")
    update.add_argument("--because", help="why limits may be loosened; goes into the contract")
    update.add_argument("--write", action="store_true", help="change the file (without: only show the diff)")
    add_model_paths(update)
    add_cache(update)


def _contract_update(options: argparse.Namespace) -> int:
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.rebaseline import update_from

    settings = Settings(
        models=(options.model,),
        modes=tuple(options.mode),
        routes=tuple(options.route),
        toolchains=tuple(options.toolchain),
        checks=tuple(options.check),
        weights=tuple(options.weights),
        images=options.images,
        cache=cache_folder(options),
    )
    with Engine(settings, registry_of(options)) as engine:
        diffs = update_from(engine, because=options.because, write=options.write)
    print("\n".join(diffs) if diffs else "nothing to change")
    return 0
