"""What a block of the documentation is put to: run in a user's folder, validated by the real reader, or compared."""

from __future__ import annotations

import ast
import configparser
import copy
import doctest
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ocr_conformance
from ocr_conformance import contract, truth
from ocr_conformance.contract import tomllib

from .pages import CHECKOUT, Block

PATIENCE = 900
"""Seconds that a block may take."""
MODERN = ("tensorflow", "keras_ocr", "litert_torch", "litert_quantizer")
OTHERS = {"tf215": "OCR_TF215_PYTHON", "onnx2tf": "OCR_ONNX2TF_PYTHON"}
_COMPARE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_DATA = "../shared/"


@dataclass(frozen=True)
class Place:
    """Where blocks run.

    Attributes:
        folder: a user's folder, ``../shared`` beside it where the checkout has it.
        cache: ``XDG_CACHE_HOME``: evidence and created toolchains, shared with tests/conformance.
        copy: a copy of the checkout for what the page does in one (``in: checkout``).
    """

    folder: Path
    cache: Path
    copy: Path

    def of(self, block: Block) -> Path:
        """The block's working directory."""
        where = block.marks.get("in", "")
        return self.copy if where == "checkout" else self.folder / where

    def environment(self, block: Block) -> dict[str, str]:
        """The user's shell: our ``pytest`` first, no pytest around it, the package as the tests see it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TOX_", "COV_"))}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(ocr_conformance.__file__).parents[1]),
            "XDG_CACHE_HOME": str(self.cache),
            "COLUMNS": "120",
            "PYTEST_ADDOPTS": "-p no:hypothesispytest",  # it imports hypothesis at the end of every run
            **dict(each.split("=", 1) for each in shlex.split(block.marks.get("with", ""))),
        }


# --- what there is to do with a block --------------------------------------------------------------------------------


def kind(block: Block) -> str:
    """How a block is tested.

    Raises:
        ValueError: it is not classified, or its marks do not go together.
    """
    if "figure" in block.marks:
        if block.language != "text":
            raise ValueError(f"{block.where}: a figure is a block of `text`, not of {block.language!r}")
        return "figure"
    if "run by" in block.marks:
        return "elsewhere"
    if "quotes" in block.marks:
        return "quotation"
    if "output" in block.marks:
        return "output"
    if block.language in ("sh", "console"):
        return "command"
    if block.language in ("toml", "json", "ini") or "file" in block.marks:
        return "file"
    if block.language == "python":
        return "command"
    raise ValueError(
        f"{block.where}: nobody knows how to test a block of {block.language or 'no language'}: say sh, console, "
        "python, toml, json or ini, or mark it by file, output, quotes, run by or figure (CONTRIBUTING.md)"
    )


def needs(block: Block) -> tuple[str, ...]:
    """What a block that runs cannot do without: toolchains, programs, and ``shared`` where it reads ``../shared``."""
    found = set(block.marks.get("needs", "").split())
    if kind(block) == "command" and _DATA in block.text:
        found.add("shared")
    return tuple(sorted(found))


def missing(need: str) -> str | None:
    """What is not here; ``None`` if it is."""
    if need == "modern":
        absent = [name for name in MODERN if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} not installed: run in tox's `modern`" if absent else None
    if need in OTHERS:
        python = os.environ.get(OTHERS[need], "")
        return None if Path(python).is_file() else f"{OTHERS[need]} names no interpreter"
    if need == "shared":
        return None if (CHECKOUT.parent / "shared").exists() else f"no {CHECKOUT.parent / 'shared'}"
    return None if shutil.which(need) else f"there is no program {need}"


def adopt(need: str, place: Place) -> None:
    """Make another toolchain known to the commands of a page."""
    if need in OTHERS:
        command = [sys.executable, "-m", "ocr_conformance", "toolchain", "create", need]
        environment = {**os.environ, "XDG_CACHE_HOME": str(place.cache)}
        subprocess.run(
            [*command, "--python", os.environ[OTHERS[need]]], check=True, env=environment, capture_output=True
        )


# --- doing it --------------------------------------------------------------------------------------------------------


def give(block: Block, place: Place) -> None:
    """Put what the mark ``given`` names (``NAME = PATH of the checkout``, several by ``;``) into the folder."""
    for each in filter(None, block.marks.get("given", "").split(";")):
        name, _, origin = (part.strip() for part in each.partition("="))
        source, target = CHECKOUT / origin, place.of(block) / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def run(block: Block, place: Place) -> str:
    """Run a block of commands or Python; what it printed.

    Raises:
        AssertionError: it ends otherwise than it should, or prints something else.
    """
    give(block, place)
    if block.language == "console":
        said = ""
        for command, wanted in conversation(block):
            said = _shell(command, block, place)
            compare(wanted, said, f"{block.where}: {command}", block.marks.get("varies"))
        return said
    if block.language == "python":
        script = place.of(block) / f"block_{block.line}.py"
        script.write_text(block.text, encoding="utf-8")
        return _shell(f"python {script.name}", block, place)
    return _shell(block.text, block, place)


def conversation(block: Block) -> list[tuple[str, str]]:
    """The commands of a ``console`` block (``$ ...``, going on after a backslash) and what is shown of each."""
    found: list[tuple[str, str]] = []
    going_on = False
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif not found:
            raise AssertionError(f"{block.where}: a console block begins with `$ `")
        elif going_on:
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        going_on = line.endswith("\\") and not found[-1][1]
    return found


def compare(wanted: str, said: str, where: str, varies: str | None = None) -> None:
    """What is shown is what came; ``...`` stands for anything, and white space for any white space.

    What the regular expression ``varies`` matches is left out on both sides.
    """
    if varies:
        wanted, said = re.sub(varies, "", wanted), re.sub(varies, "", said)
    wanted = re.sub(r"\s*\n\.\.\.\n\s*", "...", wanted)  # a line of it may stand for nothing, too
    if wanted.strip() and not doctest.OutputChecker().check_output(
        wanted.strip() + "\n", said.strip() + "\n", _COMPARE
    ):
        raise AssertionError(f"{where} shows\n{wanted}\nand prints\n{said}")


def _narrowed(text: str, block: Block) -> str:
    """Each command with what the mark ``adding`` says behind it: of options, the last one counts."""
    more = block.marks.get("adding", "")
    lines = [re.fullmatch(r"(?P<command>.*?)(?P<comment>\s+#.*)?", line) for line in text.splitlines()]
    joined = (f"{line['command']} {more}{line['comment'] or ''}" if line and line["command"] else "" for line in lines)
    return "\n".join(joined) if more else text


def _shell(text: str, block: Block, place: Place) -> str:
    text = _narrowed(text, block)
    patience = float(block.marks.get("interrupt", PATIENCE))
    child = subprocess.Popen(
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        ["env", "--default-signal=INT", "bash", "-euo", "pipefail", "-c", text],
        cwd=place.of(block),
        env=place.environment(block),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        if "interrupt" not in block.marks:
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
            raise AssertionError(f"{block.where} did not end in {PATIENCE} s:\n{text}\n{said}") from None
        os.killpg(child.pid, signal.SIGINT)  # as Ctrl-C
        said, _ = child.communicate(timeout=PATIENCE)
    wanted = int(block.marks.get("status", "0"))
    assert child.returncode == wanted, f"{block.where} ended with {child.returncode}, not {wanted}:\n{text}\n{said}"
    return said


def write(block: Block, place: Place) -> None:
    """Validate a block that is a file, or a part of one, and put it where the mark ``file`` says."""
    validate(block, place)
    if "file" in block.marks:
        give(block, place)
        path = place.of(block) / block.marks["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def validate(block: Block, place: Place) -> None:
    """Read a block by what reads it for the user.

    Raises:
        AssertionError, UserError, SyntaxError: it is not what it is said to be.
    """
    name = Path(block.marks.get("file", "")).name
    if block.language == "toml":
        _toml(block)
    elif block.language == "json" and "words" in json.loads(block.text):
        _ground_truth(block, place, "scene.json")
    elif name.startswith("gt_"):
        _ground_truth(block, place, "gt_scene.txt")
    elif block.language == "ini":
        _ini(block)
    elif block.language == "python":
        compile(block.text, block.where, "exec")
    elif "file" not in block.marks:
        raise AssertionError(f"{block.where}: say by the mark `file` which file this {block.language} is")
    elif block.language == "json":
        json.loads(block.text)


def _toml(block: Block) -> None:
    """A contract, the part of one, or the plugin's settings in a pyproject.toml."""
    given = tomllib.loads(re.sub(r'(sha256 = )"\.\.\."', rf'\1"{"0" * 64}"', block.text))
    if "tool" in given:
        _known_settings(given["tool"]["pytest"]["ini_options"], block)
        return
    if "schema" in given:
        if "reading" in given:  # ocr_conformance.registry adds what a file's kind says
            given["model"] = {"framework": "onnx", "adapter": "a.py:A", "routes": ["onnx2tf"], **given["model"]}
            given.setdefault("weights", {"file": {"recipe": "the file"}})
        contract.from_dict(given, block.where)
        return
    # A part is put into a contract that names the routes that it is about.
    whole = copy.deepcopy(
        tomllib.loads((CHECKOUT / "models" / block.marks.get("of", "captcha-ocr") / "contract.toml").read_text())
    )
    kept = {table: whole[table] for table in ("schema", "model", "variants", "weights") if table in whole}
    contract.from_dict(_merged(kept, given), block.where)


