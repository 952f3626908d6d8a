"""The command line: the same engine without pytest.

Exit status: 0 all is well, 1 a check failed or is undecided, 4 the user must mend something (one line on stderr).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ocr_conformance.errors import UserError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``ocr-conformance``."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except UserError as error:
        print(f"ocr-conformance: {error}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ocr-conformance", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listed = commands.add_parser("list", help="models, routes, modes, checks and toolchains")
    _model_paths(listed)
    listed.set_defaults(command=_list)

    judge = commands.add_parser("judge", help="judge a .tflite file that somebody else made")
    judge.add_argument("file", type=Path)
    judge.add_argument("--model", required=True, help="whose preprocessing and decoding apply: model or model:variant")
    judge.add_argument("--mode", help="the quantization mode that the file is said to have")
    judge.add_argument("--alphabet", help="its classes in order, or a .json file {index: character}")
    judge.add_argument("--images", type=Path, metavar="DIR", help="images to judge on")
    judge.add_argument("--samples", type=int, default=64, metavar="N", help="number of images (64)")
    judge.add_argument("--device", metavar="NAME", help="hold memory against the contract's [device.NAME]")
    judge.add_argument("--json", action="store_true", help="results as JSON")
    _model_paths(judge)
    _cache(judge)
    judge.set_defaults(command=_judge)

    contract = commands.add_parser("contract", help="a model's contract").add_subparsers(
        required=True, metavar="ACTION"
    )
    update = contract.add_parser("update", help="re-baseline limits from measured values, as a diff")
    update.add_argument("model", help="model, model:variant or glob")
    update.add_argument("--check", action="append", default=[], help="only these checks' limits (repeatable)")
    update.add_argument("--because", help="why limits may be loosened; goes into the contract")
    update.add_argument("--write", action="store_true", help="change the file (without: only show the diff)")
    _model_paths(update)
    _cache(update)
    update.set_defaults(command=_contract_update)

    chains = commands.add_parser("toolchain", help="environments that run hops").add_subparsers(
        required=True, metavar="ACTION"
    )
    chains.add_parser("list", help="what is here, what is missing").set_defaults(command=_toolchain_list)
    create = chains.add_parser("create", help="build one from its lock, or adopt an environment that satisfies it")
    create.add_argument("name")
    create.add_argument("--python", metavar="PATH", help="adopt the environment of this interpreter")
    create.set_defaults(command=_toolchain_create)
    remove = chains.add_parser("remove", help="delete a created one")
    remove.add_argument("name")
    remove.set_defaults(command=_toolchain_remove)

    cache = commands.add_parser("cache", help="artifacts and evidence").add_subparsers(required=True, metavar="ACTION")
    info = cache.add_parser("info", help="what it holds")
    _cache(info)
    info.set_defaults(command=_cache_info)
    prune = cache.add_parser("prune", help="remove what was long unused and what killed runs left")
    prune.add_argument(
        "--keep", type=_size, metavar="SIZE", help="keep at most so much, e.g. 2GB; the longest unused goes"
    )
    prune.add_argument("--unused", type=float, metavar="DAYS", help="remove what was unused for so long")
    _cache(prune)
    prune.set_defaults(command=_cache_prune)
    return parser


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where artifacts and evidence are kept")


def _model_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-path", type=Path, action="append", default=[], metavar="DIR", help="a folder of models of your own"
    )


def _size(text: str) -> int:
    units = {"KB": 2**10, "MB": 2**20, "GB": 2**30}
    unit = text[-2:].upper()
    try:
        return int(float(text[:-2]) * units[unit])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: expected a number and KB, MB or GB, e.g. 2GB") from None


def _registry(options: argparse.Namespace) -> Any:
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    for path in options.model_path:
        registry.add_models(path)
    return registry


def _cache_folder(options: argparse.Namespace) -> Path:
    from ocr_conformance.conformance import default_cache

    return options.cache or default_cache()


def _list(options: argparse.Namespace) -> int:
    from ocr_conformance.report import listing

    print(listing.render(_registry(options), width=_width()), end="")
    return 0


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


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


def _judge(options: argparse.Namespace) -> int:
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.foreign import judge_file

    settings = Settings(
        models=(options.model,),
        images=options.images,
        samples=options.samples,
        device=options.device,
        cache=_cache_folder(options),
    )
    with Engine(settings, _registry(options)) as engine:
        engine.registry.variants((options.model,))
        case, results = judge_file(
            engine, options.file, options.model, mode=options.mode, alphabet=_alphabet(options.alphabet)
        )
    if options.json:
        print(json.dumps({"case": str(case), "results": {n: r.to_json() for n, r in results.items()}}, indent=2))
    else:
        print(f"{options.file} as {case}")
        for name, result in results.items():
            print(f"{name:14} {result.verdict:12} {result.message}")
            for line in result.details:
                print(f"{'':28}{line}")
    return int(any(result.verdict in ("failed", "undecided") for result in results.values()))


def _contract_update(options: argparse.Namespace) -> int:
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.rebaseline import update_from

    settings = Settings(models=(options.model,), checks=tuple(options.check), cache=_cache_folder(options))
    with Engine(settings, _registry(options)) as engine:
        diffs = update_from(engine, because=options.because, write=options.write)
    print("\n".join(diffs) if diffs else "nothing to change")
    return 0


def _toolchain_list(_: argparse.Namespace) -> int:
    from ocr_conformance import toolchain
    from ocr_conformance.report.record import frameworks

    for chain in toolchain.available():
        state = f"missing: {chain.how}" if chain.missing else ("here" if chain.is_here else chain.python)
        shown = ", ".join(f"{name} {version}" for name, version in frameworks(chain.versions).items())
        print(f"{chain.name:10} {state}\n{'':10} {shown}")
    return 0


def _toolchain_create(options: argparse.Namespace) -> int:
    from ocr_conformance import toolchain

    chain = toolchain.create(options.name, python=options.python, progress=lambda line: print(line, flush=True))
    print(f"toolchain {chain.name}: {chain.python}")
    return 0


def _toolchain_remove(options: argparse.Namespace) -> int:
    from ocr_conformance import toolchain

    removed = toolchain.remove(options.name)
    print("\n".join(f"removed {path}" for path in removed) or f"there is no created toolchain {options.name}")
    return 0


def _cache_info(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    entries = Cache(_cache_folder(options)).entries()
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{entry.size / 2**20:9.1f} MB  used {used}  {entry.title}")
    print(f"{len(entries)} entries, {sum(entry.size for entry in entries) / 2**20:.1f} MB in {_cache_folder(options)}")
    return 0


def _cache_prune(options: argparse.Namespace) -> int:
    from ocr_conformance.cache import Cache

    if options.keep is None and options.unused is None:
        raise UserError("cache prune: say what may stay, --keep SIZE (e.g. 2GB) or --unused DAYS")
    unused = None if options.unused is None else options.unused * 86400
    count, freed = Cache(_cache_folder(options)).prune(keep_bytes=options.keep, unused_seconds=unused)
    print(f"removed {count} entries, {freed / 2**20:.1f} MB")
    return 0
