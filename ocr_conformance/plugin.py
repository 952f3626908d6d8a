"""The pytest plugin: options, collection, verdicts as outcomes, header and summary.

Importing this module imports pytest and the standard library only; the rest is loaded when a run judges something.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

if TYPE_CHECKING:
    from ocr_conformance.cases import Case
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.report.difference import Change
    from ocr_conformance.results import CheckResult
    from ocr_conformance.stopping import Stopping

_SUITE = "ocr_conformance.suite"
_NODE = "ocr"
"""Node id of the built-in suite: ``ocr::test_conformance[keras-ocr/tf-lite/int8@modern-text]``."""

_KEY = pytest.StashKey["Conformance"]()
_USAGE = pytest.StashKey[str]()
_PROGRESS_SECONDS = 20.0


# --- options ---------------------------------------------------------------------------------------------------------

_LISTS = (
    ("model", "MODEL", "judge this model, model:variant or glob (repeatable); with no paths, only conformance runs"),
    ("mode", "MODE", "quantization mode or glob (repeatable): float32 float16 dynamic-range int8 full-int8 int16x8"),
    ("route", "ROUTE", "route or glob (repeatable)"),
    ("toolchain", "NAME", "toolchain or glob (repeatable); 'here' is the environment pytest runs in"),
    ("check", "CHECK", "check or glob (repeatable)"),
    ("weights", "CHOICE", "name of weights in the contract, or a file; MODEL=CHOICE for one model (repeatable)"),
)
_VALUES = (
    ("device", "NAME", "hold absolute latency and memory against the contract's [device.NAME]"),
    ("max-age", "DAYS", "make evidence older than this anew (0: all of it)"),
    ("images", "DIR", "images to judge on, labelled by DIR/labels.tsv or by their names"),
    ("calibration", "DIR", "images that quantizers calibrate on"),
    ("samples", "N", "number of images judged (100)"),
    ("threads", "N", "interpreter threads (1)"),
    ("cache", "DIR", "where artifacts and evidence are kept"),
    ("timeout", "SECONDS", "wall time of one job (900)"),
    ("memory", "MB", "resident memory of one job (9216)"),
    ("search", "N", "search N drawn pictures, and N steered ones, for the smallest that is read differently"),
    ("search-seed", "SEED", "seed of the search (0): the same one finds the same"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define ``--ocr-*`` and their ini twins (``ocr_*``)."""
    group = parser.getgroup("ocr", "OCR conformance (pytest-ocr-conformance)")
    for name, metavar, text in _LISTS:
        group.addoption(f"--ocr-{name}", action="append", metavar=metavar, help=text)
        parser.addini(f"ocr_{name}", text, type="args", default=[])
    for name, metavar, text in _VALUES:
        group.addoption(f"--ocr-{name}", metavar=metavar, help=text)
        parser.addini(f"ocr_{name.replace('-', '_')}", text)
    group.addoption("--ocr-offline", action="store_true", help="never download")
    group.addoption("--ocr-no-cache", action="store_true", help="keep nothing: a temporary cache for this run")
    group.addoption(
        "--ocr-no-explain", action="store_true", help="do not look for the op that did it when outputs or texts differ"
    )
    group.addoption(
        "--ocr-replay", action="store_true", help="judge the counterexamples that searches kept again, first"
    )
    group.addoption("--ocr-artifacts", metavar="DIR", help="write the .tflite files and their manifests here")
    group.addoption(
        "--ocr-pictures",
        metavar="DIR",
        help="draw what detectors and pipelines find, source and converted side by side",
    )
    group.addoption(
        "--ocr-report", action="append", metavar="FILE", help="write a report: .json, .html or .md (repeatable)"
    )
    group.addoption(
        "--ocr-baseline", metavar="FILE", help="an earlier run's .json: say what changed since, beyond noise"
    )
    group.addoption(
        "--ocr-github-summary", action="store_true", help="add the report to the summary of a step of GitHub Actions"
    )
    group.addoption(
        "--ocr-list", action="store_true", help="show models, routes, modes, checks and toolchains, and exit"
    )
    parser.addini("ocr_offline", "never download", type="bool", default=False)
    parser.addini(
        "ocr_model_paths", "folders of models of this repository (each model a folder)", type="paths", default=[]
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register `ocr_conformance.hookspec`."""
    from ocr_conformance import hookspec

    pluginmanager.add_hookspecs(hookspec)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with ``--ocr-model`` and no paths, leave only conformance to collect."""
    config.addinivalue_line("markers", "ocr(model, check): one conformance check of one case of an OCR model")
    if config.getoption("dist", "no") != "no" and not _is_worker(config):
        config.pluginmanager.register(_Listener(config), "ocr_conformance.listener")
        if config.getini("ocr_model_paths"):
            Conformance(config).close()  # a usage error in a worker would be an internal error of xdist's
    if not (config.getoption("ocr_model") or config.getoption("ocr_list") or any(map(_is_node, config.args))):
        return
    _active(config)
    no_paths = config.args_source is not pytest.Config.ArgsSource.ARGS
    config.args[:] = [] if no_paths else [text for text in config.args if not _is_node(text)]


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--ocr-list`` shows and exits."""
    if not config.getoption("ocr_list"):
        return None
    from ocr_conformance.errors import UserError
    from ocr_conformance.report import listing

    config._do_configure()
    try:
        conformance = config.stash[_KEY]
        try:
            print(listing.render(conformance.registry, width=shutil.get_terminal_size().columns), end="")
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        return 0
    finally:
        config._ensure_unconfigure()


def _is_node(argument: str) -> bool:
    """Whether an argument is a node id of the built-in suite (pytest may show it relative, as ``../ocr::...``)."""
    path, colons, _ = argument.partition("::")
    return bool(colons) and Path(path).name == _NODE and not Path(path).is_file()


# --- collection ------------------------------------------------------------------------------------------------------


class _Suite(pytest.Module):
    """The built-in suite as a module with a node id of its own: no site-packages path in it."""

    def _getobj(self) -> Any:
        return importlib.import_module(_SUITE)


@pytest.fixture
def ocr_judge(request: pytest.FixtureRequest) -> Callable[[Case, str], None]:
    """Judge a case by a check, and end the test as the verdict says."""
    return functools.partial(_active(request.config).judge, request.node)


def _active(config: pytest.Config) -> Conformance:
    """The run's judge; made when the first test asks for one (a re-exported suite has no ``--ocr-model``)."""
    if _KEY not in config.stash:
        from ocr_conformance.stopping import Stopped, Stopping

        stopping = Stopping()
        if not _is_worker(config):  # xdist's controller stops its workers
            stopping.install()
            config.add_cleanup(stopping.remove)
        try:
            conformance = config.stash[_KEY] = Conformance(config, stopping)
        except Stopped as stopped:  # while weights are fetched: there is no session yet to give the status
            pytest.exit(f"stopped by {stopped}", stopping.status)
        config.pluginmanager.register(_Active(conformance), "ocr_conformance.active")
    return config.stash[_KEY]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case and check."""
    if not {"ocr_case", "ocr_check"} <= set(metafunc.fixturenames):
        return
    from ocr_conformance.errors import UserError

    try:
        pairs = _active(metafunc.config).pairs()
    except (UserError, pytest.UsageError) as error:
        metafunc.config.stash[_USAGE] = str(error)  # raised here it would be a collection error
        pairs = []
    metafunc.parametrize(
        ("ocr_case", "ocr_check"),
        [
            pytest.param(case, check, id=f"{case}-{check}", marks=pytest.mark.ocr(model=case.model_id, check=check))
            for case, check in pairs
        ],
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Raise what `pytest_generate_tests` could not; see to it that groups reach xdist's controller."""
    if _USAGE in config.stash:
        raise pytest.UsageError(config.stash[_USAGE])
    for item in items:
        group = item.stash.get(_GROUP, "")
        if group and not item.nodeid.endswith(f"@{group}"):
            # xdist 3.8 sends a group at the end of the node id, where pytest 9.2 does not look for it any more
            # (https://github.com/pytest-dev/pytest-xdist/issues/1386).
            item._id = type(item.id).parse(f"{item.nodeid}@{group}")


class _Listener:
    """In xdist's controller, which collects nothing: a worker's first result is how it learns that a run judges."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the results that workers send, and what xdist reports in place of one whose worker went away."""
        if hasattr(report, "ocr"):
            _active(self.config).take(report.ocr)
        elif report.when not in ("setup", "call", "teardown"):
            _active(self.config).lost(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note in the record that a worker went away."""
        if error and _KEY in self.config.stash:
            self.config.stash[_KEY].warn(f"worker {node.gateway.id} ({node.gateway.spec}) went away: {error}")


class _Active:
    """The hooks of a run that judges something."""

    def __init__(self, conformance: Conformance) -> None:
        self.conformance = conformance

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Add the built-in suite unless a re-exported one was collected; latency last, alone on the machine.

        In an xdist worker under ``--dist loadgroup``, tests whose cases share a job form a group.
        """
        ours = [item for item in items if _check_of(item)]
        if not ours and (config.getoption("ocr_model") or self.conformance.nodes):
            suite = _Suite.from_parent(session, path=Path(__file__).parent / "suite" / "__init__.py", nodeid=_NODE)
            items += [item for item in session.genitems(suite) if self.conformance.named(item.nodeid)]
        items.sort(key=lambda item: _check_of(item) == "latency")
        if config.getoption("loadgroup", False):
            ours = [item for item in items if _check_of(item)]
            groups = self.conformance.groups([item.callspec.params for item in ours])  # type: ignore[attr-defined]
            for item, group in zip(ours, groups, strict=True):
                item.stash[_GROUP] = group
                item.add_marker(pytest.mark.xdist_group(group))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the jobs in the background (not where nothing is run)."""
        if session.config.option.collectonly or session.config.pluginmanager.hasplugin("dsession"):
            return  # the controller of pytest-xdist runs no test
        selected = [item for item in session.items if _check_of(item)]
        groups = [item.stash.get(_GROUP, "") for item in selected]
        self.conformance.start([item.callspec.params for item in selected], groups)  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give the report its result. A check that broke is a failure of its case, too."""
        report = yield
        check = _check_of(item)
        if check is not None and report.when == "call":
            from ocr_conformance.results import CheckResult

            broken = CheckResult(
                check, "failed", f"the check itself broke: {call.excinfo.value if call.excinfo else ''}"
            )
            case = item.callspec.params["ocr_case"]  # type: ignore[attr-defined]
            result = item.stash.get(_RESULT, broken).to_json()
            report.ocr = {  # type: ignore[attr-defined]
                "case": str(case),
                "result": result,
                "made": self.conformance.made(case) if _RESULT in item.stash else None,
                **self.conformance.origin(case),
            }
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
        """``undecided`` is a category of its own (to pytest a failure)."""
        known = getattr(report, "ocr", None)
        if known is not None and known["result"]["verdict"] == "undecided":
            return "undecided", "U", "UNDECIDED"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect results (in xdist's controller, `_Listener` does)."""
        if hasattr(report, "ocr") and not self.conformance.config.pluginmanager.hasplugin("ocr_conformance.listener"):
            self.conformance.take(report.ocr)

    def pytest_report_header(self, config: pytest.Config) -> list[str]:
        """Toolchains, weights, images, cache."""
        return self.conformance.header()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Nothing judged is an error, not green; a model without a passed mode beyond float32 fails."""
        with self.conformance.uninterrupted():
            self.conformance.close()
            if not _is_worker(session.config) and not session.config.option.collectonly:
                session.exitstatus = self.conformance.finish(int(exitstatus))

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Stop the jobs at once, whatever other plugins do before the session has ended."""
        with self.conformance.uninterrupted():
            self.conformance.stop()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The tables and counts, on the controller only."""
        if not _is_worker(terminalreporter.config):
            self.conformance.summary(terminalreporter)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """xdist: workers of this machine share the controller's cache, a temporary one, too.

        The path says nothing to another machine: its worker goes by ``--ocr-cache``, else by its own user's folder.
        """
        if node.gateway.spec.popen and not node.gateway.spec.via:
            node.workerinput["ocr_cache"] = str(self.conformance.settings.cache)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        """xdist: the controller, which runs nothing, says what its workers are at."""
        self.conformance.watch()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Stop what an interrupted run left running."""
        with self.conformance.uninterrupted():
            self.conformance.close()


_RESULT: pytest.StashKey[CheckResult] = pytest.StashKey()
_GROUP: pytest.StashKey[str] = pytest.StashKey()
"""Under ``--dist loadgroup`` the group that stays together; this worker may be given others, or none."""


def _check_of(item: pytest.Item) -> str | None:
    """The check that an item of the suite puts; ``None`` for other items, whatever markers they bear."""
    callspec = getattr(item, "callspec", None)
    check = callspec.params.get("ocr_check") if callspec and "ocr_case" in callspec.params else None
    return check if isinstance(check, str) else None  # pytest's NOTSET, where there was nothing to parametrize


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


# --- the judge of a run ----------------------------------------------------------------------------------------------


class Conformance:
    """Holds a run's engine and its results, and turns verdicts into pytest outcomes."""

    def __init__(self, config: pytest.Config, stopping: Stopping | None = None) -> None:
        self.config = config
        self._stopping = stopping
        self._engine: Engine | None = None
        self._records: list[dict[str, Any]] = []
        self._cache: Any = None
        self.nodes = [f"{_NODE}::{text.partition('::')[2]}" for text in config.args if _is_node(text)]
        self._started = time.time()
        self._began = time.monotonic()
        self._progress: _Progress | None = None
        self._selected = 0
        self._jobs: dict[str, int] = {}
        self._made: dict[Case, dict[str, Any]] = {}
        self._lines: list[str] = []
        self._document: dict[str, Any] = {}
        self._changes: list[Change] | None = None
        self._warnings: list[str] = []
        self._waiting: dict[str, list[tuple[Case, str]]] = {}
        from ocr_conformance.errors import UserError

        try:
            self.registry = self._registry()
            self.settings = self._settings()
            self._reports = self._report_paths()
            self._baseline = self._read_baseline()
            if not config.getoption("ocr_list"):
                self._resolve()
        except UserError as error:
            raise pytest.UsageError(f"{error}{self._misplaced()}") from None

    def _misplaced(self) -> str:
        """A hint where pytest has looked for its ini file in the wrong place.

        It does so before it knows our options: the DIR of ``--ocr-images DIR`` is then a path like any other.
        """
        root, here = self.config.rootpath, self.config.invocation_params.dir
        if root == here or (root in here.parents and self.config.inipath is not None):
            return ""
        return f" (pytest took {root} for its root and read no ini file of {here}: write --ocr-OPTION=DIR, with =)"

    def _registry(self) -> Any:
        from ocr_conformance.registry import Registry

        registry = Registry.built_in()
        self.config.hook.pytest_ocr_register(config=self.config, registry=registry)  # first: contracts name checks
        for path in self.config.getini("ocr_model_paths"):
            registry.add_models(Path(path))
        return registry

    def _value(self, name: str) -> Any:
        """The command line's value, else the ini file's."""
        ini = name.replace("-", "_")
        given = self.config.getoption(f"ocr_{ini}")
        return given if given not in (None, []) else self.config.getini(f"ocr_{ini}") or None

    def _path(self, name: str) -> Path | None:
        """A path: the command line's beside where pytest was called, the ini file's beside that file."""
        text = self._value(name)
        if text is None:
            return None
        given = self.config.getoption(f"ocr_{name}") is not None
        ini = self.config.inipath.parent if self.config.inipath else self.config.rootpath
        root = self.config.invocation_params.dir if given else ini
        return root / Path(text).expanduser()

    def _named_models(self) -> list[str]:
        """The models of the node ids that were given in place of paths."""
        from ocr_conformance.cases import Case

        cases = [node.partition("[")[2].rpartition("-")[0] for node in self.nodes if "[" in node]
        return list(dict.fromkeys(Case.parse(text).model_id for text in cases))

    def _number(self, name: str, kind: type, least: float) -> Any:
        from ocr_conformance.errors import UserError

        text = self._value(name)
        if text is None:
            return None
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not number >= least:
            what = "a whole number" if kind is int else "a number"
            raise UserError(f"--ocr-{name} {text}: expected {what} of at least {least:g}")
        return number

    def _settings(self) -> Settings:
        from ocr_conformance.conformance import DEFAULT_MEMORY, DEFAULT_TIMEOUT, Settings, default_cache

        config = self.config
        models = tuple(config.getoption("ocr_model") or self._named_models() or config.getini("ocr_model"))
        days = self._number("max-age", float, 0)
        memory = self._number("memory", int, 1)
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        if "ocr_cache" in worker:
            cache = Path(worker["ocr_cache"])
        elif config.getoption("ocr_no_cache"):
            from ocr_conformance.conformance import temporary_cache

            self._cache = temporary_cache()
            cache = self._cache.__enter__()
        else:
            cache = self._path("cache") or default_cache()
        return Settings(
            models=models,
            modes=tuple(self._value("mode") or ()),
            routes=tuple(self._value("route") or ()),
            toolchains=tuple(self._value("toolchain") or ()),
            checks=tuple(self._value("check") or ()),
            device=self._value("device"),
            offline=config.getoption("ocr_offline") or config.getini("ocr_offline"),
            max_age=None if days is None else days * 86400,
            weights=tuple(self._value("weights") or ()),
            images=self._path("images"),
            calibration=self._path("calibration"),
            samples=self._number("samples", int, 1) or 100,
            threads=self._number("threads", int, 1) or 1,
            cache=cache,
            timeout=self._number("timeout", float, 1) or DEFAULT_TIMEOUT,
            memory=(memory or 0) * 2**20 or DEFAULT_MEMORY,
            artifacts=self._given("artifacts"),
            pictures=self._given("pictures"),
            explain=not config.getoption("ocr_no_explain"),
            search=self._number("search", int, 1),
            search_seed=self._number("search-seed", int, 0) or 0,
            replay=config.getoption("ocr_replay"),
            own_only=not models,
        )

    def _given(self, name: str) -> Path | None:
        """A path that only the command line can give."""
        text = self.config.getoption(f"ocr_{name}")
        return None if text is None else self.config.invocation_params.dir / Path(text).expanduser()

    def _report_paths(self) -> list[Path]:
        """The report files that were asked for; an xdist worker writes none.

        Raises:
            UserError: a suffix that no format has, or a folder that is not there.
        """
        from ocr_conformance import report

        if _is_worker(self.config):
            return []
        root = self.config.invocation_params.dir
        return [report.check_path(root / Path(text).expanduser()) for text in self.config.getoption("ocr_report") or ()]

    def _read_baseline(self) -> dict[str, Any] | None:
        """The earlier record to compare with; also looks whether there is a summary to write to.

        Raises:
            UserError: it is no record, or there is none.
        """
        if self.config.getoption("ocr_github_summary") and not _is_worker(self.config):
            from ocr_conformance import report

            report.summary_file("--ocr-github-summary")
        path = self._given("baseline")
        if path is None or _is_worker(self.config):
            return None
        from ocr_conformance.report import schema

        return schema.load(path)

    @property
    def engine(self) -> Engine:
        """The engine, made on first use."""
        if self._engine is None:
            from ocr_conformance.conformance import Engine

            self._engine = Engine(self.settings, self.registry)
        return self._engine

    def named(self, nodeid: str) -> bool:
        """Whether a node was asked for by its id, or none was."""
        return not self.nodes or any(nodeid == n or nodeid.startswith((f"{n}::", f"{n}[")) for n in self.nodes)

    def _resolve(self) -> None:
        """Look up models, weights and images of every case: what is wrong with them ends the run before it begins.

        Raises:
            UserError: in one sentence.
        """
        from ocr_conformance.errors import UserError

        for case in self.engine.cases:
            self.engine.source(case.model, case.variant)
            if self.settings.replay:
                self.engine.kept(case)
        if not self.engine.cases and (self.settings.models or self.registry.variants((), own_only=True)):
            given = {name: getattr(self.settings, f"{name}s") for name in ("model", "mode", "route", "toolchain")}
            shown = ", ".join(f"--ocr-{name} {' '.join(values)}" for name, values in given.items() if values)
            raise UserError(
                f"there is nothing to judge: no case matches {shown}, or no toolchain could run it (--ocr-list shows)"
            )

    def pairs(self) -> list[tuple[Case, str]]:
        """The selected cases and checks.

        Raises:
            UserError: there is nothing that a re-exported suite could judge.
        """
        from ocr_conformance.errors import UserError

        if not self.engine.cases:
            raise UserError(
                "the suite is re-exported but this repository has no models of its own: "
                "name their folder in the ini option ocr_model_paths, or register them in pytest_ocr_register"
            )
        return [(case, check.name) for case in self.engine.cases for check in self.engine.checks_of(case)]

    def start(self, params: Sequence[dict[str, Any]], groups: Sequence[str]) -> None:
        """Prefetch what the selected tests will need: all of it, or, of a test that has a group, when that begins."""
        from ocr_conformance.errors import UserError

        self._selected = len(params)
        for each, group in zip(params, groups, strict=True):
            self._waiting.setdefault(group, []).append((each["ocr_case"], each["ocr_check"]))
        try:
            self._begin("")
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        self.watch()

    def _begin(self, group: str) -> None:
        """Prefetch what a group needs, once."""
        if group in self._waiting:
            self.engine.prefetch(self._waiting.pop(group))

    def watch(self) -> None:
        """Say now and then what runs."""
        self._progress = _Progress(self.config, self.engine)

    def judge(self, item: pytest.Item, case: Case, check: str) -> None:
        """Judge, keep the result with the item, and end its test as the verdict says."""
        __tracebackhide__ = True
        self._begin(item.stash.get(_GROUP, ""))
        result = item.stash[_RESULT] = self.engine.judge(case, check)
        said = {"case": str(case), "model": case.model_id, "route": case.route, "mode": case.mode}
        said |= {"toolchain": case.toolchain, "check": check, "verdict": result.verdict}
        item.user_properties += [(f"ocr_{name}", value) for name, value in said.items()]
        for value in result.values:
            item.user_properties.append((f"ocr_{value.name}", value.measured))
            if value.limit is not None:
                item.user_properties.append((f"ocr_{value.name}_limit", value.limit))
        message = f"{case} {check}: {result.message}"
        if result.verdict == "unsupported":
            pytest.xfail(f"unsupported: {result.message}")
        if result.verdict in ("skipped", "not-run"):
            pytest.skip(f"{result.verdict}: {result.message}")
        if result.verdict != "passed":  # "unsupported" gets here under --runxfail
            pytest.fail("\n".join((message, *result.details)), pytrace=False)

    def made(self, case: Case) -> dict[str, Any] | None:
        """What was made of a case, where it is new: it goes with a result to the process that writes the record."""
        found = self.engine.made(case)
        if self._made.get(case) == found:
            return None
        self._made[case] = found
        return found

    def groups(self, params: Iterable[dict[str, Any]]) -> list[str]:
        """For each of these tests the name of the group that must stay together for no job to be run twice."""
        from ocr_conformance.errors import UserError

        pairs = [(each["ocr_case"], each["ocr_check"]) for each in params]
        try:
            groups = self.engine.groups(pairs)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None
        return [groups[case] for case, _ in pairs]

    def origin(self, case: Case) -> dict[str, Any]:
        """Where a result comes from; goes with it, because a controller may have neither the toolchain nor the cache.

        ``jobs_run`` is how many jobs this process has run so far.
        """
        from ocr_conformance.report import record

        worker: dict[str, Any] = getattr(self.config, "workerinput", {})
        chain = next(chain for chain in self.engine.chains if chain.name == case.toolchain)
        return {
            "worker": worker.get("workerid", ""),
            "jobs_run": self.engine.executed,
            "toolchain": record.toolchain(chain),
            "place": record.place(),
        }

    def take(self, record: dict[str, Any]) -> None:
        """Keep the result of one test."""
        self._records.append(record)
        if "worker" in record:
            self._jobs[record["worker"]] = max(self._jobs.get(record["worker"], 0), record["jobs_run"])

    def lost(self, report: pytest.TestReport) -> None:
        """Keep as failed what a worker was judging when it went away (all that is known is the node's id)."""
        from ocr_conformance.cases import Case
        from ocr_conformance.checks import CHECKS
        from ocr_conformance.errors import UserError
        from ocr_conformance.results import CheckResult

        text, _, rest = report.nodeid.partition("[")[2].rpartition("]")[0].rpartition("-")
        try:
            case = Case.parse(text)
        except UserError:
            return
        if rest in CHECKS:
            result = CheckResult(rest, "failed", str(report.longrepr)).to_json()
            self.take({"case": str(case), "result": result})

    def warn(self, text: str) -> None:
        """Have a line in the record's warnings."""
        self._warnings.append(text)

    def header(self) -> list[str]:
        """Lines for pytest's header."""
        from ocr_conformance.report import terminal

        return terminal.header(self.engine)

    def finish(self, status: int) -> int:
        """Write the reports; pytest's exit status, corrected by what was judged."""
        from ocr_conformance.errors import UserError
        from ocr_conformance.report import record

        if self._records:
            self._document = record.document(
                self.engine,
                self._records,
                time.monotonic() - self._began,
                sum(self._jobs.values()),
                self._started,
            )
            self._document["runs"][0]["warnings"] += self._warnings
            self._changes = self._compare()
        elif self._reports:
            self._lines.append("no report was written: nothing was judged")
        for write in self._writers() if self._document else ():
            try:
                self._lines.append(write())
            except UserError as error:
                self._lines.append(str(error))
                status = status or int(pytest.ExitCode.TESTS_FAILED)
        if self._stopping is not None and self._stopping.caught not in (0, signal.SIGINT):
            return self._stopping.status
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return status
        asked = self._selected or self.nodes or self.config.getoption("ocr_model")
        if not record.judged(self._records):
            return int(pytest.ExitCode.NO_TESTS_COLLECTED) if asked else status
        return int(pytest.ExitCode.TESTS_FAILED) if self._document["runs"][0]["without_passed_mode"] else status

    def _compare(self) -> list[Change] | None:
        """What changed since the baseline, where there is one."""
        from ocr_conformance.errors import UserError
        from ocr_conformance.report import difference

        if self._baseline is None:
            return None
        try:
            return difference.compare(self._baseline, self._document)
        except UserError as error:
            self._lines.append(f"--ocr-baseline {self.config.getoption('ocr_baseline')}: {error}")
            return None

    def _writers(self) -> Iterator[Callable[[], str]]:
        """What writes each report that was asked for, and says so."""
        from ocr_conformance import report

        def to_file(path: Path) -> str:
            report.write(self._document, path, self._changes, own=True)
            return f"report: {path}"

        def to_summary() -> str:
            from ocr_conformance.report import markdown

            report.add_summary(markdown.render(self._document, self._changes), "--ocr-github-summary")
            return "report: the summary of this step"

        # The record first: whatever happens to a view, it can be made again of that.
        yield from (
            functools.partial(to_file, path) for path in sorted(self._reports, key=lambda p: p.suffix != ".json")
        )
        if self.config.getoption("ocr_github_summary"):
            yield to_summary

    def summary(self, terminalreporter: Any) -> None:
        """Write tables and where the reports are to the terminal."""
        from ocr_conformance.report import terminal

        if not self._document:
            for line in self._lines:
                terminalreporter.write_line(line)
            return
        terminalreporter.section("OCR conformance")
        writer = terminalreporter._tw
        for line in terminal.summary(self._document, width=writer.fullwidth, color=writer.hasmarkup):
            terminalreporter.write_line(line)
        for line in (*terminal.changes(self._changes, writer.fullwidth), *self._lines):
            terminalreporter.write_line(line)

    def uninterrupted(self) -> contextlib.AbstractContextManager[None]:
        """While something is done that Ctrl-C should not disturb."""
        return contextlib.nullcontext() if self._stopping is None else self._stopping.uninterrupted()

    def stop(self) -> None:
        """Stop jobs and progress."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._engine is not None:
            self._engine.close()

    def close(self) -> None:
        """Stop jobs and progress; drop a temporary cache."""
        self.stop()
        if self._cache is not None:
            self._cache.__exit__(None, None, None)
            self._cache = None


class _Progress:
    """Says now and then which jobs run and for how long; lives in the process that owns the terminal."""

    def __init__(self, config: pytest.Config, engine: Engine) -> None:
        self._slots = engine.slots
        self._stopped = threading.Event()
        self._out = _terminal_copy(config)
        self._thread: threading.Thread | None = None
        if self._out is not None:
            self._thread = threading.Thread(target=self._loop, name="ocr-progress", daemon=True)
            self._thread.start()

    def _loop(self) -> None:
        while not self._stopped.wait(_PROGRESS_SECONDS):
            running = [f"{title}, {seconds:.0f} s" for title, seconds, _ in self._slots.running() if seconds > 5]
            if running and self._out is not None:
                print(f"\n[ocr] {' | '.join(running)} ", file=self._out, flush=True)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None and self._out is not None:
            self._thread.join()
            self._out.close()


def _terminal_copy(config: pytest.Config) -> TextIO | None:
    """The real standard output, past pytest's capturing; ``None`` in an xdist worker or where it cannot be had."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if _is_worker(config) or capture is None or getattr(config.option, "verbose", 0) < 0:
        return None
    with capture.global_and_fixture_disabled():
        try:
            return os.fdopen(os.dup(sys.stdout.fileno()), "w")
        except (OSError, ValueError, AttributeError):
            return None
