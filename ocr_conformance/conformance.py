"""Judge cases: plan the jobs of each, gather the evidence that the selected checks need, hold it against the contract.

`Engine` is what the plugin and the command line drive; `check_conformance` is the same without pytest.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import operator
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ocr_conformance import checks, images, manifest, pictures, pipelines, resources, toolchain, weights
from ocr_conformance.cache import Cache, digest, disk_errors, tree_sha256
from ocr_conformance.cases import MODES, Case, is_glob, matches, model_id
from ocr_conformance.claims import apply_claims
from ocr_conformance.contract import Description, Limits, Unsupported
from ocr_conformance.convert import HopSpec, Route
from ocr_conformance.diagnose.search import COUNTEREXAMPLE
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import LATENCY_SECONDS, Evidence, Hop, Outcome
from ocr_conformance.images import ImageSet
from ocr_conformance.isolation import Limits as JobLimits
from ocr_conformance.isolation import Workplace
from ocr_conformance.model import Weights, model_reference
from ocr_conformance.registry import ModelEntry, Registry, near
from ocr_conformance.results import JUDGED, CheckResult
from ocr_conformance.schedule import Scheduler, Slots, Task, slot_count
from ocr_conformance.toolchain import Toolchain

_PACKAGE = Path(__file__).resolve().parent
_WORKER_PARTS = (
    "__init__.py", "cases.py", "errors.py", "job.py", "model.py", "polygons.py", "worker.py", "convert", "diagnose",
    "inspect", "runtime",
)  # fmt: skip
"""What a job's process may see of us: exactly this is copied to its path, and its hash is part of every key."""

CALIBRATION_SAMPLES = 100
"""Images that quantizers see; FACTS section 8 was measured with as many."""

LATENCY_SPREAD = 0.05
"""The first look of latency ends when the ratios are known to 5 %, later ones when their time is over."""

EXPLAINED = ("tensors", "text", "boxes")
"""Checks under which, when they fail, a line says which op did it."""
SEARCH_REQUIRES = ("hypothesis>=6.100", "pillow>=10.1")
"""What a search needs in a toolchain beside the source and a runtime; of a detector also `SCENE_SEARCH_REQUIRES`."""
SCENE_SEARCH_REQUIRES = ("scipy", "shapely")
SEARCH_SHARE = 0.8
"""Of a job's time limit, what a search plans with: its last pictures, and loading the network, take theirs as well."""

MICRO_REQUIRES = ("tflite-micro",)
"""What running a file in TFLite Micro needs in a toolchain."""
MICRO_SAMPLES = 2
MICRO_UNASKED = {"most_bytes": 4 * 2**20, "seconds": 10}
"""Where no contract demands the target: files that could lie in a microcontroller's flash, and what they may cost. One
of 1.7 MB takes 2 s of processor time (captcha, unrolled: 3000 ops)."""
MAY_FAIL = ("baseline_inspect", "xnnpack", "micro")
"""Jobs whose failure is no failure of the check that looks at them."""

DEFAULT_TIMEOUT = 900.0
DEFAULT_MEMORY = 9 * 2**30
"""onnx2tf needs 7.5 GB for a network of 180 MB."""


def default_cache() -> Path:
    """The user's cache folder for artifacts and evidence.

    Raises:
        UserError: the user has no home.
    """
    return resources.user_cache() / "artifacts"


@dataclass(frozen=True)
class Settings:
    """What a run is asked to judge, with what, and within which bounds. Empty patterns select everything."""

    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    toolchains: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    device: str | None = None
    offline: bool = False
    max_age: float | None = None
    """Seconds; older evidence is made anew."""
    weights: tuple[str, ...] = ()
    images: Path | None = None
    calibration: Path | None = None
    samples: int = 100
    threads: int = 1
    cache: Path = field(default_factory=default_cache)
    timeout: float = DEFAULT_TIMEOUT
    memory: int = DEFAULT_MEMORY
    artifacts: Path | None = None
    pictures: Path | None = None
    explain: bool = True
    """Look for the op that did it when a check of `EXPLAINED` fails: a minute or two a case."""
    search: int | None = None
    """Pictures of each kind that a search for counterexamples draws; ``None``: no search."""
    search_seed: int = 0
    replay: bool = False
    """Judge the counterexamples that were kept again, before the search."""
    own_only: bool = False
    """Without a model pattern: the user's own models, not the built-in ones."""


@dataclass(frozen=True)
class Source:
    """A model with all that is fixed for a run: its variant, weights and images."""

    entry: ModelEntry
    variant: str
    description: Description
    weights: Weights
    images: ImageSet
    calibration: ImageSet

    @property
    def model_id(self) -> str:
        """``model`` or ``model:variant``."""
        return model_id(self.entry.name, self.variant)

    @property
    def code_sha256(self) -> str:
        """Hash of the adapter's Python files, and those it uses of other models."""
        return _code_sha256(self.entry.python_files)


_HOP_COSTS = ("kind", "stage", "message", "seconds", "cpu_seconds", "peak_bytes", "seen")
"""What a record says of a hop's outcome."""


@functools.cache
def _code_sha256(files: tuple[tuple[str, Path], ...]) -> str:
    return tree_sha256(files)


@functools.cache
def _worker_sha256() -> str:
    return tree_sha256((str(path.relative_to(_PACKAGE)), path) for path in _worker_files())


def _is_tree(folder: Path, files: Iterable[tuple[str, Path]], sha256: str) -> bool:
    """Whether the copies of files in a folder have the hash that they had."""
    try:
        return tree_sha256((name, folder / (name or path.name)) for name, path in files) == sha256
    except OSError:
        return False


def _worker_files() -> Iterator[Path]:
    for part in _WORKER_PARTS:
        path = _PACKAGE / part
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


@functools.cache
def cpu() -> dict[str, str]:
    """What of the processor can change a number: its architecture, model and features (hashed)."""
    model, flags = platform.processor(), ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() in ("flags", "Features"):
                flags = value.strip()
    return {"machine": platform.machine(), "model": model, "features": digest(sorted(flags.split()))[:16]}


class Missing(Exception):
    """What a job needs is in no toolchain here; the message says what to do, or is empty."""


def _requires(description: Description, route: Route) -> tuple[str, ...]:
    """What the toolchain of a case must have."""
    return route.requires if route.hands_over else (*description.requires, *route.requires)


@dataclass(frozen=True)
class Plan:
    """The tasks of one case. ``skip`` says why nothing can be tried."""

    case: Case
    source: Source
    chain: Toolchain
    skip: str = ""
    inputs: Task | None = None
    predict: Task | None = None
    hops: tuple[tuple[str, Task, Task | None], ...] = ()
    """Name, task, and the task that runs its product (``None`` where a format cannot be run)."""
    run: Task | None = None
    inspect: Task | None = None
    repeat: Task | None = None
    memory: Task | None = None
    xnnpack: Task | None = None
    micro: Task | None = None
    no_micro: str = ""
    """Why the file is not tried in TFLite Micro."""
    latency: Callable[[Task | None, int], Task] | None = None
    """The latency task beside a float32 artifact's (that has been seen to run), or alone; and which look, from 0."""
    twin: Task | None = None
    describe: Task | None = None
    """Of a recognizer: how its scores are read, for a manifest."""
    search: Task | None = None
    no_search: str = ""
    """Why there is no search although one was asked for."""
    parts: tuple[tuple[Engine, Plan], ...] = ()
    """Of a pipeline: its detector's plan and its recognizer's, each with the engine that judges it. ``inputs``,
    ``predict`` and ``run`` are the detector's."""
    words: dict[str, Task] = field(default_factory=dict)
    """Of a pipeline: the tasks that read words, by the names of `Evidence`."""
    product: str = "model.tflite"
    """The artifact's file in its task's folder."""
    format: str = "tflite"
    """The artifact's format, by its name in the registry."""

    @property
    def artifact(self) -> Task:
        """The task that makes the ``.tflite`` file."""
        return self.hops[-1][1]