def _merged(whole: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    tables = {
        key: _merged(whole[key], value) if isinstance(value, dict) and isinstance(whole.get(key), dict) else value
        for key, value in part.items()
    }
    return {**whole, **tables}


def _ground_truth(block: Block, place: Place, name: str) -> None:
    folder = place.folder / "ground-truth" / str(block.line)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(block.text, encoding="utf-8")
    assert truth.of_image(folder / "scene.png"), f"{block.where}: no words in it"


def _ini(block: Block) -> None:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(block.text)
    for section in parsed.sections():
        if section == "pytest":
            _known_settings(parsed[section], block)


def _known_settings(given: Mapping[str, Any], block: Block) -> None:
    unknown = [name for name in given if name.startswith("ocr_") and name not in settings()]
    assert not unknown, f"{block.where}: there is no setting {', '.join(unknown)}"


# --- what others run, and quotations ---------------------------------------------------------------------------------


def run_elsewhere(block: Block, checkout: Path = CHECKOUT) -> None:
    """What the mark ``run by`` names is there and has each of the block's commands, word for word."""
    path, _, name = block.marks["run by"].partition("::")
    file = checkout / path
    assert file.is_file(), f"{block.where} is run by {path}: there is no such file"
    text = file.read_text(encoding="utf-8")
    if name:
        functions = {each.name: each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef)}
        assert name in functions, f"{block.where} is run by {block.marks['run by']}: there is no such test"
        strings = [each.value for each in ast.walk(functions[name]) if isinstance(each, ast.Constant)]
        text = "\n".join(str(value) for value in strings if value != ast.get_docstring(functions[name], clean=False))
    for line in commands(block):
        assert line in text, f"{block.where}: {block.marks['run by']} does not run `{line}`"


