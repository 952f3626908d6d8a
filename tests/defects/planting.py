"""Judge a good case with a defect in it: by the engine, the contract and the checks that judge every other case."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocr_conformance.cache import file_sha256
from ocr_conformance.cases import Case
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.convert import HopSpec, Route
from ocr_conformance.registry import ModelEntry, Registry
from ocr_conformance.results import CheckResult

from .library import Seeded

HERE = Path(__file__).parent
ARTIFACTS, ADAPTERS = HERE / "artifacts.py", HERE / "adapters.py"


@dataclass(frozen=True)
class Good:
    """A case that passes: its engine, and the artifacts that the case's parts have, by mode."""

    engine: Engine
    case: Case


class Nursery:
    """Good cases, converted once, and what becomes of them.

    All engines share the cache and the running jobs of the first.
    """

    def __init__(self, cache: Path, folder: Path) -> None:
        self.settings = Settings(cache=cache, explain=False)
        self.folder = folder
        self.first = Engine(self.settings, Registry.built_in())
        self._good: dict[tuple[str, str], Good] = {}
        self._engines: dict[tuple[Seeded, float, str, bool], Engine] = {}

    def close(self) -> None:
        self.first.close()

    def good(self, name: str, weights: str = "") -> Good:
        """The case of a name without toolchain, judged in the first that has it, which is this environment."""
        if (name, weights) not in self._good:
            model, route, mode = name.rsplit("/", 2)
            chosen = (weights,) if weights else ()
            settings = replace(self.settings, models=(model,), routes=(route,), modes=(mode,), weights=chosen)
            engine = Engine(settings, Registry.built_in(), whole=self.first)
            (case,) = (case for case in engine.cases if case.model_id == model)
            self._good[name, weights] = Good(engine, case)
        return self._good[name, weights]

    def artifact(self, good: Good, part: str = "") -> Path:
        """The file of a case, or of a pipeline's part."""
        engine, plan = good.engine, good.engine.plan(good.case)
        assert not plan.skip, plan.skip
        if part:
            engine, plan = next(each for each in plan.parts if each[1].source.entry.name == part)
        made = engine.scheduler.outcome(plan.artifact)
        assert made is not None and made.ok and made.folder is not None, made
        return made.folder / plan.product

    def images(self, good: Good) -> Any:
        """What the network of a case is fed: ``[N, ...]``."""
        plan = good.engine.plan(good.case)
        assert plan.inputs is not None
        fed = good.engine.scheduler.outcome(plan.inputs)
        assert fed is not None
        (images,) = fed.tensors("inputs.npz").values()
        return images

    def judge(self, seeded: Seeded, size: float, check: str = "", *, planted: bool = True) -> CheckResult:
        """Put one check, the defect's own unless another is named, to the case with the defect in it (or without)."""
        check = check or seeded.check
        engine = self.engine(seeded, size, check, planted=planted)
        case = self.good(seeded.case).case
        if seeded.stale and planted:
            return self._judge_stale(engine, case, check)
        result = engine.judge(case, check)
        plan = engine.plan(case)
        for part in [part for _, part in plan.parts] or [plan]:
            tasks = [part.artifact]
            if seeded.check not in ("conversion", "ops") and part.run is not None:
                tasks.append(part.run)  # a file that does not run is no case for the other checks
            for task in tasks:
                outcome = engine.scheduler.outcome(task)
                assert outcome is not None and outcome.ok, f"{seeded.id} could not be planted: {outcome}"
        return result

    def _judge_stale(self, spoilt: Engine, case: Case, check: str) -> CheckResult:
        """Judge a good file of its own, whose evidence another process has replaced by the spoilt one's."""
        fresh = Seeded("stale", str(case).rpartition("@")[0], check)
        with contextlib.ExitStack() as stack:
            before = self._engine(fresh, 1.0, check, True)
            good, other = before.plan(case).run, spoilt.plan(case).run
            assert good is not None and other is not None
            outcomes = [engine.scheduler.outcome(task) for engine, task in ((before, good), (spoilt, other))]
            assert all(outcome is not None and outcome.ok for outcome in outcomes)
            workspace = before.cache.workspace()
            assert outcomes[1] is not None and outcomes[1].folder is not None
            shutil.copytree(outcomes[1].folder, workspace, dirs_exist_ok=True)
            before.cache.store(good.key, good.title, outcomes[1], workspace, before.limits)
            stack.callback(before.cache.discard, good.key)
            after = self._engine(fresh, 1.0, check, True, shared=False)
            return stack.enter_context(after).judge(case, check)

    def prefetch(self, wanted: Iterable[tuple[Seeded, float, bool]]) -> None:
        """Start the jobs of these (defect, size, planted) in the background; good cases first."""
        listed = list(wanted)
        for name, weights in {(each.case, ""): None for each, _, _ in listed} | {
            (each.other, each.weights): None for each, _, planted in listed if each.other and planted
        }:
            good = self.good(name, weights)
            good.engine.prefetch([(good.case, "conversion")])
        for seeded, size, planted in listed:
            case = self.good(seeded.case).case
            self.engine(seeded, size, seeded.check, planted=planted).prefetch([(case, seeded.check)])

    def engine(self, seeded: Seeded, size: float, check: str, *, planted: bool) -> Engine:
        """One that judges the case with the defect in it."""
        key = (seeded, size, check, planted)
        if key not in self._engines:
            self._engines[key] = self._engine(*key)
        return self._engines[key]

    def _engine(self, seeded: Seeded, size: float, check: str, planted: bool, *, shared: bool = True) -> Engine:
        good = self.good(seeded.case)
        spoilt = self.good(seeded.other, seeded.weights) if seeded.other and planted else good
        name = "nothing"
        if planted:
            name = seeded.plant
            size = seeded.fitted(size, self.images(good)) if seeded.fitted is not None else size
        registry = Registry.built_in()
        plan = good.engine.plan(good.case)
        parts = [part.case for _, part in plan.parts] or [good.case]
        for case in parts:
            mine = not seeded.part or case.model == seeded.part
            params = {"defect": "nothing", "at": None, "size": 0.0}
            if mine:
                params = {"defect": name, "at": seeded.at, "size": size}
            hop = HopSpec(f"plant({params['defect']})", f"{ARTIFACTS}:plant", "tflite", params, ())
            file = self.artifact(spoilt if mine else good, case.model if plan.parts else "")
            self._replace_route(registry, good, case, file, hop)
            if mine and seeded.adapter and planted:
                registry.models[case.model] = self._spoilt(registry.models[case.model], seeded.adapter)
        if seeded.repeat and planted:
            format_ = registry.formats["tflite"]
            registry.add_format("tflite", replace(format_, repeat=f"{ARTIFACTS}:{seeded.repeat}"))
        settings = replace(good.engine.settings, checks=(check,))
        return Engine(settings, registry, whole=self.first if shared else None)

    def _replace_route(self, registry: Registry, good: Good, case: Case, file: Path, hop: HopSpec) -> None:
        """Let a route give a file that has been made, with a defect planted in it; other modes stay as they are."""
        real = registry.routes[case.route]

        def plan(mode: str, options: Any) -> tuple[HopSpec, ...]:
            if mode != case.mode:
                return real.plan(mode, options)
            params = {"path": str(file), "sha256": file_sha256(file)}
            return (HopSpec("given", f"{ARTIFACTS}:given", "tflite", params, ()), hop)

        registry.routes[case.route] = Route(
            real.name, real.summary, real.framework, real.requires, plan, real.options, real.hands_over
        )

    def _spoilt(self, entry: ModelEntry, adapter: str) -> ModelEntry:
        """The model with a copy of its folder, in which the adapter has the defect."""
        folder = self.folder / adapter / entry.code_folder.name
        if not folder.exists():
            shutil.copytree(entry.code_folder, folder, ignore=shutil.ignore_patterns("training", "__pycache__"))
            shutil.copyfile(ADAPTERS, folder / "defects.py")
            with (folder / "model.py").open("a") as stream:
                bases = f'_beside(__file__, "defects.py").{adapter}, {entry.adapter_class}'
                stream.write("\n\nfrom ocr_conformance.job import beside as _beside\n")
                stream.write(f'Planted = type("Planted", ({bases}), {{}})\n')
        model = entry.contract.model.model_copy(update={"adapter": "model.py:Planted"})
        return replace(entry, contract=entry.contract.model_copy(update={"model": model}), own_code=folder)
