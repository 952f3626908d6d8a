"""The command line: the same engine without pytest.

Exit status: 0 all is well, 1 a check failed or is undecided, 4 the user must mend something (one line on stderr).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ocr_conformance.errors import UserError

Command = Callable[[argparse.Namespace], int]

_MISTAKE = 4


class _Parser(argparse.ArgumentParser):
    """A mistake in the arguments ends as every other one: one line, exit status 4 (argparse: usage lines, 2)."""

    def error(self, message: str) -> NoReturn:
        self.exit(_MISTAKE, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``ocr-conformance``."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"ocr-conformance: {_in_our_words(str(error))}", file=sys.stderr)
        return _MISTAKE
    except BrokenPipeError:  # `ocr-conformance cache info | head`; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _in_our_words(message: str) -> str:
    """The engine names pytest's options; the command line's have no prefix."""
    message = message.replace("(--ocr-list shows all)", "(`ocr-conformance list` shows all)")
    return message.replace("ocr_model_paths", "--model-path").replace("--ocr-", "--")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ocr-conformance", description=__doc__)
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
    judge.add_argument("--samples", type=int, default=100, metavar="N", help="number of images (100)")
    judge.add_argument("--device", metavar="NAME", help="hold memory against the contract's [device.NAME]")
    judge.add_argument("--json", action="store_true", help="results as JSON")
    _model_paths(judge)
    _cache(judge)
    judge.set_defaults(command=_judge)

    explain = commands.add_parser("explain", help="find the op in which a case's artifact goes wrong")
    explain.add_argument("case", help="model[:variant]/route/mode@toolchain, as in every report")
    explain.add_argument("--all", action="store_true", help="every op in execution order, not the worst only")
    explain.add_argument(
        "--output", type=Path, action="append", default=[], metavar="FILE",
        help="write the whole table (.json, .csv) or a plot of SQNR over depth (.png, .svg); repeatable",
    )  # fmt: skip
    explain.add_argument(
        "--bisect", action="store_true", help="find which layers must stay float for the contract's text agreement"
    )
    explain.add_argument("--agreement", type=_share, metavar="SHARE", help="with --bisect: wanted instead, e.g. 0.98")
    explain.add_argument("--recipe", type=Path, metavar="FILE", help="with --bisect: write the quantizer's recipe")
    _of_a_case(explain)
    explain.set_defaults(command=_explain)

    repro = commands.add_parser("repro", help="write a folder that shows a case's defect without us, to send upstream")
    repro.add_argument("case", help="model[:variant]/route/mode@toolchain, as reports write it")
    repro.add_argument("--output", type=Path, metavar="DIR", help="the folder, not there or empty (repro-CASE)")
    _of_a_case(repro)
    repro.set_defaults(command=_repro)

    search = commands.add_parser("search", help="the smallest picture that an artifact reads otherwise than its source")
    search.add_argument("case", help="model[:variant]/route/mode@toolchain, as reports write it")
    search.add_argument("--examples", type=_count, default=500, metavar="N", help="pictures of each kind (500)")
    search.add_argument("--seed", type=_seed, default=0, metavar="SEED", help="the same one finds the same (0)")
    search.add_argument("--replay", action="store_true", help="judge the counterexamples that were kept again, first")
    search.add_argument("--timeout", type=_count, default=900, metavar="SECONDS", help="wall time of one job (900)")
    search.add_argument("--json", action="store_true", help="the result as JSON")
    _of_a_case(search)
    search.set_defaults(command=_search)

    contract = commands.add_parser("contract", help="a model's contract").add_subparsers(
        required=True, metavar="ACTION"
    )
    update = contract.add_parser("update", help="re-baseline limits from measured values, as a diff")
    update.add_argument("model", help="model, model:variant or glob")
    for name in ("mode", "route", "toolchain", "check"):
        update.add_argument(f"--{name}", action="append", default=[], help=f"only this {name}, or glob (repeatable)")
    update.add_argument("--weights", action="append", default=[], metavar="CHOICE", help="as pytest's --ocr-weights")
    update.add_argument("--images", type=Path, metavar="DIR", help="images to measure on")
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
    prune.add_argument("--unused", type=_days, metavar="DAYS", help="remove what was unused for so long")
    _cache(prune)
    prune.set_defaults(command=_cache_prune)
    return parser


def _of_a_case(parser: argparse.ArgumentParser) -> None:
    """Options that decide what a case is judged on."""
    parser.add_argument("--weights", action="append", default=[], metavar="CHOICE", help="as pytest's --ocr-weights")
    parser.add_argument("--images", type=Path, metavar="DIR", help="images to run")
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="images that quantizers calibrate on")
    _model_paths(parser)
    _cache(parser)


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where artifacts and evidence are kept")


def _model_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-path", type=Path, action="append", default=[], metavar="DIR", help="a folder of models of your own"
    )
    parser.add_argument(
        "--hooks", type=Path, metavar="FILE", help="a file with pytest_ocr_register, e.g. conftest.py (config is None)"
    )


def _count(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)


def _size(text: str) -> int:
    units = {"KB": 2**10, "MB": 2**20, "GB": 2**30}
    try:
        return int(_not_negative(text[:-2]) * units[text[-2:].upper()])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: expected a number and KB, MB or GB, e.g. 2GB") from None


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and at most 1")
    return number


def _days(text: str) -> float:
    try:
        return _not_negative(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days of at least 0") from None


def _not_negative(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


def _registry(options: argparse.Namespace) -> Any:
    """The built-in models, and those of ``--hooks`` and ``--model-path``."""
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    if options.hooks is not None:
        _register(options.hooks, registry)
    for path in options.model_path:
        registry.add_models(path)
    return registry


def _register(path: Path, registry: Any) -> None:
    spec = importlib.util.spec_from_file_location("ocr_conformance_hooks", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"--hooks {path}: expected a Python file that defines pytest_ocr_register")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--hooks {path}: {type(error).__name__}: {error}") from error
    hook = getattr(module, "pytest_ocr_register", None)
    if hook is None:
        raise UserError(f"--hooks {path}: it defines no pytest_ocr_register")
    hook(config=None, registry=registry)


def _cache_folder(options: argparse.Namespace) -> Path:
    from ocr_conformance.conformance import default_cache

    folder: Path = options.cache or default_cache()
    return folder


def _existing_cache(options: argparse.Namespace) -> Path | None:
    """The cache to look into or to prune; ``None`` where the default one was never used.

    Raises:
        UserError: ``--cache`` names a folder that is no cache (`prune` would clear its ``tmp``).
    """
    folder = _cache_folder(options)
    if all((folder / name).is_dir() for name in ("entries", "locks", "runs", "tmp")):
        return folder
    if options.cache is None:
        return None
    raise UserError(f"--cache {folder}: there is no cache of ocr-conformance")


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
    from ocr_conformance.report.record import finite

    settings = Settings(
        models=(options.model,),
        images=options.images,
        samples=options.samples,
        device=options.device,
        cache=_cache_folder(options),
    )
    alphabet = _alphabet(options.alphabet)
    with Engine(settings, _registry(options)) as engine:
        case, results = judge_file(engine, options.file, options.model, mode=options.mode, alphabet=alphabet)
    if options.json:
        found = {"case": str(case), "results": {name: result.to_json() for name, result in results.items()}}
        print(json.dumps(finite(found), indent=2, allow_nan=False))
    else:
        print(f"{options.file} as {case}")
        for name, result in results.items():
            print(f"{name:14} {result.verdict:12} {result.message}")
            for line in result.details:
                print(f"{'':28}{line}")
    return int(any(result.verdict in ("failed", "undecided") for result in results.values()))


def _engine_of_case(options: argparse.Namespace, **more: Any) -> tuple[Any, Any]:
    """An engine for one case, and that case; ``more`` are further settings.

    Raises:
        UserError: it is no case, or none of this machine's.
    """
    from ocr_conformance.cases import Case
    from ocr_conformance.conformance import Engine, Settings

    case = Case.parse(options.case)
    settings = Settings(
        models=(case.model_id,),
        modes=(case.mode,),
        routes=(case.route,),
        toolchains=(case.toolchain,),
        weights=tuple(options.weights),
        images=options.images,
        calibration=options.calibration,
        cache=_cache_folder(options),
        **more,
    )
    engine = Engine(settings, _registry(options))
    found = [each for each in engine.cases if each.variant == case.variant]  # its toolchain may be given as `here`
    if not found and not case.variant and len(engine.cases) == 1:  # a model that is nothing without a variant
        found = engine.cases
    if not found:
        raise UserError(f"there is no case {case}: `ocr-conformance list` shows what can be judged")
    return engine, found[0]


def _explain(options: argparse.Namespace) -> int:
    from ocr_conformance.explanation import bisect, explain
    from ocr_conformance.report import explanation as views

    if not options.bisect and (options.agreement is not None or options.recipe is not None):
        raise UserError("explain: --agreement and --recipe belong to --bisect")
    if options.bisect and (options.output or options.all):
        raise UserError("explain: --output and --all show what explain finds; run it without --bisect")
    for path in options.output:
        views.check_suffix(path)
    engine, case = _engine_of_case(options)
    if options.bisect:
        with engine:
            bisected = bisect(engine, case, agreement=options.agreement)
            if options.recipe is not None:
                views.write_recipe(bisected, options.recipe)
        print(views.bisection(bisected, options.recipe))
        return 0
    with engine:
        found = explain(engine, case)
    print(views.text(found, every=options.all, width=_width()), end="")
    for path in options.output:
        views.write(found, path)
        print(f"wrote {path}")
    return 0


def _repro(options: argparse.Namespace) -> int:
    from ocr_conformance import repro

    if options.output is not None:
        repro.check_free(options.output)
    engine, case = _engine_of_case(options)
    folder = options.output or Path("repro-" + re.sub(r"[^\w.-]+", "-", str(case)))
    with engine:
        repro.write(engine, case, folder)
    print(f"wrote {folder}: python {folder / repro.SCRIPT}")
    return 0


def _search(options: argparse.Namespace) -> int:
    from ocr_conformance.checks import SEARCH
    from ocr_conformance.report.record import finite

    engine, case = _engine_of_case(
        options,
        search=options.examples,
        search_seed=options.seed,
        replay=options.replay,
        timeout=options.timeout,
    )
    with engine:
        engine.plan(case)  # what is wrong with kept counterexamples is the user's to mend
        result = engine.judge(case, SEARCH)
    if options.json:
        print(json.dumps(finite({"case": str(case), "result": result.to_json()}), indent=2, allow_nan=False))
    else:
        print(f"{case}: {result.verdict}: {_in_our_words(result.message)}")
        for line in result.details:
            print(f"  {line}")
    return int(result.verdict in ("failed", "undecided"))


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
        cache=_cache_folder(options),
    )
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

    folder = _existing_cache(options)
    entries = Cache(folder).entries() if folder else []
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
    folder = _existing_cache(options)
    count, freed = Cache(folder).prune(keep_bytes=options.keep, unused_seconds=unused) if folder else (0, 0)
    print(f"removed {count} entries, {freed / 2**20:.1f} MB")
    return 0
