"""Pages that list things list all of them, and nothing else: keys of a contract, values of checks, routes, modes."""

from __future__ import annotations

import ast
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocr_conformance import checks, contract, toolchain
from ocr_conformance.cases import MODES
from ocr_conformance.convert import ROUTES

from .pages import CHECKOUT, tokens

CHECKS = Path(checks.__file__).parent
SECTIONS = {
    "The file": contract.Contract,
    "[model]": contract.Description,
    "[variants.NAME]": contract.Variant,
    "[weights.NAME]": contract.WeightsEntry,
    "[measured]": contract.Measured,
    "Selectors": contract._Selected,
    "[[promise]]": contract.Promise,
    **contract.LIMIT_TABLES,
    "[[unsupported]]": contract.Unsupported,
    "value": contract.ClaimValue,
    "[device.NAME]": contract.Device,
    "ceiling": contract.Ceiling,
    "[reading]": contract.Reading,
}


def listed(page: str) -> dict[str, set[str]]:
    """What the first column of the tables under each heading names in code."""
    found: dict[str, set[str]] = {}
    parsed = tokens((CHECKOUT / page).read_text(encoding="utf-8"))
    section, column = "", 0
    for opening, inside in itertools.pairwise(parsed):
        if opening.type == "heading_open":
            section = inside.content.replace("`", "").partition(":")[0]
            assert section not in found, f"{page} has two headings {section}"
            found[section] = set()
        column = 0 if opening.type == "tr_open" else column + (opening.type == "td_open")
        if opening.type == "td_open" and column == 1:
            names = {child.content for child in inside.children or () if child.type == "code_inline"}
            assert not names & found[section], f"{page}, {section}: {names & found[section]} is there twice"
            found[section] |= names
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_the_contract_page_has_every_key(section: str) -> None:
    shape = SECTIONS[section]
    keys = {field.alias or name for name, field in shape.model_fields.items()}
    if shape is not contract._Selected and issubclass(shape, contract._Selected):
        keys -= set(contract._Selected.model_fields)
    if shape is contract.Promise:
        keys -= set(contract.LIMIT_TABLES)  # a section each
    assert listed("docs/contract.md")[section] == keys


# --- metrics ---------------------------------------------------------------------------------------------------------


def written() -> dict[str, set[str]]:
    """Names of values that the checks' sources spell out, by check."""
    found: dict[str, set[str]] = {}
    for path in CHECKS.glob("[a-z]*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Value":
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    found.setdefault(path.stem, set()).add(str(name.value))
    return found


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, make_repository: Callable[[Path], Path]) -> dict[str, set[str]]:
    """Names of values that checks give of the smallest models, by check: a recognizer, detectors and a pipeline."""
    folder = make_repository(tmp_path_factory.mktemp("metrics") / "repository")
    contract_of = folder / "models" / "reader" / "contract.toml"
    contract_of.write_text(
        contract_of.read_text() + "[[device.phone.ceiling]]\nlatency_ms = 1e6\nmemory_bytes = 10_000_000_000\n"
    )
    values: dict[str, set[str]] = {}
    for more in ([], ["--ocr-device=phone", "--ocr-model=reader"]):
        record = folder / "run.json"
        models = more or [f"--ocr-model={name}" for name in ("reader", "finder", "seeker", "pipeline:finder+reader")]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-o",
            "ocr_model_paths=models detectors",
        ]
        modes = ("--ocr-mode=float32", "--ocr-mode=full-int8", f"--ocr-cache={folder / 'cache'}", "--ocr-search=4")
        done = subprocess.run(
            [*command, *models, *modes, "--ocr-no-explain", f"--ocr-report={record}"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert record.exists(), done.stdout + done.stderr
        for case in json.loads(record.read_text())["cases"].values():
            for check, result in case["checks"].items():
                values.setdefault(check, set()).update(each["name"] for each in result["values"])
    return values


def _plain(names: set[str]) -> set[str]:
    """Without the part of a pipeline that a value is of, and the device by its placeholder."""
    return {re.sub("^(detector|recognizer)_", "", re.sub(r" on \w+$", " on NAME", name)) for name in names}


def test_the_metrics_page_has_every_value_that_a_check_gives(given: dict[str, set[str]]) -> None:
    page = listed("docs/metrics.md")
    code = written()
    assert set(given) >= {name for name in checks.CHECKS if name not in ("signature",)}
    for check in checks.CHECKS:
        known = page.get(check, set())
        shown = _plain(given.get(check, set())) | code.get(check, set())
        limited = set(contract.LIMIT_TABLES[check].model_fields) if check in contract.LIMIT_TABLES else set()
        assert shown - known == set(), f"docs/metrics.md does not say what {check} means by these"
        assert known - shown - limited == set(), f"docs/metrics.md has values that {check} does not give"


# --- routes, modes, toolchains ---------------------------------------------------------------------------------------


def test_the_routes_page_has_every_route_mode_and_toolchain() -> None:
    page = listed("docs/routes-and-toolchains.md")
    assert page["Routes"] == set(ROUTES)
    assert page["Modes"] == set(MODES)
    assert page["Toolchains"] == {*_locks(), "here"}


def _locks() -> Iterator[str]:
    yield from (path.stem for path in Path(toolchain.__file__).with_name("toolchains").glob("*.lock"))


def test_the_readme_has_every_check_and_option() -> None:
    from . import running

    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in checks.CHECKS if f"`{name}`" not in text]
    missing += [option for option in running.options() if option not in text]
    assert not missing


def test_the_citation_is_of_this_version() -> None:
    project = contract.tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {project['version']}" in lines
    assert f"license: {project['license']}" in lines
    assert (CHECKOUT / project["license-files"][0]).read_text(encoding="utf-8").lstrip().startswith("Apache License")
