"""`examples/third_party`, a repository of somebody else's: small, and green against what the wheel installs."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance.registry import Registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party"
ADAPTERS = sorted(EXAMPLE.glob("ocr_models/*/model.py"))
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def code_lines(path: Path) -> int:
    """Lines of a Python file with code on them: no comments, no docstrings, nothing empty."""
    source = path.read_text(encoding="utf-8")
    documented = {
        number
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return len({token.start[0] for token in tokens if token.type not in _LAYOUT} - documented)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda path: path.parent.name)
def test_a_recognizer_takes_30_lines_of_adapter(adapter: Path) -> None:
    assert 0 < code_lines(adapter) <= 30


def test_there_is_one_of_each_framework() -> None:
    registry = Registry()
    registry.add_models(EXAMPLE / "ocr_models")
    contracts = {name: entry.contract for name, entry in registry.models.items()}
    assert {contract.model.framework for contract in contracts.values()} == {"keras", "torch"}
    assert len(contracts) == len(ADAPTERS) == 2
    assert all(contract.measured is not None for contract in contracts.values())
    assert any(contract.unsupported for contract in contracts.values())
    assert all("trained" in name for contract in contracts.values() for name in contract.weights)


def test_its_test_module_has_three_lines() -> None:
    (module,) = (EXAMPLE / "tests").glob("*.py")
    assert len(module.read_text(encoding="utf-8").splitlines()) == 3


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The example in a folder of its own, outside of our checkout."""
    return shutil.copytree(EXAMPLE, tmp_path / "repository", ignore=shutil.ignore_patterns("__pycache__"))


WHERE = """
import json, sys, ocr_conformance
from ocr_conformance import resources
print(json.dumps([ocr_conformance.__file__, str(resources.folder("models")), sys.path]))
"""


def test_it_is_green_against_the_wheel(repository: Path, tmp_path: Path) -> None:
    """Keras and PyTorch are converted for real; `tox -e third-party` installs the wheel and nothing else of ours."""
    missing = [name for name in ("keras", "litert_torch") if importlib.util.find_spec(name) is None]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    where = subprocess.check_output([sys.executable, "-c", WHERE], cwd=repository, text=True, env=env)
    package, models, path = json.loads(where)
    installed = Path(package).parents[1]
    if missing or installed.name != "site-packages":
        reason = f"{', '.join(missing)} missing" if missing else f"{package} is no installed wheel"
        if os.environ.get("OCR_REQUIRE_WHEEL") == "1":
            pytest.fail(f"OCR_REQUIRE_WHEEL=1, and {reason}")
        pytest.skip(f"{reason}: `tox -e third-party` has both")
    assert Path(models).is_relative_to(installed / "ocr_conformance" / "_data")
    assert not [place for place in path if Path(place or ".").resolve() == EXAMPLE.parents[1]]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--ocr-cache=cache", "--ocr-report=run.json"],
        cwd=repository,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record: dict[str, Any] = json.loads((repository / "run.json").read_text())
    verdicts = {case: known["verdict"] for case, known in record["cases"].items()}
    assert verdicts == {
        "meter-keras/tf-lite/float32@modern": "passed",
        "meter-keras/tf-lite/dynamic-range@modern": "passed",
        "meter-keras/tf-lite/int8@modern": "unsupported",
        "meter-torch/litert-torch/float32@modern": "passed",
        "meter-torch/litert-torch/dynamic-range@modern": "passed",
        "meter-torch/litert-torch/int8@modern": "passed",
    }
    assert {model["weights"]["name"] for model in record["runs"][0]["models"].values()} == {"briefly-trained"}
    checks = {case: known["checks"] for case, known in record["cases"].items()}
    assert "SIGSEGV" in checks["meter-keras/tf-lite/int8@modern"]["conversion"]["message"]
    assert checks["meter-keras/tf-lite/float32@modern"]["twin"]["verdict"] == "passed"