class Engine:
    """Plans, runs and judges. One a process; close it at the end (it is a context manager)."""

    def __init__(
        self, settings: Settings, registry: Registry, *, slots: Slots | None = None, whole: Engine | None = None
    ) -> None:
        """Look at the settings; nothing is converted or run yet.

        Args:
            slots: the machine's places for jobs, if not those of every run.
            whole: the engine whose pipelines' parts this one judges: it lends its cache and its jobs.

        Raises:
            UserError: a setting names what is not there, or a number is too small.
        """
        self._whole = whole
        registry.check_modes(settings.modes)
        registry.check_routes(settings.routes)
        registry.check_checks(settings.checks)
        if settings.samples < 1:
            raise UserError(f"--ocr-samples {settings.samples}: expected at least 1 image")
        if settings.threads < 1:
            raise UserError(f"--ocr-threads {settings.threads}: expected at least 1 thread")
        if settings.search is not None and settings.search < 1:
            raise UserError(f"--ocr-search {settings.search}: expected at least 1 picture")
        if settings.search is None and (settings.replay or checks.SEARCH in settings.checks):
            option = "--ocr-replay" if settings.replay else f"--ocr-check {checks.SEARCH}"
            raise UserError(f"{option}: no search was asked for: add --ocr-search N")
        for option, folder in (("artifacts", settings.artifacts), ("pictures", settings.pictures)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise UserError(f"--ocr-{option} {folder}: expected a folder, this is a file")
        self.settings = settings
        self.registry = registry
        self.limits = JobLimits(settings.timeout, settings.memory)
        self.slots = slots or Slots(slot_count(self.limits))
        self._cache: Cache | None = None
        self._in_use = contextlib.ExitStack()
        self._scheduler: Scheduler | None = None
        self._plans: dict[Case, Plan] = {}
        self._results: dict[tuple[Case, str], CheckResult] = {}
        self._handed_out: dict[Case, Path] = {}
        self._explanations: dict[Case, dict[str, Any]] = {}
        self._staged_whole: set[Path] = set()
        self._reported: set[Case] = set()
        """Cases whose `conversion` is judged in this run, here or in another worker."""
        self.chains = self._toolchains()
        device = settings.device
        profiles = [pair for entry in registry.models.values() for pair in entry.contract.device.items()]
        if any(name == device and profile.remote for name, profile in profiles):
            raise UserError(
                f"--ocr-device {device}: pytest does not run on it, and its ceilings say nothing of this machine: "
                f"`ocr-conformance latency import` holds what benchmark_model printed there against them"
            )
        here = {name for name, profile in profiles if not profile.remote}
        if device is not None and device not in here:
            raise near(device, here, "device profile", "--ocr-device")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what there is to judge ---------------------------------------------------------------------------------

    def _toolchains(self) -> list[Toolchain]:
        """Toolchains that the run may use, this environment first.

        Raises:
            UserError: ``--ocr-toolchain`` matches none.
        """
        every = toolchain.available()
        for pattern in self.settings.toolchains:
            if pattern not in toolchain.HERE and not any(matches(chain.name, [pattern]) for chain in every):
                raise near(pattern, [*(chain.name for chain in every), "here"], "toolchain", "--ocr-toolchain")
        return [chain for chain in every if self._wanted(chain)]

    def _wanted(self, chain: Toolchain) -> bool:
        patterns = self.settings.toolchains
        here = chain.is_here and any(pattern in toolchain.HERE for pattern in patterns)
        return here or matches(chain.name, patterns)

    def chains_for(self, requires: Sequence[str]) -> list[Toolchain]:
        """Where such a case runs: in every toolchain that was asked for and could by its lock; unasked, in the first
        that is present (this environment before created ones), else in the first that would have to be created."""
        able = [chain for chain in self.chains if toolchain.by_lock(chain, requires)]
        if self.settings.toolchains:
            return able
        return [chain for chain in able if toolchain.can_run(chain, requires)][:1] or able[:1]

    @functools.cached_property
    def cases(self) -> list[Case]:
        """The selected cases: models in registration order, then routes, modes and toolchains.

        Raises:
            UserError: a model pattern matches nothing.
        """
        found = []
        for entry, variant in self.registry.variants(self.settings.models, own_only=self.settings.own_only):
            description = entry.contract.settings(variant)
            asked = self.settings.routes
            for name, requires in self._routes(entry, variant, asked).items():
                if not matches(name, asked) or (name in description.on_request and name not in asked):
                    continue
                for chain in self.chains_for(requires):
                    found += [
                        Case(entry.name, variant, name, mode, chain.name)
                        for mode in MODES
                        if matches(mode, self.settings.modes)
                    ]
        return found

    def _routes(self, entry: ModelEntry, variant: str, asked: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
        """The routes of a model, with what each needs of its toolchain; those on request come last.

        Of a pipeline any pair of its parts' routes can be ``asked`` for.

        Raises:
            UserError: the contract names a route that there is not.
        """
        description = entry.contract.settings(variant)
        if not entry.is_pipeline:
            for name in description.all_routes:
                if name not in self.registry.routes:
                    raise UserError(f"{entry.contract.where}, model.routes: there is no route {name!r}")
            return {name: _requires(description, self.registry.routes[name]) for name in description.all_routes}
        parts = pipelines.parts(self.registry, variant)
        of_part = [self._routes(part, of) for part, of in parts]
        names = [*pipelines.routes(self.registry, description, variant), *description.on_request]
        others = {name for each in entry.contract.variants for name in entry.contract.settings(each).routes}
        for name in asked:
            if pipelines.JOINT not in name or is_glob(name):
                continue
            # One that some named pipeline has may be meant for that one only.
            if name not in others or all(map(operator.contains, of_part, pipelines.halves(name))):
                names.append(name)
        found: dict[str, tuple[str, ...]] = {}
        for name in names:
            halves = pipelines.halves(name)
            for half, known, part in zip(halves, of_part, parts, strict=True):
                if half not in known:
                    raise UserError(
                        f"pipeline:{variant}, route {name}: {pipelines.model_id(part)} has no route {half!r}; "
                        f"it has {', '.join(known)}"
                    )
            found[name] = tuple(dict.fromkeys((*of_part[0][halves[0]], *of_part[1][halves[1]])))
        return found

    def possible_cases(self, entry: ModelEntry) -> list[tuple[Case, dict[str, str]]]:
        """Every case of a model in every toolchain that could run it by its lock, whatever was selected."""
        found = []
        for variant in (*entry.contract.plain, *entry.contract.variants):
            if entry.is_pipeline and entry.contract.variants[variant].pattern is not None:
                continue  # any pair of parts
            for name, requires in self._routes(entry, variant).items():
                for chain in toolchain.available():
                    if toolchain.by_lock(chain, requires):
                        found += [
                            (Case(entry.name, variant, name, mode, chain.name), _versions(chain)) for mode in MODES
                        ]
        return found

    def checks_of(self, case: Case) -> list[checks.Check]:
        """The selected checks that can be put to a case."""
        model = self.registry.models[case.model].contract.model
        return [
            check
            for check in checks.CHECKS.values()
            if model.kind in check.kinds
            and matches(check.name, self.settings.checks)
            and ("twin" not in check.needs or model.twin is not None)
            and (check.name != checks.SEARCH or self.settings.search is not None)
        ]

    def stale_claims(self) -> list[Unsupported]:
        """Claims of the selected models that could match no case at all."""
        names = dict.fromkeys(case.model for case in self.cases)
        entries = [self.registry.models[name] for name in names]
        return [claim for entry in entries for claim in entry.contract.stale_claims(self.possible_cases(entry))]

    @functools.cache  # noqa: B019 - an engine lives as long as its run
    def source(self, model: str, variant: str) -> Source:
        """A model with its weights and images, as the settings say.

        Raises:
            UserError: the weights or the images cannot be had.
        """
        entry = self.registry.models[model]
        description = entry.contract.settings(variant)
        if entry.is_pipeline:
            return self._source_of_pipeline(entry, variant)
        default = entry.contract.default_weights
        name = model_id(model, variant)
        self._unambiguous()
        if entry.file is not None:
            found = weights.of_file(entry.file, entry.contract.weights_sources())
        else:
            found = weights.resolve(
                weights.choice(self.settings.weights, name, default),
                name,
                entry.contract.weights_sources(),
                folder=entry.folder,
                cache=self.settings.cache / "weights",
                offline=self.settings.offline,
            )
        return Source(
            entry,
            variant,
            description,
            found,
            self._images(self.settings.images, description.images, entry, description, "evaluation"),
            self._images(self.settings.calibration, description.calibration, entry, description, "calibration"),
        )

    def _source_of_pipeline(self, entry: ModelEntry, variant: str) -> Source:
        detector, recognizer = (engine.source(part.name, of) for engine, part, of in self.parts(variant))
        both = (detector.weights, recognizer.weights)
        name = pipelines.JOINT.join(weights.name for weights in both)
        sha256 = digest([[weights.name, weights.sha256] for weights in both])
        description = entry.contract.settings(variant)
        return Source(entry, variant, description, Weights(name, None, sha256), detector.images, detector.calibration)

    @functools.cache  # noqa: B019 - as above
    def parts(self, variant: str) -> tuple[tuple[Engine, ModelEntry, str], ...]:
        """The detector and the recognizer of a pipeline, each with an engine that judges it and shares our jobs.

        The images of the run are the detector's: a recognizer is converted and tried with its own.

        Raises:
            UserError: there is no such pipeline.
        """
        pair = pipelines.parts(self.registry, variant)
        same = replace(
            self.settings,
            models=tuple(pipelines.model_id(part) for part in pair),
            modes=(),
            routes=(),
            checks=(),
            search=None,
            replay=False,
        )
        own = replace(same, images=None, calibration=None)
        engines = [Engine(each, self.registry, slots=self.slots, whole=self) for each in (same, own)]
        return tuple((engine, *part) for engine, part in zip(engines, pair, strict=True))

    def _unambiguous(self) -> None:
        """A bare file cannot be the weights of several models."""
        entries = {e.name: e for e, _ in self.registry.variants(self.settings.models, own_only=self.settings.own_only)}
        names = {name for entry in entries.values() for name in entry.contract.weights}
        for option in self.settings.weights:
            if len(entries) > 1 and "=" not in option and option not in names:
                raise UserError(
                    f"--ocr-weights {option}: which of {', '.join(sorted(entries))} is it for? say MODEL={option}"
                )

    def _images(
        self, given: Path | None, fixture: str, entry: ModelEntry, description: Description, role: Any
    ) -> ImageSet:
        count = self.settings.samples if role == "evaluation" else CALIBRATION_SAMPLES
        scenes = description.kind != "recognizer"
        alphabet = (description.alphabet or "") if description.label_from_name else ""
        if given is not None:
            return images.read(given, count=count, seed=entry.name, name_alphabet=alphabet, role=role, scenes=scenes)
        own = entry.folder / fixture
        if not entry.built_in and own.is_dir():
            return images.read(
                own, count=count, seed=entry.name, name_alphabet=alphabet, role=role, name=fixture, scenes=scenes
            )
        return images.fixture(fixture, count=count, seed=entry.name, scenes=scenes)

    # --- planning -----------------------------------------------------------------------------------------------

    @property
    def cache(self) -> Cache:
        """The store, opened on first use."""
        if self._whole is not None:
            return self._whole.cache
        if self._cache is None:
            self._cache = Cache(self.settings.cache)
            self._in_use.enter_context(self._cache.in_use())
        return self._cache

    @property
    def scheduler(self) -> Scheduler:
        """The job runner, started on first use."""
        if self._whole is not None:
            return self._whole.scheduler
        if self._scheduler is None:
            self._scheduler = Scheduler(self.cache, self.slots, self.limits, max_age=self.settings.max_age)
        return self._scheduler

    def _staged(self, name: str, sha256: str, files: Iterable[tuple[str, Path]], below: str = "") -> Path:
        """Copy files to a folder of the cache that is named by their hash; jobs see copies, never a checkout.

        Args:
            files: what is hashed as which name, which it has in the folder, too.
            below: the folder there that they lie in, where their names do not say it.

        Raises:
            UserError: a file has changed since it was hashed.
            CacheError: the disk is full or forbidden.
        """
        folder = self.cache.root / "code" / f"{name}-{sha256[:16]}"
        named = list(files)
        if folder in self._staged_whole and folder.is_dir():
            return folder
        if _is_tree(folder / below, named, sha256):
            with contextlib.suppress(OSError):
                os.utime(folder)  # what `prune` goes by
        else:
            self._copy(folder, named, sha256, below)
        self._staged_whole.add(folder)
        return folder

    def _copy(self, folder: Path, files: list[tuple[str, Path]], sha256: str, below: str) -> None:
        """Put files into a folder of the cache that appears whole."""
        aside = self.cache.workspace()
        try:
            with disk_errors(self.cache.root):
                for relative, path in files:
                    target = aside / below / (relative or path.name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
                folder.parent.mkdir(exist_ok=True)
            if not _is_tree(aside / below, files, sha256):
                changed = files[0][1] if len(files) == 1 else files[0][1].parent
                raise UserError(f"{changed} has changed while it was read: run again")
            for _ in range(2):
                try:
                    aside.rename(folder)
                    return
                except OSError as error:  # another process was first, or what is there is not whole
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                        with disk_errors(self.cache.root):
                            raise
                if _is_tree(folder / below, files, sha256):
                    return
                self.cache.remove(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    @functools.cached_property
    def _worker_path(self) -> Path:
        named = ((str(path.relative_to(_PACKAGE)), path) for path in _worker_files())
        return self._staged("ocr_conformance", _worker_sha256(), named, below="ocr_conformance")

    def _adapter(self, source: Source) -> Path:
        """The staged copy of a model's Python files: its folder, with those it uses beside it."""
        staged = self._staged(source.entry.name, source.code_sha256, source.entry.python_files)
        return staged / source.entry.code_folder.name

    def _function(self, reference: str) -> tuple[str, str]:
        """A job function as the worker finds it, and what identifies it in a key."""
        path, _, name = reference.rpartition(":")
        if not path.endswith(".py"):
            return reference, reference
        sha256 = tree_sha256([("", Path(path))])
        staged = self._staged(Path(path).stem, sha256, [("", Path(path))])
        return f"{staged / Path(path).name}:{name}", f"{sha256}:{name}"

    def place(self, chain: Toolchain, requires: Sequence[str]) -> Toolchain:
        """Where a job runs: in the case's toolchain, or, if that lacks what the job needs, in another that has it.

        Raises:
            Missing: none here has it.
        """
        every = (chain, *self.chains, *toolchain.available())
        for other in every:
            if toolchain.can_run(other, requires):
                return other
        raise Missing(next((toolchain.lacking(o, requires) for o in every if toolchain.by_lock(o, requires)), ""))

    def plan(self, case: Case) -> Plan:
        """The tasks of a case; two cases share those with equal keys.

        Raises:
            UserError: weights or images cannot be had.
        """
        if case not in self._plans:
            self._plans[case] = self._plan(case)
        return self._plans[case]

    def _plan(self, case: Case) -> Plan:
        source = self.source(case.model, case.variant)
        chain = next(chain for chain in self.chains if chain.name == case.toolchain)
        plan = self._plan_pipeline if source.entry.is_pipeline else self._plan_model
        try:
            return plan(case, source, chain)
        except Missing as missing:
            return Plan(case, source, chain, skip=str(missing) or f"no toolchain here can run {source.model_id}")

    def _plan_pipeline(self, case: Case, source: Source, chain: Toolchain) -> Plan:
        """The tasks of a pipeline beside those of its parts.

        Raises:
            Missing: the recognizer cannot be run here.
        """
        plans = []
        for (engine, entry, variant), route in zip(self.parts(case.variant), pipelines.halves(case.route), strict=True):
            plans.append((engine, engine.plan(Case(entry.name, variant, route, case.mode, case.toolchain))))
        (_, detector), (engine, recognizer) = plans
        for _, plan in plans:
            if plan.skip:
                return Plan(case, source, chain, skip=f"{plan.case}: {plan.skip}")
        format_ = self.registry.formats[recognizer.format]
        if detector.run is None or format_.run is None:
            return Plan(case, source, chain, skip=f"{case}: an artifact of one of its routes cannot be run")
        maker = TaskMaker(engine, recognizer.source)
        home = self.place(chain, recognizer.source.description.requires)
        threads = {"threads": self.settings.threads}
        assert detector.predict is not None
        ours = maker.crops(home, source.images, detector.predict, f"words of {source.model_id}")
        theirs = maker.crops(home, source.images, detector.run, f"words of {case}")

        def read(crops: Task, title: str) -> Task:
            assert format_.run is not None
            return maker.job(
                recognizer.chain, format_.run, title, threads, {"artifact": recognizer.artifact, "inputs": crops}
            )

        words = {
            "source_words": maker.predict(home, ours, f"read words of {source.model_id}"),
            "run_words": read(theirs, f"read words of {case}"),
            "cross_words": read(ours, f"read the source's words by {case}"),
        }
        return Plan(
            case,
            source,
            chain,
            inputs=detector.inputs,
            predict=detector.predict,
            run=detector.run,
            parts=tuple(plans),
            words=words,
            no_search="a pipeline is not searched as a whole: search its parts, "
            + " and ".join(f"--ocr-model {part.source.model_id}" for _, part in plans),
        )

    def _twin(self, source: Source, chain: Toolchain) -> Task | None:
        """The task that runs the model's twin on the same images; ``None``: it cannot be run here.

        Raises:
            UserError: there is no such model.
        """
        name = source.description.twin
        if name is None:
            return None
        if name not in self.registry.models:
            raise near(name, self.registry.models, "model", f"{source.entry.contract.where}, model.twin")
        entry = self.registry.models[name]
        variant = source.variant if entry.contract.has_variant(source.variant) else entry.first_variant
        twin = replace(self.source(name, variant), images=source.images)
        maker = TaskMaker(self, twin)
        try:
            home = self.place(chain, twin.description.requires)
        except Missing:
            return None
        inputs = maker.inputs(home, twin.images, f"inputs of {twin.model_id}")
        return maker.predict(home, inputs, f"run {twin.model_id}")

    def _plan_model(self, case: Case, source: Source, chain: Toolchain) -> Plan:
        """The tasks of a detector or a recognizer.

        Raises:
            Missing: the toolchain is not here; or a hop, or the source, needs another one, which is not.
        """
        route = self.registry.routes[case.route]
        lacking = toolchain.lacking(chain, _requires(source.description, route))
        if lacking:
            raise Missing(lacking)
        maker = TaskMaker(self, source)
        options = {name: value for name, value in source.description.options.items() if name in route.options}
        home = self.place(chain, source.description.requires)
        inputs = maker.inputs(home, source.images, f"inputs of {source.model_id}")
        predict = maker.predict(home, inputs, f"run {source.model_id}")
        hops: list[tuple[str, Task, Task | None]] = []
        previous: Task | None = None
        for hop in route.hops(case.mode, options):
            place = self.place(chain, (*hop.requires, *(source.description.requires if hop.source else ())))
            task = maker.hop(place, hop, previous, case)
            made = self.registry.formats[hop.produces]
            run = None
            if made.run is not None:
                title = f"run {hop.name} of {case}"
                run = maker.job(
                    self.place(place, made.requires), made.run, title, {"threads": self.settings.threads},
                    {"artifact": task, "inputs": inputs}, preload=made.preload,
                )  # fmt: skip
            hops.append((hop.name, task, run))
            previous, last = task, hop
        assert previous is not None
        artifact, run = previous, hops[-1][2]
        format_ = self.registry.formats[last.produces]
        used = {"artifact": artifact, "inputs": inputs}
        threads = {"threads": self.settings.threads}

        def job(function: str | None, title: str, **more: Any) -> Task | None:
            if function is None:
                return None
            after = {"run": run} if run is not None else {}  # what does not run is not measured
            return maker.job(chain, function, f"{title} of {case}", threads, {**used, **after}, **more)

        def latency(baseline: Task | None, look: int) -> Task:
            assert format_.latency is not None
            beside = {"baseline": baseline} if baseline is not None and baseline.key != artifact.key else {}
            after = {"run": run} if run is not None else {}
            until = {"budget_seconds": LATENCY_SECONDS[look], "spread": 0.0 if look else LATENCY_SPREAD}
            title = f"latency of {case}" + (f", look {look + 1}" if look else "")
            return maker.job(
                chain, format_.latency, title, {**threads, **until, "with_source": home is chain},
                {**used, **after, **beside}, exclusive=True, this_machine=True,
            )  # fmt: skip

        inspect = format_.inspect and maker.job(chain, format_.inspect, f"look into {case}", {}, {"artifact": artifact})
        plan = Plan(
            case,
            source,
            chain,
            inputs=inputs,
            predict=predict,
            hops=tuple(hops),
            run=run,
            inspect=inspect or None,
            repeat=job(format_.repeat, "repeatability"),
            memory=job(format_.memory, "memory", fresh=True, this_machine=True),
            xnnpack=job(format_.xnnpack, "XNNPACK's share"),
            latency=latency if format_.latency else None,
            twin=self._twin(source, chain),
            describe=maker.describe(home) if source.description.kind == "recognizer" else None,
            product=format_.file,
            format=last.produces,
        )
        return self._with_search(self._with_micro(plan, maker), maker)

    def _with_micro(self, plan: Plan, maker: TaskMaker) -> Plan:
        """The plan with the task that runs the artifact in TFLite Micro, or with why there is none."""
        function = self.registry.formats[plan.format].micro
        if function is None or plan.inputs is None:
            return replace(plan, no_micro=f"no {plan.product} runs in TFLite Micro")
        demanded = "micro" in (self.limits_of(plan).ops.targets or ())
        used = {"artifact": plan.artifact, "inputs": plan.inputs, **({"run": plan.run} if plan.run is not None else {})}
        task, why = micro_task(self, maker, plan.chain, function, title=str(plan.case), used=used, demanded=demanded)
        return replace(plan, micro=task, no_micro=why)

    def _with_search(self, plan: Plan, maker: TaskMaker) -> Plan:
        """The plan with the task that searches for a counterexample, where the source lives; or with why there is none.

        Raises:
            Missing: the source cannot be run here.
            UserError: a kept counterexample is none.
        """
        settings, case, source, chain = self.settings, plan.case, plan.source, plan.chain
        if settings.search is None:
            return plan
        format_ = self.registry.formats[plan.format]
        if format_.open is None:
            return replace(
                plan, no_search=f"{format_.file} cannot be opened beside the source: its format has no `open`"
            )
        detector = source.description.kind == "detector"
        needs = (*source.description.requires, *SEARCH_REQUIRES, *(SCENE_SEARCH_REQUIRES if detector else ()))
        options = [(*needs, runtime) for runtime in format_.runtimes] or [needs]
        every = (chain, *self.chains, *toolchain.available())
        home = next((other for other in every if any(toolchain.can_run(other, each) for each in options)), None)
        if home is None:
            there = self.place(chain, source.description.requires)
            return replace(plan, no_search=toolchain.lacking(there, options[0]))
        function, identity = self._function(format_.open)
        params = {
            "threads": settings.threads,
            "examples": settings.search,
            "seed": settings.search_seed,
            "seconds": SEARCH_SHARE * settings.timeout,
            "replay": [picture for _, picture in self.kept(case)] if settings.replay else [],
        }
        after = {"run": plan.run} if plan.run is not None else {}  # what does not run is not searched
        task = maker.job(
            home, "ocr_conformance.diagnose.search:search", f"search of {case}", {**params, "open": function},
            {"artifact": plan.artifact, **after}, known={**params, "open": identity},
        )  # fmt: skip
        return replace(plan, search=task)

    def _counterexamples(self, case: Case) -> Path:
        """Where those of a case are kept, from run to run."""
        return self.settings.cache.absolute() / "counterexamples" / str(case).replace(":", ".")

    def kept(self, case: Case) -> list[tuple[Path, dict[str, Any]]]:
        """The counterexamples of a case that were kept: each one's file and picture, in the order of their names.

        Raises:
            UserError: a file there is no counterexample.
        """
        from ocr_conformance.diagnose.render import Picture

        found = []
        for path in sorted(self._counterexamples(case).glob("*.json")):
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
                picture = Picture.from_json(known["picture"] if isinstance(known, dict) else None)
                if self.registry.models[case.model].contract.model.kind == "recognizer" and len(picture.words) != 1:
                    raise ValueError("expected one word: the model is a recognizer")
            except (OSError, ValueError, KeyError) as error:
                reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
                raise UserError(
                    f"--ocr-replay: {path} is no counterexample ({reason}): mend it, or delete it with its picture"
                ) from None
            found.append((path, picture.to_json()))
        return found

    def _keep(self, plan: Plan, search: Outcome) -> Path | None:
        """Keep the counterexample that a search has found, picture and readings; each file appears whole.

        Returns:
            The picture; ``None`` where there is none.

        Raises:
            CacheError: it cannot be written.
        """
        found = search.facts.get("counterexample")
        if found is None or search.folder is None:
            return None
        target = self._counterexamples(plan.case) / f"{digest(found['picture'])[:16]}.png"
        known = {"case": str(plan.case), "seed": self.settings.search_seed, **found}
        with disk_errors(self.cache.root):
            manifest.write(target, search.folder / COUNTEREXAMPLE, known)
        return target

    def _baseline(self, plan: Plan) -> Plan:
        """The float32 case of the same route."""
        return self.plan(replace(plan.case, mode="float32"))

    def tasks(self, pairs: Iterable[tuple[Case, str]]) -> list[Task]:
        """What these checks will need, in this order; latency comes last.

        Raises:
            UserError: weights or images cannot be had.
        """
        found: list[Task] = []
        late: list[Task] = []
        for case, name in pairs:
            plan = self.plan(case)
            if plan.skip or (name == checks.SEARCH and plan.search is None):
                continue
            needs = checks.CHECKS[name].needs
            for engine, part in plan.parts:
                of_part = "conversion" if _of_the_whole(checks.CHECKS[name]) else name
                found += engine.tasks([(part.case, of_part)])
            found += [task for _, task, _ in plan.hops]
            found += [task for field_, task in self._tasks(plan).items() if field_ in needs and task is not None]
            if "source" in needs:  # and each hop beside it
                found += [run for _, _, run in plan.hops if run is not None]
            if plan.parts:
                continue
            if "baseline_inspect" in needs and (inspect := self._baseline(plan).inspect) is not None:
                found.append(inspect)
            if "latency" in needs and plan.latency is not None:
                late.append(plan.latency(self._baseline(plan).artifact, 0))
        return found + late

    def groups(self, pairs: Iterable[tuple[Case, str]]) -> dict[Case, str]:
        """Cases that share a job, directly or by way of others, under one name: the model of the first.

        Who judges whole groups runs no job that another runs, even without a cache in common.

        Raises:
            UserError: weights or images cannot be had.
        """
        checks_of: dict[Case, list[str]] = {}
        for case, name in pairs:
            checks_of.setdefault(case, []).append(name)
        order = list(checks_of)
        parent = list(range(len(order)))
        first: dict[str, int] = {}

        def root(number: int) -> int:
            while parent[number] != number:
                number = parent[number]
            return number

        for number, case in enumerate(order):
            tasks = self.tasks((case, name) for name in checks_of[case])
            for key in {each.key for task in tasks for each in task.closure()}:
                low, high = sorted((root(first.setdefault(key, number)), root(number)))
                parent[high] = low
        return {case: order[root(number)].model_id for number, case in enumerate(order)}

    def prefetch(self, pairs: Iterable[tuple[Case, str]]) -> None:
        """Start in the background what these checks will need.

        Raises:
            UserError: weights or images cannot be had.
        """
        listed = list(pairs)
        tasks = self.tasks(listed)
        self._report({case for case, name in listed if name == "conversion"})
        self.scheduler.add(tasks)

    def _report(self, cases: set[Case]) -> None:
        """Note the cases whose `conversion` is judged in this run, and the parts of those that are pipelines."""
        self._reported |= cases
        for case in cases:
            for engine, part in self.plan(case).parts:
                engine._report({part.case})

    @staticmethod
    def _tasks(plan: Plan) -> dict[str, Task | None]:
        return {
            "inputs": plan.inputs,
            "source": plan.predict,
            "run": plan.run,
            "inspect": plan.inspect,
            "repeat": plan.repeat,
            "memory": plan.memory,
            "xnnpack": plan.xnnpack,
            "micro": plan.micro,
            "twin": plan.twin,
            "search": plan.search,
            **plan.words,
        }

    # --- judging ------------------------------------------------------------------------------------------------

    def evidence(self, case: Case, needs: frozenset[str]) -> Evidence:
        """Gather evidence of a case; waits for the jobs.

        Raises:
            UserError: the cache could not take a result.
        """
        plan = self.plan(case)
        source = plan.source
        evidence = Evidence(
            case,
            labels=source.images.labels,
            images=source.images.files,
            truth=source.images.words,
            weights_name=f"{source.weights.name} ({source.weights.sha256[:12]})",
            own_images=self.settings.images is None and self.settings.samples >= Settings.samples,
            no_micro=plan.no_micro,
        )
        outcome = self.scheduler.outcome
        if plan.parts:
            failed = self._evidence_of_parts(plan, evidence)
            for name, asked in self._tasks(plan).items() if not failed else ():
                if name in needs and asked is not None:
                    setattr(evidence, name, outcome(asked))
            return evidence
        hops: list[Hop] = []
        for name, task, run in plan.hops:
            done = outcome(task)
            if done is None:
                culprit = self.scheduler.culprit(task)
                if culprit is not None and all(hop.outcome.ok for hop in hops):  # the calibration set, say
                    hops.append(Hop(culprit[0].title, culprit[1]))
                break
            wanted = run is not None and "source" in needs and done.ok
            hops.append(Hop(name, done, outcome(run) if wanted and run is not None else None))
        evidence.hops = tuple(hops)
        if not hops or not hops[-1].outcome.ok or len(hops) < len(plan.hops):
            return evidence
        if plan.run is not None:
            evidence.run = outcome(plan.run)
        if plan.run is not None and (evidence.run is None or not evidence.run.ok):
            return evidence
        for name, asked in self._tasks(plan).items():
            if name in needs and asked is not None and name != "run":
                setattr(evidence, name, outcome(asked))
        if evidence.search is not None and evidence.search.ok:
            evidence.counterexample = self._keep(plan, evidence.search)
        if "baseline_inspect" in needs and (inspect := self._baseline(plan).inspect) is not None:
            evidence.baseline_inspect = outcome(inspect)
        if "latency" in needs and plan.latency is not None:
            evidence.latency = outcome(plan.latency(self._running_baseline(plan), 0))
        return evidence

    @staticmethod
    def _evidence_of_parts(plan: Plan, evidence: Evidence) -> bool:
        """Add the hops of a pipeline's parts, up to the first that did not end well; whether there is one."""
        for engine, part in plan.parts:
            found = engine.evidence(part.case, frozenset({"run"}))
            name = part.source.model_id
            evidence.hops += tuple(replace(hop, name=f"{name}: {hop.name}") for hop in found.hops)
            if found.failure() is not None:
                evidence.run = found.run
                return True
        return False

    def _look_again(self, plan: Plan, evidence: Evidence) -> bool:
        """Time the invokes once more, for longer; whether there is now more evidence of latency."""
        look = 1 + len(evidence.more_latency)
        if evidence.latency is None or plan.latency is None or look >= len(LATENCY_SECONDS):
            return False
        more = self.scheduler.outcome(plan.latency(self._running_baseline(plan), look))
        if more is None or not more.ok:
            return False
        evidence.more_latency += (more,)
        return True

    def _running_baseline(self, plan: Plan) -> Task | None:
        baseline = self._baseline(plan)
        ran = self.scheduler.outcome(baseline.run) if baseline.run is not None else None
        return baseline.artifact if ran is not None and ran.ok else None

    def judge(self, case: Case, name: str) -> CheckResult:
        """Put one check to one case; waits for what it needs. What the user did wrong is a failed verdict."""
        known = self._results.get((case, name))
        if known is None:
            try:
                known = self._judge(case, name)
            except UserError as error:
                known = CheckResult(name, "failed", str(error))
            self._results[case, name] = known
        return known

    def _judge(self, case: Case, name: str) -> CheckResult:
        plan = self.plan(case)
        if plan.skip:
            return CheckResult(name, "skipped", plan.skip)
        if name == checks.SEARCH and plan.search is None:
            return CheckResult(name, "skipped", plan.no_search)
        check = checks.CHECKS[name]
        if plan.parts and not _of_the_whole(check):
            return _joined(name, [(part, engine.judge(part.case, name)) for engine, part in plan.parts])
        contract = plan.source.entry.contract
        evidence = self.evidence(case, check.needs)
        failure = evidence.failure()
        if failure is None:
            stopped = self._stopped(plan, evidence, check.needs)
            if stopped is not None:
                what, outcome = stopped
                message = f"{what} could not be had: {outcome.kind} at {outcome.stage}: {outcome.message}"
                return CheckResult(name, "failed", message, details=() if outcome.kind == "exception" else outcome.tail)
        elif name != "conversion" and case not in self._reported:
            # Nobody else says it: a case that did not convert must not look as if nothing were wrong.
            return replace(self._judge(case, "conversion"), check=name)
        limits = self.limits_of(plan)
        result = check(evidence, limits)
        while result.verdict == "undecided" and self._look_again(plan, evidence):
            result = check(evidence, limits)
        if failure is None:
            self._hand_out(plan)
            result = self._drawn(plan, result)
        seen = evidence_seen(evidence)
        claims = contract.claims(case, _versions(plan.chain), weights=plan.source.weights.name)
        result = replace(result, data={**result.data, "seen": seen}, seconds=evidence_seconds(evidence, check.needs))
        judged = apply_claims(case, result, failure, claims, seen=seen)
        return self._explained(plan, judged) if judged.verdict == "failed" else judged

    def _explained(self, plan: Plan, result: CheckResult) -> CheckResult:
        """A failed result with a line on the op that did it, where the artifact can be looked into."""
        if not self.settings.explain or result.check not in EXPLAINED or plan.parts or plan.format != "tflite":
            return result
        from ocr_conformance import explanation  # which stands on this floor

        try:
            found = explanation.explain(self, plan.case)
            line = explanation.sentence(found)
            self._explanations[plan.case] = explanation.summary(found)
        except UserError as error:
            line = str(error)
        return replace(result, details=(*result.details, f"why: {line} (ocr-conformance explain {plan.case})"))

    def _stopped(self, plan: Plan, evidence: Evidence, needs: frozenset[str]) -> tuple[str, Outcome] | None:
        """The job of those that a check needs, or that they build on, that did not end well."""
        tasks = self._tasks(plan)
        for needed in sorted(needs, key=list(vars(evidence)).index):  # inputs before source before run
            outcome, task = getattr(evidence, needed), tasks.get(needed)
            if isinstance(outcome, Outcome) and not outcome.ok and needed not in MAY_FAIL:
                return needed, outcome
            if outcome is None and task is not None and needed not in MAY_FAIL:
                culprit = self.scheduler.culprit(task)
                if culprit is not None:
                    return culprit[0].title, culprit[1]
        return None

    def limits_of(self, plan: Plan) -> Limits:
        """What the contract promises of a case, on this run's weights."""
        source = plan.source
        return source.entry.contract.limits(
            plan.case, _versions(plan.chain), self.settings.device, weights=source.weights.name
        )

    def _hand_out(self, plan: Plan) -> None:
        """Copy the artifact and its manifest to ``--ocr-artifacts``; each file appears whole."""
        root = self.settings.artifacts
        if root is None or plan.case in self._handed_out:
            return
        if plan.parts:
            for engine, part in plan.parts:
                engine._hand_out(part)
            return
        artifact = self.scheduler.outcome(plan.artifact)
        if artifact is None or artifact.folder is None or not self.cache.verify(plan.artifact.key):
            return
        asked = {name: getattr(plan, name) for name in ("inputs", "run", "inspect", "describe")}
        outcomes = {name: self.scheduler.outcome(task) for name, task in asked.items() if task is not None}
        source = plan.source
        claims = source.entry.contract.claims(plan.case, _versions(plan.chain), weights=source.weights.name)
        known = manifest.document(plan, claims, artifact=artifact, **{**dict.fromkeys(asked), **outcomes})
        target = root / f"{str(plan.case).replace(':', '.')}{Path(plan.product).suffix}"
        try:
            manifest.write(target, artifact.folder / plan.product, known)
        except OSError as error:
            raise UserError(f"--ocr-artifacts {root}: cannot write {target.name} ({error.strerror})") from error
        self._handed_out[plan.case] = target

    def handed_out(self, case: Case) -> list[Path]:
        """The artifacts of a case, or of a pipeline's parts, that were written to ``--ocr-artifacts`` in this run."""
        plan = self.plan(case)
        parts = [(engine, part.case) for engine, part in plan.parts] or [(self, case)]
        return [engine._handed_out[each] for engine, each in parts if each in engine._handed_out]

    def _drawn(self, plan: Plan, result: CheckResult) -> CheckResult:
        """Draw what a check found in each scene to ``--ocr-pictures``; the result with where the pictures are."""
        if self.settings.pictures is None or "images" not in result.data:
            return result
        of = plan.source.images
        paths = {file: sample.path for file, sample in zip(of.files, of.samples, strict=True)}
        drawn = [
            str(pictures.write(self.settings.pictures, str(plan.case), paths[each["image"]], each["image"], each))
            for each in result.data["images"]
        ]
        return replace(result, data={**result.data, "pictures": drawn})

    def made(self, case: Case) -> dict[str, Any]:
        """What was made of a case that was judged, as a record has it: hops, files, how a failure came about."""
        found: dict[str, Any] = {"hops": [], "artifacts": []}
        try:
            plan = self.plan(case)
            hops = () if plan.skip else self.evidence(case, frozenset()).hops
        except UserError:  # has been said by each check
            return found
        if plan.skip:
            return found
        for hop in hops:
            known = {name: getattr(hop.outcome, name) for name in _HOP_COSTS}
            found["hops"].append({"name": hop.name, **known})
        for engine, part in plan.parts or ((self, plan),):
            artifact = engine.scheduler.outcome(part.artifact)
            file = engine.cache.file(part.artifact.key, part.product) if artifact is not None and artifact.ok else None
            if file is not None:
                named = {"model": part.source.model_id, "file": part.product}
                found["artifacts"].append({**named, "sha256": file["sha256"], "bytes": file["size"]})
        if case in self._explanations:
            found["explanation"] = self._explanations[case]
        return found

    @property
    def results(self) -> dict[Case, dict[str, CheckResult]]:
        """What was judged so far, by case."""
        found: dict[Case, dict[str, CheckResult]] = {}
        for (case, name), result in self._results.items():
            found.setdefault(case, {})[name] = result
        return found

    @property
    def executed(self) -> int:
        """How many jobs this engine really ran; the rest came from the cache."""
        return self._scheduler.executed if self._scheduler else 0

    def close(self) -> None:
        """Stop running jobs; what they had done is dropped, what was finished is kept."""
        try:
            if self._scheduler is not None:  # the parts' engines have none
                self._scheduler.close()
        finally:
            self._in_use.close()


class TaskMaker:
    """Makes the tasks of one source, each with the key of everything that determines its result."""

    def __init__(self, engine: Engine, source: Source, *, alphabet: str | None = None) -> None:
        self._engine = engine
        self._source = source
        entry = source.entry
        self._adapter = engine._adapter(source)
        file = self._adapter / entry.adapter_file.relative_to(entry.code_folder)
        self._model = model_reference(f"{file}:{entry.adapter_class}", source.variant, source.weights)
        if entry.contract.reading is not None:
            self._model["reading"] = entry.contract.reading.model_dump()
            alphabet = alphabet or entry.contract.model.alphabet
        if alphabet is not None:
            self._model["alphabet"] = alphabet
        self._identity = {
            "alphabet": alphabet,
            "reading": self._model.get("reading"),
            "code": source.code_sha256,
            "class": entry.adapter_class,
            "variant": source.variant,
            "weights": [source.weights.name, source.weights.sha256],
        }

    def _workplace(self, chain: Toolchain, preload: tuple[str, ...], *, fresh: bool) -> Workplace:
        description = self._source.description
        if fresh:  # launched by a parent that holds nothing: its peak memory would count as the child's
            preload = ()
        elif toolchain.can_run(chain, description.requires):
            preload = tuple(f"{self._adapter / name}" if ".py:" in name else name for name in description.preload)
        environment = tuple(sorted(description.environment.items()))
        return Workplace(chain.python, (str(self._engine._worker_path),), environment, preload)

    def job(
        self,
        chain: Toolchain,
        function: str,
        title: str,
        params: dict[str, Any] | None = None,
        inputs: dict[str, Task] | None = None,
        *,
        known: dict[str, Any] | None = None,
        fresh: bool = False,
        exclusive: bool = False,
        this_machine: bool = False,
        preload: tuple[str, ...] = (),
    ) -> Task:
        """A task of this model. ``known`` replaces ``params`` in the key where they hold paths.

        ``preload`` is for a toolchain that does not have the source's framework.
        """
        function, identity = self._engine._function(function)
        threads = str((params or {}).get("threads", 1))
        key = digest(
            {
                "engine": _worker_sha256(),
                "function": identity,
                "params": params if known is None else known,
                "model": self._identity,
                "environment": sorted(self._source.description.environment.items()),
                "toolchain": [chain.name, chain.lock_sha256],
                "cpu": [cpu()["machine"], cpu()["features"]],
                "machine": [platform.node(), cpu()["model"], os.cpu_count()] if this_machine else None,
                "inputs": {name: task.key for name, task in (inputs or {}).items()},
                "fresh": fresh,
            }
        )
        return Task(
            key,
            title,
            function,
            {**(params or {}), "model": self._model},
            self._workplace(chain, preload, fresh=fresh),
            inputs or {},
            fresh,
            exclusive,
            dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), threads) if fresh else {},
        )

    def inputs(self, chain: Toolchain, image_set: ImageSet, title: str) -> Task:
        """Preprocess a set of images."""
        return self._of_images(chain, "ocr_conformance.runtime.source:prepare", title, image_set)

    def crops(self, chain: Toolchain, image_set: ImageSet, boxes: Task, title: str) -> Task:
        """Cut the boxes that a detector's task found, and preprocess them for this recognizer."""
        return self._of_images(chain, "ocr_conformance.runtime.crops:cut", title, image_set, {"boxes": boxes})

    def _of_images(
        self, chain: Toolchain, function: str, title: str, image_set: ImageSet, inputs: dict[str, Task] | None = None
    ) -> Task:
        """A job on the files of a set; its key has their hashes, not where they lie."""
        listed = [{"path": str(sample.path.absolute()), "sha256": sample.sha256} for sample in image_set.samples]
        hashes = {"images": [sample.sha256 for sample in image_set.samples]}
        return self.job(chain, function, title, {"images": listed}, inputs, known=hashes)

    def predict(self, chain: Toolchain, inputs: Task, title: str) -> Task:
        """Run the source network on what `inputs` or `crops` has prepared."""
        return self.job(chain, "ocr_conformance.runtime.source:predict", title, inputs={"inputs": inputs})

    def describe(self, chain: Toolchain) -> Task:
        """Find out how a recognizer's scores are read."""
        return self.job(chain, "ocr_conformance.runtime.source:describe", f"classes of {self._source.model_id}")

    def hop(self, chain: Toolchain, hop: HopSpec, previous: Task | None, case: Case) -> Task:
        """One hop of a route; the calibration set comes along where the hop asks for it."""
        inputs = {"previous": previous} if previous is not None else {}
        if hop.needs_calibration:
            home = self._engine.place(chain, self._source.description.requires)
            inputs["calibration"] = self.inputs(
                home, self._source.calibration, f"calibration inputs of {self._source.model_id}"
            )
        title = f"{hop.name} of {case.model_id}@{chain.name}"
        return self.job(chain, hop.function, title, hop.params, inputs, preload=hop.preload)


def micro_task(
    engine: Engine,
    maker: TaskMaker,
    chain: Toolchain,
    function: str,
    *,
    title: str,
    used: dict[str, Task],
    demanded: bool,
) -> tuple[Task | None, str]:
    """The task that runs an artifact in TFLite Micro, or why there is none.

    Args:
        chain: where the rest of the case runs, which need not have TFLite Micro.
        used: the tasks of the job's inputs.
        demanded: the contract asks for it; then the file may be of any size.
    """
    try:
        home = engine.place(chain, MICRO_REQUIRES)
    except Missing as missing:
        return None, str(missing) or f"no toolchain here has {MICRO_REQUIRES[0]}"
    limits = dict.fromkeys(MICRO_UNASKED) if demanded else MICRO_UNASKED
    params = {"samples": MICRO_SAMPLES, **limits}
    return maker.job(home, function, f"{title} in TFLite Micro", params, used), ""


def _of_the_whole(check: checks.Check) -> bool:
    """Whether a check is put to a pipeline itself; the others are put to its parts."""
    return "run_words" in check.needs


_WORST = ("failed", "undecided", "unsupported", "not-run", "skipped", "passed")


def _joined(name: str, results: Sequence[tuple[Plan, CheckResult]]) -> CheckResult:
    """One result for the parts of a pipeline: the worst verdict, every value under its part's kind."""
    verdict = min((result.verdict for _, result in results), key=_WORST.index)
    deciding = [(part, result) for part, result in results if result.verdict == verdict]
    shown = results if verdict == "passed" else deciding
    return CheckResult(
        name,
        verdict,
        " | ".join(f"{part.source.model_id}: {result.message}" for part, result in shown),
        tuple(
            replace(value, name=f"{part.source.description.kind}_{value.name}")
            for part, result in results
            for value in result.values
        ),
        tuple(f"{part.source.model_id}: {line}" for part, result in shown for line in result.details),
        {part.source.description.kind: result.data for part, result in results},
    )


def _versions(chain: Toolchain) -> dict[str, str]:
    return {**chain.versions, "python": platform.python_version()} if chain.is_here else dict(chain.versions)


def evidence_seen(evidence: Evidence) -> float:
    """When the newest part of the evidence was really made, in seconds since the epoch (0: none was needed)."""
    outcomes = [hop.outcome for hop in evidence.hops]
    outcomes += [value for value in vars(evidence).values() if isinstance(value, Outcome)]
    outcomes += evidence.more_latency
    return max((outcome.seen for outcome in outcomes), default=0.0)


def evidence_seconds(evidence: Evidence, needs: Iterable[str]) -> float:
    """Wall time of the jobs of these fields."""
    found = [getattr(evidence, name) for name in needs]
    found += evidence.more_latency if "latency" in needs else ()
    return sum(outcome.seconds for outcome in found if isinstance(outcome, Outcome))


@dataclass(frozen=True)
class Report:
    """What `check_conformance` found."""

    results: dict[str, dict[str, CheckResult]]
    """Results by case string and check."""

    @property
    def passed(self) -> bool:
        """Something was judged, nothing failed or is undecided. pytest also asks for a passed mode beyond float32."""
        verdicts = [result.verdict for by_check in self.results.values() for result in by_check.values()]
        return any(verdict in JUDGED for verdict in verdicts) and not {"failed", "undecided"} & set(verdicts)


def check_conformance(
    *models: str, registry: Registry | None = None, settings: Settings | None = None, **options: Any
) -> Report:
    """Judge models without pytest: the same cases, checks and contracts as ``pytest --ocr-model MODEL``.

    Args:
        models: names or globs, as ``--ocr-model``.
        registry: what can be judged; the built-in models unless given.
        settings: of the run; ``options`` (`Settings` fields, e.g. ``modes=("int8",)``) replace single ones.

    Returns:
        The results by case and check; ``report.passed`` says whether all is well.

    Raises:
        UserError: a model, mode, route or path is wrong.
    """
    base = settings or Settings()
    given = replace(base, models=models or base.models, **options)
    with Engine(given, registry or Registry.built_in()) as engine:
        pairs = [(case, check.name) for case in engine.cases for check in engine.checks_of(case)]
        engine.prefetch(pairs)
        for case, name in sorted(pairs, key=lambda pair: pair[1] == "latency"):
            engine.judge(case, name)
        return Report({str(case): by_check for case, by_check in engine.results.items()})


@contextlib.contextmanager
def temporary_cache() -> Iterator[Path]:
    """A cache for one run, for ``--ocr-no-cache``."""
    with tempfile.TemporaryDirectory(prefix="ocr-conformance-") as folder:
        yield Path(folder)
