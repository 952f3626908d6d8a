"""`list`, `judge` and `read`: what there is, and files of unknown making."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocr_conformance.cli.options import (
    Commands,
    add_cache,
    add_json,
    add_model_paths,
    cache_folder,
    command,
    count,
    print_json,
    registry_of,
    status_of,
    width,
)
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from ocr_conformance.foreign import Reading


def add(commands: Commands) -> None:
    """Register the commands."""
    listed = command(
        commands,
        "list",
        _list,
        summary="models, routes, modes, checks, toolchains and devices",
        about="It says what is here, what is missing and how to get it.",
    )
    add_json(listed)
    add_model_paths(listed)

    judge = command(
        commands,
        "judge",
        _judge,
        summary="judge a .tflite file that somebody else made",
        about="The checks that need no source are put to it.",
        status="0 no check failed; 1 one failed or is undecided; 5 nothing was judged",
    )
    _add_file(judge)
    judge.add_argument("--mode", help="the quantization mode that the file is said to have")
    judge.add_argument("--images", type=Path, metavar="DIR", help="images to judge on")
    judge.add_argument("--samples", type=count, default=100, metavar="N", help="number of images (100)")
    judge.add_argument("--device", metavar="NAME", help="hold memory against the contract's [device.NAME]")
    add_json(judge)
    add_model_paths(judge)
    add_cache(judge)

    read = command(
        commands,
        "read",
        _read,
        summary="what a .tflite file reads: the text of word images, the boxes of scenes",
        about="Images are preprocessed, and outputs decoded, as the model's.",
        status="0 it reads; 1 the file does not load or run, or its outputs do not decode",
    )
    _add_file(read)
    read.add_argument("image", nargs="+", type=Path, metavar="IMAGE", help="image files")
    read.add_argument("--recognizer", type=Path, metavar="FILE", help="of a pipeline: its recognizer's file")
    add_json(read)
    add_model_paths(read)
    add_cache(read)


def _add_file(parser: argparse.ArgumentParser) -> None:
    """A file, and whose it is."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the .tflite file; of a pipeline, its detector's")
    parser.add_argument("--model", required=True, help="whose preprocessing and decoding apply: model or model:variant")
    parser.add_argument("--alphabet", help="its classes in order, or a .json file {index: character}")


def _list(options: argparse.Namespace) -> int:
    from ocr_conformance.report import listing

    registry = registry_of(options)
    if options.json:
        print_json(listing.data(registry))
    else:
        print(listing.render(registry, width=width()), end="")
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
    return status_of(results.values())


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


def _read(options: argparse.Namespace) -> int:
    from ocr_conformance import images
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.foreign import Unread, read_file

    chosen = images.of_files(options.image)
    settings = Settings(models=(options.model,), cache=cache_folder(options))
    with Engine(settings, registry_of(options)) as engine:
        try:
            runtime, readings = read_file(
                engine,
                options.file,
                options.model,
                chosen,
                recognizer=options.recognizer,
                alphabet=_alphabet(options.alphabet),
            )
        except Unread as error:
            if options.json:
                print_json({"file": str(options.file), "model": options.model, "error": str(error)})
            else:
                print(f"ocr-conformance: {options.file} as {options.model}: {error}", file=sys.stderr)
            return 1
    if options.json:
        found = [reading.to_json() for reading in readings]
        print_json({"file": str(options.file), "model": options.model, "runtime": runtime, "images": found})
        return 0
    print(f"{options.file} as {options.model}, on {runtime}")
    longest = max(len(str(reading.image)) for reading in readings)
    for reading in readings:
        print(f"{reading.image!s:{longest}}  {_shown(reading)}")
    return 0


def _shown(reading: Reading) -> str:
    """A text in quotes; or how many boxes there are, and a line for each: its text, where it has one, and corners."""
    if reading.text is not None:
        return json.dumps(reading.text, ensure_ascii=False)
    boxes = reading.boxes or []
    lines = [f"{len(boxes)} box{'es' if len(boxes) != 1 else ''}"]
    for number, box in enumerate(boxes):
        word = "" if reading.words is None else f"{json.dumps(reading.words[number], ensure_ascii=False)} "
        lines.append("  " + word + " ".join(f"({x:.0f}, {y:.0f})" for x, y in box))
    return "\n".join(lines)
