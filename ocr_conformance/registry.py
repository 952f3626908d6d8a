"""What can be judged: models, routes, formats and checks, the built-in ones and those that other repositories add."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocr_conformance import checks, pipelines, resources
from ocr_conformance.cases import MODES, is_glob, matches
from ocr_conformance.contract import Contract, from_dict, load
from ocr_conformance.convert import ROUTES, Route
from ocr_conformance.errors import UserError
from ocr_conformance.names import near as near_names


@dataclass(frozen=True)
class Format:
    """How a hop's product is run and looked into: job functions, ``None`` where that cannot be done.

    ``run`` and the others are as in `ocr_conformance.runtime`; ``file`` is what a hop leaves in its folder.
    ``requires`` is what running it needs in a toolchain, ``preload`` what a warm parent without the source framework
    imports for it. ``open`` opens it beside the source, in one process (see `ocr_conformance.diagnose.search`), and
    ``runtimes`` are the distributions of which one must be there to open it (none: nothing is needed).
    """

    file: str
    run: str | None = None
    inspect: str | None = None
    repeat: str | None = None
    latency: str | None = None
    memory: str | None = None
    xnnpack: str | None = None
    micro: str | None = None
    requires: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    open: str | None = None
    runtimes: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "onnx": Format("model.onnx", run="ocr_conformance.runtime.onnx:run", requires=("onnxruntime",)),
    "saved-model": Format(
        "saved_model",
        run="ocr_conformance.runtime.saved_model:run",
        requires=("tensorflow",),
        preload=("tensorflow",),
    ),
    "tflite": Format(
        "model.tflite",
        run="ocr_conformance.runtime.litert:run",
        inspect="ocr_conformance.inspect.tflite:inspect",
        repeat="ocr_conformance.runtime.litert:repeat",
        latency="ocr_conformance.runtime.latency:measure",
        memory="ocr_conformance.runtime.memory:measure",
        xnnpack="ocr_conformance.runtime.xnnpack:partition",
        micro="ocr_conformance.runtime.micro:run",
        open="ocr_conformance.runtime.litert:open_artifact",
        runtimes=("ai-edge-litert", "tensorflow"),
    ),
}


@dataclass(frozen=True)
class FileSource:
    """A kind of network that exists only as a file.

    ``what`` is it in words, ``proof`` a file below it (empty: it is one file), ``defaults`` those of its ``[model]``.
    """

    what: str
    proof: str
    defaults: Mapping[str, Any]


FILE_SOURCES: dict[str, FileSource] = {
    "onnx-file": FileSource(
        "ONNX file",
        "",
        {
            "framework": "onnx",
            "adapter": "model.py:OnnxFile",
            "requires": ["onnxruntime", "onnx"],
            "preload": ["onnxruntime"],
            "routes": ["onnx-tf", "onnx2tf", "onnx2tf-direct"],
        },
    ),
    "saved-model": FileSource(
        "SavedModel",
        "saved_model.pb",
        {
            "framework": "saved-model",
            "adapter": "model.py:SavedModelFile",
            "requires": ["tensorflow"],
            "preload": ["tensorflow"],
            "routes": ["tf-lite", "litert-quantizer"],
        },
    ),
}
"""By the name that ``--ocr-model`` has before the colon."""


@dataclass(frozen=True)
class ModelEntry:
    """One model folder: its contract, its adapter, and whether it came with this project."""

    folder: Path
    contract: Contract
    built_in: bool
    file: Path | None = None
    """The file or folder that is the source network itself (``onnx-file:PATH``, ``saved-model:PATH``)."""
    own_code: Path | None = None
    """The adapter's folder, where it is not ``folder``."""

    @property
    def name(self) -> str:
        """The model's name in case strings."""
        return self.contract.model.name

    @functools.cached_property
    def python_files(self) -> tuple[tuple[str, Path], ...]:
        """The adapter's Python files and those of the models it uses, by path below the folder of all models.

        A folder ``training`` beside an adapter is none of it: no job needs it, and evidence outlives its changes.
        """
        folders = (self.code_folder, *(self.folder.parent / name for name in self.contract.model.uses))
        return tuple(
            (f"{folder.name}/{path.relative_to(folder)}", path)
            for folder in folders
            for path in sorted(folder.rglob("*.py"))
            if path.relative_to(folder).parts[0] != "training" and path.is_file()
        )

    @property
    def default_variants(self) -> list[str]:
        """Those that are judged where only the model's name is selected; ``""`` is the plain model."""
        known = self.contract.variants.items()
        return [*self.contract.plain, *(name for name, variant in known if variant.default)]

    @property
    def first_variant(self) -> str:
        """The one that is meant where the model's name alone stands for one network."""
        return (self.default_variants or list(self.contract.variants))[0]

    @property
    def is_pipeline(self) -> bool:
        """Whether it is made of two other models."""
        return self.contract.model.kind == "pipeline"

    @property
    def code_folder(self) -> Path:
        """The folder of the adapter's Python files."""
        return self.own_code or self.folder

    @property
    def adapter_file(self) -> Path:
        """The Python file that defines the adapter."""
        return self.code_folder / self.contract.model.adapter.rpartition(":")[0]

    @property
    def adapter_class(self) -> str:
        """The adapter's class name in that file."""
        return self.contract.model.adapter.rpartition(":")[2]


