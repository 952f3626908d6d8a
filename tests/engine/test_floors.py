"""What imports what: a plugin that is installed everywhere must cost nothing where it is not used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ocr_conformance

from .conftest import CHECKOUT, PATIENCE

PACKAGE = Path(ocr_conformance.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)
HEAVY = {
    "numpy", "scipy", "pydantic", "rich", "rapidfuzz", "PIL", "psutil", "filelock", "requests", "platformdirs",
    "tomlkit",
    "tensorflow", "keras", "tf_keras", "torch", "onnx", "ai_edge_litert", "jax", "hypothesis", "jinja2", "matplotlib",
}  # fmt: skip
FRAMEWORKS = {
    "tensorflow",
    "keras",
    "tf_keras",
    "torch",
    "onnx",
    "ai_edge_litert",
    "litert_quantizer",
    "jax",
    "keras_ocr",
}
WORKER = (
    "cases.py", "errors.py", "job.py", "model.py", "polygons.py", "worker.py", "convert", "diagnose", "inspect",
    "runtime",
)  # fmt: skip


def name(path: Path) -> str:
    """A module's path below the package."""
    return path.relative_to(PACKAGE).as_posix()


def is_typing(node: ast.stmt) -> bool:
    """Whether this is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Names of the modules that a file imports, at its top level or anywhere; not those for type checkers."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{path}: imports are absolute here"
            yield node.module
            if node.module == "ocr_conformance":
                yield from (f"ocr_conformance.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if not (isinstance(child, ast.stmt) and is_typing(child)) and (everywhere or not inside):
                pending.append(child)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_top_floor_imports_pytest(path: Path) -> None:
    if name(path) in ("plugin.py", "hookspec.py") or name(path).startswith("suite/"):
        return
    roots = {module.partition(".")[0] for module in imports(path, everywhere=True)}
    assert not roots & {"pytest", "_pytest"}
    assert not {"ocr_conformance.plugin", "ocr_conformance.hookspec"} & set(imports(path, everywhere=True))


@pytest.mark.parametrize("path", [path for path in MODULES if name(path).partition("/")[0] in WORKER], ids=name)
def test_what_a_job_may_see_imports_the_standard_library_and_itself(path: Path) -> None:
    for module in imports(path, everywhere=False):
        root, _, rest = module.partition(".")
        if root == "ocr_conformance":
            part = rest.partition(".")[0]
            assert not part or part in {each.removesuffix(".py") for each in WORKER}, module
        else:
            assert root in sys.stdlib_module_names, module
    for module in imports(path, everywhere=True):
        root, _, rest = module.partition(".")
        part = rest.partition(".")[0]
        assert root != "ocr_conformance" or not part or part in {each.removesuffix(".py") for each in WORKER}, module


def test_what_a_job_may_see_is_what_the_engine_stages() -> None:
    from ocr_conformance import conformance

    assert set(conformance._WORKER_PARTS) == {"__init__.py", *WORKER}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if name(path).partition("/")[0] not in ("convert", "diagnose", "inspect", "runtime")],
    ids=name,
)
def test_the_process_that_judges_never_imports_a_framework(path: Path) -> None:
    assert not {module.partition(".")[0] for module in imports(path, everywhere=True)} & FRAMEWORKS


def python(*arguments: str, cwd: Path) -> str:
    """Run a Python that sees this checkout and no other plugins; its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return done.stdout


def test_importing_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import ocr_conformance.plugin, json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(python("-c", code, cwd=tmp_path))
    assert not {module.partition(".")[0] for module in loaded} & HEAVY
    assert [module for module in loaded if module.startswith("ocr_conformance")] == [
        "ocr_conformance",
        "ocr_conformance.plugin",
    ]


def test_a_run_that_judges_nothing_loads_nothing_and_collects_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import json, sys\n"
        "def pytest_unconfigure():\n"
        "    print('\\nLOADED', json.dumps(sorted(sys.modules)), file=sys.__stdout__)\n"
    )
    run = ("-m", "pytest", "-p", "ocr_conformance.plugin", "-p", "no:cacheprovider", "-v")
    out = python(*run, cwd=tmp_path)
    assert "collected 0 items" in out and "ocr" not in out.partition("collected")[2].partition("LOADED")[0]
    loaded = json.loads(out.partition("LOADED")[2])
    assert not {module.partition(".")[0] for module in loaded} & HEAVY
    assert {module for module in loaded if module.startswith("ocr_conformance")} == {
        "ocr_conformance",
        "ocr_conformance.plugin",
        "ocr_conformance.hookspec",
    }
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    assert "1 passed" in python(*run, cwd=tmp_path)
