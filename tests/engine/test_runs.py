"""Whole runs of pytest in a downstream repository, repeated after a change (tests/faults: interrupted, killed)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_conformance.cache import Cache
from tests.repository import QUICK, Repository

from .conftest import CHECKOUT, PATIENCE


def made(repository: Repository) -> dict[str, float]:
    """When each piece of evidence was made."""
    return {info.title: info.created for info in Cache(repository.cache).entries()}


def test_what_a_change_makes_anew(repository: Repository) -> None:
    def conversions() -> int:
        repository.run(*QUICK)
        return sum(info.title.startswith("pack(") for info in Cache(repository.cache).entries())

    def append(path: Path, text: str) -> None:
        path.write_text(path.read_text() + text)

    assert conversions() == 1
    append(repository.model, "\n# changed\n")
    assert conversions() == 2, "the adapter's code is part of what was converted"
    append(repository.root / "hops.py", "\n# changed\n")
    assert conversions() == 3, "and so is the converter's"
    append(repository.contract, "\n[[promise]]\ntext = { agreement = 0.9 }\n")
    assert conversions() == 3, "a promise is judged, not converted"
    images = repository.root / "models" / "reader" / "squares"
    (images / "new.png").write_bytes((images / "0.png").read_bytes())
    assert conversions() == 3, "an image is read, not converted"
    assert sum(info.title.startswith("run pack") for info in Cache(repository.cache).entries()) == 4


def test_max_age_0_looks_afresh(repository: Repository) -> None:
    repository.run(*QUICK)
    before = made(repository)
    assert "nothing converted or run" in repository.run(*QUICK)
    assert made(repository) == before
    repository.run(*QUICK, "--ocr-max-age=0")
    after = made(repository)
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)


FUNCTION_API = """
import importlib.util, json, sys
from pathlib import Path
from ocr_conformance import check_conformance
from ocr_conformance.convert import Route
from ocr_conformance.registry import Registry
spec = importlib.util.spec_from_file_location("downstream", "conftest.py")
downstream = importlib.util.module_from_spec(spec)
spec.loader.exec_module(downstream)
registry = Registry.built_in()
registry.add_models(Path("models"))
downstream.pytest_ocr_register(None, registry)
report = check_conformance(
    sys.argv[1], registry=registry, modes=("float32", "int8"), checks=("conversion", "text"), cache=Path("..") / "cache"
)
frameworks = [n for n in ("tensorflow", "keras", "tf_keras", "torch", "onnx", "ai_edge_litert") if n in sys.modules]
print(json.dumps({
    "passed": report.passed,
    "pytest": "pytest" in sys.modules,
    "frameworks": frameworks,
    "results": {
        case: {name: [r.verdict, r.message, {v.name: v.measured for v in r.values}] for name, r in by_check.items()}
        for case, by_check in report.results.items()
    },
}))
"""


@pytest.mark.parametrize(("model", "passed"), [("reader", True), ("reader:faulty", False)])
def test_the_function_api_needs_no_pytest(repository: Repository, model: str, passed: bool) -> None:
    """A relative folder for the cache and for the models: jobs have working folders of their own."""
    (repository.root / "hops.py").write_text(
        (repository.root / "hops.py").read_text().replace("hoard = []", 'raise MemoryError("hoarded")')
    )
    done = subprocess.run(
        [sys.executable, "-c", FUNCTION_API, model],
        cwd=repository.root,
        env={**repository.environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["pytest"] is False
    assert (found["passed"], found["pytest"], found["frameworks"]) == (passed, False, [])
    by_mode = {case.partition("@")[0].rpartition("/")[2]: checks for case, checks in found["results"].items()}
    assert set(by_mode) == {"float32", "int8"}
    assert set(by_mode["float32"]) == {"conversion", "text"}
    assert by_mode["float32"]["text"][0] == "passed"
    assert by_mode["float32"]["text"][2]["agreement"] == 1.0
    assert by_mode["int8"]["text"][0] == ("passed" if passed else "not-run")
    assert by_mode["int8"]["conversion"][0] == ("passed" if passed else "failed")
