"""What commands share: options, the types of arguments, and what an engine makes of them."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from ocr_conformance.cases import Case
    from ocr_conformance.conformance import Engine
    from ocr_conformance.registry import Registry
    from ocr_conformance.results import CheckResult

Command = Callable[[argparse.Namespace], int]
"""Runs a command; its exit status."""

NOTHING_JUDGED = 5
"""The exit status of a command that could judge nothing; pytest's where no test was collected."""

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `argparse.ArgumentParser.add_subparsers` returns; no generic class at run time."""


def in_our_words(message: str) -> str:
    """The engine names pytest's options; the command line's have no prefix."""
    message = message.replace("(--ocr-list shows all)", "(`ocr-conformance list` shows all)")
    message = message.replace("ocr_model_paths", "--model-path").replace("--ocr-artifacts", "--output")
    return message.replace("--ocr-", "--")


def width() -> int:
    """Columns of the terminal."""
    import shutil

    return shutil.get_terminal_size().columns


def print_json(data: Any) -> None:
    """Print a JSON document; what is no finite number is null."""
    from ocr_conformance.report.record import finite

    print(json.dumps(finite(data), indent=2, allow_nan=False))


def status_of(results: Iterable[CheckResult]) -> int:
    """The exit status of what was judged: 1 where a result fails or is undecided, 5 where nothing was judged at all."""
    from ocr_conformance.results import JUDGED

    verdicts = {result.verdict for result in results}
    if verdicts & {"failed", "undecided"}:
        return 1
    return 0 if verdicts & set(JUDGED) else NOTHING_JUDGED


# --- options


def command(
    commands: Commands, name: str, run: Command, *, summary: str, about: str = "", status: str = "0 it is done"
) -> argparse.ArgumentParser:
    """Register a command.

    Args:
        summary: a line for the list of commands.
        about: what its own help says beyond it.
        status: its exit statuses but 4, which every command has.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {about}".strip(),
        epilog=f"Exit status: {status}; 4 a mistake of the user's, one line on stderr.",
    )
    parser.set_defaults(command=run)
    return parser


def group(commands: Commands, name: str, *, summary: str) -> Commands:
    """Register a command that has commands of its own."""
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    return parser.add_subparsers(required=True, metavar="ACTION")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The result for a script."""
    parser.add_argument("--json", action="store_true", help="the result as one JSON document, instead of text")


def add_case(parser: argparse.ArgumentParser) -> None:
    """A case, and the options that decide what it is judged on."""
    parser.add_argument("case", help="model[:variant]/route/mode@toolchain, as reports write it")
    add_weights(parser)
    parser.add_argument("--images", type=Path, metavar="DIR", help="images to run")
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="images that quantizers calibrate on")
    add_model_paths(parser)
    add_cache(parser)


def add_output(
    parser: argparse.ArgumentParser,
    summary: str,
    *,
    metavar: str = "FILE",
    repeatable: bool = False,
    required: bool = False,
    default: Path | None = None,
) -> None:
    """What is written: the files or the folder of ``options.output``, which is a list where it is repeatable."""
    names = ("-o", "--output")
    if repeatable:
        text = f"{summary} (repeatable)"
        parser.add_argument(*names, type=Path, metavar=metavar, help=text, action="append", default=[])
    else:
        parser.add_argument(*names, type=Path, metavar=metavar, help=summary, required=required, default=default)


def add_selection(parser: argparse.ArgumentParser, *names: str) -> None:
    """Globs that narrow the cases, an option for each of ``names``; and the weights of their models."""
    for name in names:
        parser.add_argument(f"--{name}", action="append", default=[], help=f"only this {name}, or glob (repeatable)")
    add_weights(parser)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Whose weights a source has."""
    parser.add_argument("--weights", action="append", default=[], metavar="CHOICE", help="as pytest's --ocr-weights")


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Where evidence is kept."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where artifacts and evidence are kept")


def add_model_paths(parser: argparse.ArgumentParser) -> None:
    """Models that are not built in."""
    parser.add_argument(
        "--model-path", type=Path, action="append", default=[], metavar="DIR", help="a folder of models of your own"
    )
    parser.add_argument(
        "--hooks", type=Path, metavar="FILE", help="a file with pytest_ocr_register, e.g. conftest.py (config is None)"
    )


# --- types


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)


def size(text: str) -> int:
    """Bytes, of e.g. ``2GB``; a unit is 1024 of the one before."""
    units = {"KB": 2**10, "MB": 2**20, "GB": 2**30}
    try:
        return int(_not_negative(text[:-2]) * units[text[-2:].upper()])
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: expected a number and KB, MB or GB, e.g. 2GB") from None


def share(text: str) -> float:
    """Above 0 and at most 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and at most 1")
    return number


def days(text: str) -> float:
    """A number of at least 0."""
    try:
        return _not_negative(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days of at least 0") from None


def _not_negative(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


# --- engine


def registry_of(options: argparse.Namespace) -> Registry:
    """The built-in models, and those of ``--hooks`` and ``--model-path``."""
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    if options.hooks is not None:
        _register(options.hooks, registry)
    for path in options.model_path:
        registry.add_models(path)
    return registry


def _register(path: Path, registry: Registry) -> None:
    spec = importlib.util.spec_from_file_location("ocr_conformance_hooks", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"--hooks {path}: expected a Python file that defines pytest_ocr_register")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--hooks {path}: {_line(error)}") from error
    hook = getattr(module, "pytest_ocr_register", None)
    if hook is None:
        raise UserError(f"--hooks {path}: it defines no pytest_ocr_register")
    given = {"config": None, "registry": registry}
    try:
        taken = inspect.signature(hook).parameters  # as pluggy: a hook may take fewer arguments
        hook(**{name: value for name, value in given.items() if name in taken})
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"--hooks {path}: pytest_ocr_register, called with config=None, fails: {_line(error)}"
        ) from error


def _line(error: Exception) -> str:
    """An exception of somebody else's code, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def cache_folder(options: argparse.Namespace) -> Path:
    """``--cache``, or the user's."""
    from ocr_conformance.conformance import default_cache

    folder: Path = options.cache or default_cache()
    return folder


def existing_cache(options: argparse.Namespace) -> Path | None:
    """The cache to look into or to prune; ``None`` where the default one was never used.

    Raises:
        UserError: ``--cache`` names a folder that is no cache (`prune` would clear its ``tmp``).
    """
    folder = cache_folder(options)
    if all((folder / name).is_dir() for name in ("entries", "locks", "runs", "tmp")):
        return folder
    if options.cache is None:
        return None
    raise UserError(f"--cache {folder}: there is no cache of ocr-conformance")


def engine_of_case(options: argparse.Namespace, **more: Any) -> tuple[Engine, Case]:
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
        cache=cache_folder(options),
        **more,
    )
    engine = Engine(settings, registry_of(options))
    found = [each for each in engine.cases if each.variant == case.variant]  # its toolchain may be given as `here`
    if not found and not case.variant and len(engine.cases) == 1:  # a model that is nothing without a variant
        found = engine.cases
    if not found:
        raise UserError(f"there is no case {case}: `ocr-conformance list` shows what can be judged")
    return engine, found[0]
