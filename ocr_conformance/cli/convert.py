"""`convert`: artifacts and manifests for a phone project."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocr_conformance.cli.options import (
    Commands,
    add_cache,
    add_json,
    add_model_paths,
    add_output,
    add_selection,
    cache_folder,
    command,
    count,
    in_our_words,
    print_json,
    registry_of,
)
from ocr_conformance.errors import UserError

_CHECK = "conversion"


def add(commands: Commands) -> None:
    """Register the command."""
    convert = command(
        commands,
        "convert",
        _convert,
        summary="write artifacts and their manifests for a phone project",
        about="Each artifact that runs is written, with a manifest (.json) that says how it is fed and read. What the "
        "contract claims to be unsupported is said, and is no failure.",
        status="0 all that should convert is written; 1 a case failed, or nothing was written",
    )
    convert.add_argument("model", nargs="+", metavar="MODEL", help="model, model:variant or glob")
    add_selection(convert, "mode", "route", "toolchain")
    convert.add_argument("--images", type=Path, metavar="DIR", help="images to run each artifact on")
    convert.add_argument("--samples", type=count, default=1, metavar="N", help="number of images (1)")
    convert.add_argument("--calibration", type=Path, metavar="DIR", help="images that quantizers calibrate on")
    add_output(convert, "where to write (artifacts)", metavar="DIR", default=Path("artifacts"))
    add_json(convert)
    add_model_paths(convert)
    add_cache(convert)


def _convert(options: argparse.Namespace) -> int:
    from ocr_conformance.conformance import Engine, Settings

    settings = Settings(
        models=tuple(options.model),
        modes=tuple(options.mode),
        routes=tuple(options.route),
        toolchains=tuple(options.toolchain),
        checks=(_CHECK,),
        weights=tuple(options.weights),
        images=options.images,
        samples=options.samples,
        calibration=options.calibration,
        artifacts=options.output,
        cache=cache_folder(options),
    )
    found: list[dict[str, Any]] = []
    with Engine(settings, registry_of(options)) as engine:
        cases = engine.cases
        if not cases:
            raise UserError(
                f"{' '.join(options.model)}: there is no such case: `ocr-conformance list` shows routes and toolchains"
            )
        engine.prefetch([(case, _CHECK) for case in cases])
        for case in cases:
            result = engine.judge(case, _CHECK)
            files = engine.handed_out(case)
            if result.verdict == "passed" and not files:  # `cache prune` came between
                result = replace(result, verdict="failed", message="its artifact is gone from the cache: run again")
            known = [claim for file in files for claim in json.loads(file.with_suffix(".json").read_text())["known"]]
            found.append(
                {
                    "case": str(case),
                    "verdict": result.verdict,
                    "message": in_our_words(result.message),
                    "files": [str(file) for file in files],
                    "known": known,
                }
            )
            if not options.json:
                print("\n".join(_lines(found[-1])), flush=True)
    written = sum(bool(each["files"]) for each in found)
    if options.json:
        print_json({"output": str(options.output), "cases": found})
    else:
        print(f"{written} of {len(found)} cases written to {options.output}; they run, what they read is not judged")
    return int(not written or any(each["verdict"] == "failed" for each in found))


def _lines(case: dict[str, Any]) -> list[str]:
    """A case in a line: what was written, or why nothing was; and what the contract says does not hold."""
    lines = []
    if case["files"]:
        sizes = (f"{file} ({Path(file).stat().st_size / 2**10:,.0f} KB)" for file in case["files"])
        lines.append(f"{case['case']}: wrote {', '.join(sizes)}")
    if case["verdict"] != "passed":
        lines.append(f"{case['case']}: {case['verdict']}: {case['message']}")
    for claim in case["known"]:
        lines.append(f"  known not to hold: {' and '.join(claim['checks'])}: {claim['why']}")
    return lines