def commands(block: Block) -> list[str]:
    """The lines of a block that are commands, without their comments."""
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in block.text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line]


def quoted(block: Block, checkout: Path = CHECKOUT) -> None:
    """The mark ``quotes`` names a file that has the block's text."""
    file = checkout / block.marks["quotes"]
    assert file.is_file(), f"{block.where} quotes {file.name}: there is no such file"
    assert block.text.strip() in file.read_text(encoding="utf-8"), (
        f"{block.where}: {block.marks['quotes']} says otherwise"
    )


# --- the options there are -------------------------------------------------------------------------------------------


class _Parser:
    """What `ocr_conformance.plugin.pytest_addoption` asks of pytest."""

    def __init__(self) -> None:
        self.options: set[str] = set()
        self.settings: set[str] = set()

    def getgroup(self, *_: Any) -> _Parser:
        return self

    def addoption(self, name: str, **_: Any) -> None:
        self.options.add(name)

    def addini(self, name: str, *_: Any, **__: Any) -> None:
        self.settings.add(name)


def _asked() -> _Parser:
    from ocr_conformance import plugin

    parser = _Parser()
    plugin.pytest_addoption(parser)  # type: ignore[arg-type]
    return parser


def options() -> set[str]:
    """The plugin's options."""
    return _asked().options


def settings() -> set[str]:
    """The plugin's settings in ini files."""
    return _asked().settings
