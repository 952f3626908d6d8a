"""`list` and `judge`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ocr_conformance.cli.options import (
    Commands,
    add_cache,
    add_model_paths,
    cache_folder,
    print_json,
    registry_of,
    width,
)
from ocr_conformance.errors import UserError


def add(commands: Commands) -> None:
    """Register the commands."""
    listed = commands.add_parser("list", help="models, routes, modes, checks and toolchains")
    add_model_paths(listed)
    listed.set_defaults(command=_list)

    judge = commands.add_parser("judge", help="judge a .tflite file that somebody else made")
    judge.add_argument("file", type=Path)
    judge.add_argument("--model", required=True, help="whose preprocessing and decoding apply: model or model:variant")
    judge.add_argument("--mode", help="the quantization mode that the file is said to have")
    judge.add_argument("--alphabet", help="its classes in order, or a .json file {index: character}")
    judge.add_argument("--images", type=Path, metavar="DIR", help="images to judge on")
    judge.add_argument("--samples", type=int, default=100, metavar="N", help="number of images (100)")
    judge.add_argument("--device", metavar="NAME", help="hold memory against the contract's [device.NAME]")
    judge.add_argument("--json", action="store_true", help="results as JSON")
    add_model_paths(judge)
    add_cache(judge)
    judge.set_defaults(command=_judge)


def _list(options: argparse.Namespace) -> int:
    from ocr_conformance.report import listing

    print(listing.render(registry_of(options), width=width()), end="")
    return 0


def _judge(options: argparse.Namespace) -> int:
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.foreign import judge_file

    settings = Settings(
        models=(options.model,),
        images=options.images,
        samples=options.samples,
        device=options.device,
        cache=cache_folder(options),
    )
    alphabet = _alphabet(options.alphabet)
    with Engine(settings, registry_of(options)) as engine:
        case, results = judge_file(engine, options.file, options.model, mode=options.mode, alphabet=alphabet)
    if options.json:
        found = {"case": str(case), "results": {name: result.to_json() for name, result in results.items()}}
        print_json(found)
    else:
        print(f"{options.file} as {case}")
        for name, result in results.items():
            print(f"{name:14} {result.verdict:12} {result.message}")
            for line in result.details:
                print(f"{'':28}{line}")
    return int(any(result.verdict in ("failed", "undecided") for result in results.values()))


def _alphabet(text: str | None) -> str | None:
    """A string of characters, or the JSON file of a training script: ``{"0": "3", "1": "w", ...}``."""
    if text is None or not text.endswith(".json"):
        return text
    try:
        named = json.loads(Path(text).read_text(encoding="utf-8"))
        return "".join(named[str(index)] for index in range(len(named)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'--alphabet {text}: expected a JSON file of the form {{"0": "a", "1": "b", ...}} ({error})'
        ) from None