def near(name: str, known: Iterable[str], what: str, option: str) -> UserError:
    """A usage error for an unknown name that lists the near matches first."""
    names = sorted(known)
    close = near_names(name, names)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    return UserError(f"{option} {name}: there is no such {what}; {hint} (--ocr-list shows all)")


@dataclass
class Registry:
    """Everything a run can choose from. Another repository's plugin gets it in ``pytest_ocr_register``."""

    models: dict[str, ModelEntry] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=lambda: dict(ROUTES))
    formats: dict[str, Format] = field(default_factory=lambda: dict(FORMATS))

    def add_model(self, folder: Path, contract: Mapping[str, Any] | None = None, *, built_in: bool = False) -> None:
        """Add the model in ``folder``: ``model.py`` and ``contract.toml``, or the contract's data in its place.

        Raises:
            UserError: the contract or the adapter file is missing or wrong, or the name is taken.
        """
        where = f"contract of {folder.name}"
        read = load(folder / "contract.toml") if contract is None else from_dict(contract, where)
        entry = ModelEntry(folder, read, built_in)
        if read.model.adapter and not entry.adapter_file.is_file():
            raise UserError(f"{read.where}, model.adapter: there is no {entry.adapter_file}")
        for name in read.model.uses:
            if not (folder.parent / name).is_dir():
                raise UserError(f"{read.where}, model.uses: there is no folder {folder.parent / name}")
        taken = self.models.get(entry.name)
        if taken is not None:
            raise UserError(f"two models are named {entry.name!r}: {taken.folder} and {folder}; rename one")
        self.models[entry.name] = entry

    def add_file(self, kind: str, path: Path) -> ModelEntry:
        """Add the model that is the ONNX file or SavedModel ``path``, with the contract beside it.

        The contract is ``NAME.toml`` beside the file, or ``contract.toml`` in its folder. Its ``[model]`` needs a name,
        a summary and an alphabet, and ``[reading]`` says how images are fed; the rest has defaults.

        Raises:
            UserError: there is no such file or contract, or the contract is wrong.
        """
        known = FILE_SOURCES[kind]
        source = path.expanduser().absolute()
        wanted = source / known.proof if known.proof else source
        if not wanted.is_file():
            raise UserError(f"--ocr-model {kind}:{path}: there is no {known.what} {wanted}")
        beside = (source.with_name(f"{source.name.removesuffix('.onnx')}.toml"), source.parent / "contract.toml")
        found = next((each for each in beside if each.is_file()), None)
        if found is None:
            raise UserError(
                f"--ocr-model {kind}:{path}: expected a contract beside it, {beside[0].name} or {beside[1].name} in "
                f"{source.parent}, that says how images are fed and texts read (docs/add-your-model.md)"
            )
        contract = load(found, {"model": known.defaults, "weights": {"file": {"recipe": kind}}})
        own = contract.model.adapter != known.defaults["adapter"]
        if contract.reading is None and not own:
            raise UserError(f"{found}: this key is missing: [reading], how images are fed and texts read")
        code = None if own else resources.folder("models") / "from-file"
        entry = ModelEntry(source.parent, contract, False, source, code)
        if not entry.adapter_file.is_file():
            raise UserError(f"{contract.where}, model.adapter: there is no {entry.adapter_file}")
        taken = self.models.setdefault(entry.name, entry)
        if taken.file != source:
            raise UserError(f"two models are named {entry.name!r}: {taken.folder} and {source}; rename one")
        return taken

    def add_models(self, root: Path, *, built_in: bool = False) -> None:
        """Add every folder below ``root`` that has a ``contract.toml``.

        Raises:
            UserError: ``root`` is no folder or holds no model, or see `add_model`.
        """
        if not root.is_dir():
            raise UserError(f"the folder of models {root} does not exist: correct ocr_model_paths")
        folders = sorted(path.parent for path in root.glob("*/contract.toml"))
        if not folders:
            raise UserError(f"the folder of models {root} holds no model: expected {root}/NAME/contract.toml")
        for folder in folders:
            self.add_model(folder, built_in=built_in)

    def add_route(self, route: Route) -> None:
        """Add a route; its hop functions may be ``/path/file.py:function``.

        Raises:
            UserError: the name is taken.
        """
        if self.routes.setdefault(route.name, route) is not route:
            raise UserError(f"there already is a route named {route.name!r}")

    def add_format(self, name: str, format_: Format) -> None:
        """Add (or replace) how a hop's product is run and looked into."""
        self.formats[name] = format_

    def add_check(self, check: checks.Check) -> None:
        """Add a check. It is put to every case whose model is of one of its kinds.

        Unlike models, routes and formats, checks belong to the process, not to this registry: every registry of the
        process then has it (`checks.CHECKS`), and nothing takes it away again.
        """
        checks.register(check)

    @classmethod
    def built_in(cls) -> Registry:
        """The models, routes, formats and checks that came with this project."""
        registry = cls()
        registry.add_models(resources.folder("models"), built_in=True)
        return registry

    def variants(self, patterns: Iterable[str], *, own_only: bool = False) -> list[tuple[ModelEntry, str]]:
        """The (model, variant) pairs that ``--ocr-model`` patterns select, in registration order.

        A pattern without a colon selects models, each with its default variants; one with a colon selects variants by
        their full name, a glob only the default ones. No pattern: every model (of the user's own, if ``own_only``).

        Raises:
            UserError: a pattern matches nothing; names the near matches.
        """
        chosen: dict[tuple[str, str], None] = {}
        wanted = list(patterns)
        for entry in self.models.values():
            if not wanted and not (own_only and entry.built_in):
                chosen |= dict.fromkeys((entry.name, variant) for variant in entry.default_variants)
        for pattern in wanted:
            kind, _, path = pattern.partition(":")
            if kind in FILE_SOURCES:
                entry = self.add_file(kind, Path(path))
                chosen |= dict.fromkeys((entry.name, variant) for variant in entry.default_variants)
                continue
            found = [pair for entry in self.models.values() for pair in _matching(entry, pattern)]
            if not found:
                known = {f"{e.name}:{v}" for e in self.models.values() for v in e.contract.variants} | set(self.models)
                raise near(pattern, known, "model", "--ocr-model")
            chosen |= dict.fromkeys(found)
        for name, variant in chosen:
            if self.models[name].is_pipeline:
                pipelines.parts(self, variant)
        order = list(self.models)
        return [(self.models[name], v) for name, v in sorted(chosen, key=lambda pair: order.index(pair[0]))]

    def check_modes(self, patterns: Iterable[str]) -> None:
        """Raise a `UserError` for a ``--ocr-mode`` that matches no mode."""
        _check(patterns, MODES, "mode", "--ocr-mode")

    def check_routes(self, patterns: Iterable[str]) -> None:
        """Raise a `UserError` for a ``--ocr-route`` that matches no route; of a pipeline's, for either half."""
        for pattern in patterns:
            whole = pattern in self.routes
            _check([pattern] if whole else pattern.split(pipelines.JOINT), self.routes, "route", "--ocr-route")

    def check_checks(self, patterns: Iterable[str]) -> None:
        """Raise a `UserError` for a ``--ocr-check`` that matches no check."""
        _check(patterns, checks.CHECKS, "check", "--ocr-check")


def _check(patterns: Iterable[str], known: Iterable[str], what: str, option: str) -> None:
    names = list(known)
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            raise near(pattern, names, what, option)


def _matching(entry: ModelEntry, pattern: str) -> list[tuple[str, str]]:
    if ":" not in pattern:
        return [(entry.name, variant) for variant in entry.default_variants] if matches(entry.name, [pattern]) else []
    model, _, wanted = pattern.partition(":")
    # The pattern of "any two parts" matches a glob as well.
    exact = [wanted] if model == entry.name and not is_glob(wanted) and entry.contract.has_variant(wanted) else []
    globbed = [v for v in entry.default_variants if v and matches(f"{entry.name}:{v}", [pattern])]
    return [(entry.name, variant) for variant in dict.fromkeys([*exact, *globbed])]
