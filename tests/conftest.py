"""What several test files need."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from ocr_conformance import isolation
from ocr_conformance.isolation import JobRequest, Limits, Workplace

# `pytest --ocr-model ...` in the checkout loads this file, too, and does not need the test extra.
if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import settings

    # On a machine that others use too, a slow example says nothing.
    settings.register_profile("project", deadline=None)
    settings.load_profile("project")

if TYPE_CHECKING:
    from tests.repository import Repository

CHECKOUT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: what CI has no time for."""
    parser.addoption(
        "--whole", action="store_true", help="tests/defects and tests/faults at full length, not in CI's short form"
    )


@pytest.fixture(scope="session")
def whole(pytestconfig: pytest.Config) -> bool:
    """Whether suites that have a short and a whole form are to run at full length."""
    return bool(pytestconfig.getoption("whole"))


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A file or folder of ``../shared/data``, which is no part of the project.

    Where it is missing the test is skipped; with ``OCR_REQUIRE_SHARED=1`` (as in `.ci/run`) it fails.
    """

    def find(name: str) -> Path:
        path = CHECKOUT.parent / "shared" / "data" / name
        if path.exists():
            return path
        if os.environ.get("OCR_REQUIRE_SHARED") == "1":
            pytest.fail(f"OCR_REQUIRE_SHARED=1, and there is no {path}")
        pytest.skip(f"no {path}: the test needs data that are no part of the project")

    return find


@pytest.fixture(scope="session")
def warm() -> Iterator[Callable[..., Any]]:
    """Warm parents for `run_job`: one per list of modules to import and environment."""
    parents: dict[Workplace, isolation._WarmParent] = {}

    def parent(preload: tuple[str, ...]) -> isolation._WarmParent:
        kept = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        variables = tuple(sorted({**kept, "CUDA_VISIBLE_DEVICES": "-1"}.items()))
        place = Workplace(sys.executable, (str(CHECKOUT),), variables, preload)
        if place not in parents:
            parents[place] = isolation._WarmParent(place)
        return parents[place]

    yield parent
    for each in parents.values():
        each.close()


_OWN_VARIABLES = ("PATH", "PYTHONPATH", "PYTEST_CURRENT_TEST")


@pytest.fixture
def run_job(request: pytest.FixtureRequest, warm: Callable[..., Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a job function in a child process: ``run_job("package.module:function", params, inputs, out)``.

    Returns its result as the worker writes it, ``{"ok": true, "facts": ...}`` or ``{"ok": false, "type", "message"}``,
    with the ``stage`` it ended in. The frameworks it imports stay out of the process that runs pytest. Those that the
    test's module names in ``PRELOAD`` are imported once for all jobs, as they are in a run: by a parent of the child.
    """
    named = getattr(request.module, "PRELOAD", ())
    preload = tuple(name for name in named if ":" in name or importlib.util.find_spec(name))

    def run(
        function: str,
        params: dict[str, Any] | None = None,
        inputs: dict[str, Path] | None = None,
        out: Path | None = None,
    ) -> dict[str, Any]:
        folder = out or tmp_path / "job"
        folder.mkdir(exist_ok=True)
        for name in (".result.json", ".stderr"):
            (folder / name).unlink(missing_ok=True)
        job = JobRequest(function, params or {}, inputs or {}, folder)
        warm(preload).run(job, Limits(seconds=1800, memory=1 << 40), threading.Event())
        said = (folder / ".stderr").read_text(errors="replace")
        assert (folder / ".result.json").exists(), said
        result: dict[str, Any] = json.loads((folder / ".result.json").read_text())
        return {**result, "stage": (folder / ".stage").read_text(), "stderr": said}

    return run


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder as `source.prepare` leaves it: the 6 images whose outputs tests/data/expected.npz holds."""
    import numpy as np

    folder = tmp_path / "inputs"
    folder.mkdir()
    with np.load(CHECKOUT / "tests" / "data" / "expected.npz") as expected:
        np.savez(folder / "inputs.npz", image=expected["image"])
    return folder


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests that judge built-in models; the default one where ``XDG_CACHE_HOME`` is two above it."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder of its own in the run's
        run = run.parent
    return run / "cache" / "ocr-conformance" / "artifacts"


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright; nothing of it may be missing where everything must be tried."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    missing = "" if chromium else "no Chromium here (Debian: apt-get install chromium)"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed (extra browser)"
    if missing and os.environ.get("OCR_REQUIRE_CHROMIUM"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield opened
        opened.close()


class Server(ThreadingHTTPServer):
    """Serves ``pages`` by path, and notes what was ``asked``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        body = self.server.pages.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is its own."""


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let a server answer meanwhile."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running, serving(running):
        yield running


@pytest.fixture
def downstream(tmp_path: Path) -> Path:
    """A repository that has the plugin installed and judges a model of its own (``tests/downstream``), in a folder."""
    return make_downstream(tmp_path / "downstream")


@pytest.fixture
def repository(downstream: Path) -> Iterator[Repository]:
    """A downstream repository; whatever a broken test left running is ended."""
    from tests.repository import Repository

    made = Repository(downstream)
    yield made
    made.end()


@pytest.fixture(scope="session")
def make_repository() -> Callable[[Path], Path]:
    """Make such a repository where one is to serve several tests."""
    return make_downstream


def make_downstream(folder: Path) -> Path:
    """Copy ``tests/downstream`` and render its images.

    They are rows of gray squares, a square a character, and white boards with such rows on them (3, none and 2).
    """
    shutil.copytree(CHECKOUT / "tests" / "downstream", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, count, seed in (("squares", 6, 0), ("squares-calibration", 3, 1)):
        target = folder / "models" / "reader" / name
        target.mkdir()
        draw = random.Random(seed)
        labels = []
        for number in range(count):
            word = "".join(draw.choices("abcd", k=5))
            row = bytes(round("abcd".index(character) / 4 * 255) for character in word for _ in range(4))
            Image.frombytes("L", (20, 4), row * 4).save(target / f"{number}.png")
            labels.append(f"{number}.png\t{word}\n")
        (target / "labels.tsv").write_text("".join(labels))
    for name, counts, seed in (("boards", (3, 0, 2), 2), ("boards-calibration", (1,), 3)):
        target = folder / "detectors" / "finder" / name
        target.mkdir()
        draw = random.Random(seed)
        for number, count in enumerate(counts):
            board = Image.new("L", (60, 30), 255)
            words = []
            for place in range(count):
                word = "".join(draw.choices("abcd", k=5))
                left, top = 7 + 9 * place, 4 + 9 * place
                row = bytes(round("abcd".index(character) / 4 * 255) for character in word for _ in range(4))
                board.paste(Image.frombytes("L", (20, 4), row * 4), (left, top))
                corners = [[left, top], [left + 20, top], [left + 20, top + 4], [left, top + 4]]
                words.append({"polygon": corners, "text": word})
            board.save(target / f"{number}.png")
            (target / f"{number}.json").write_text(json.dumps({"words": words}))
    return folder
