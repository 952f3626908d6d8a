"""Evidence: what jobs found out about one case. Checks read it and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ocr_conformance.cases import Case
from ocr_conformance.truth import Word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[np.float32]]

LATENCY_SECONDS = (3.0, 10.0, 30.0)
"""How long a case's invokes are timed, at most: once, and again, longer, while latency is undecided. The machine stands
still meanwhile, so this bounds what latency adds to a run."""

OutcomeKind = Literal["ok", "exception", "signal", "timeout", "memory", "exit"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        kind: ``ok``; ``exception`` (Python raised), ``signal`` (SIGSEGV, SIGABRT, ... took the process), ``timeout``,
            ``memory`` (over the limit), ``exit`` (the process left without a result).
        stage: the stage it was in (see `ocr_conformance.job.STAGES`).
        message: one line: exception type and first line, signal name, or the limit that was hit.
        tail: last lines of its standard error.
        facts: what the job returned, when ``ok``.
        folder: its files, when ``ok``.
        seconds, cpu_seconds, peak_bytes: cost of the child process (peak resident memory).
        seen: seconds since the epoch when this was really run, not read from the cache.
        cached: read from the cache in this run.
    """

    kind: OutcomeKind
    stage: str
    message: str = ""
    tail: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    seen: float = 0.0
    cached: bool = False
    key: str = ""

    @property
    def ok(self) -> bool:
        """Whether the job did what it should."""
        return self.kind == "ok"

    def tensors(self, name: str) -> Tensors:
        """The arrays that the job wrote as ``name`` (an ``.npz`` file in its folder)."""
        import numpy as np

        assert self.folder is not None
        with np.load(self.folder / name) as archive:
            return {key: archive[key] for key in archive.files}


@dataclass(frozen=True)
class Hop:
    """One hop of the route: how it ended and, where its result could be run, what that gave."""

    name: str
    outcome: Outcome
    run: Outcome | None = None


@dataclass
class Evidence:
    """All that is known of one case. An entry is ``None`` when no selected check asked for it.

    Facts and files of each entry:

    - ``inputs``: files ``inputs.npz`` (what the source library feeds, one array ``[N, ...]`` per input) and
      ``phone.npz`` (what the app's recipe feeds); facts ``input_specs``, ``output_specs`` (`TensorSpec` as dicts).
    - ``source``: file ``outputs.npz`` (``[N, ...]`` per output); facts ``texts`` (N strings) or
      ``boxes`` (N lists of polygons), ``parameters``.
    - ``hops``: the route in order; the last one's file is ``model.tflite``. ``hop.run`` has outputs and texts.
    - ``run``: the artifact on the same inputs, state reset before each invoke: ``outputs.npz`` (de-quantized),
      facts ``texts``, ``inputs``, ``outputs`` (declared details and real output shapes).
    - ``inspect``: facts of the file (see `ocr_conformance.inspect.tflite.inspect`).
    - ``baseline_inspect``: the same of the float32 artifact of the same route (or of ``tf-lite``), for ratios.
    - ``repeat``, ``latency``, ``memory``: see the functions in `ocr_conformance.runtime`. ``more_latency``: further
      looks of latency, each longer than the one before, where those before could not decide.
    - ``xnnpack``, ``micro``: what XNNPACK takes of the file, and the file in TFLite Micro's interpreter; see the
      functions in `ocr_conformance.runtime`. Where ``micro`` ended badly, that is what it found out; ``no_micro`` says
      why it is missing.
    - ``twin``: of a model whose contract names a twin, that model's ``source`` on the same images.
    - ``search``: see `ocr_conformance.diagnose.search.search`; ``counterexample`` is where its picture was put.

    Of a pipeline ``inputs``, ``source`` and ``run`` are the detector's, ``hops`` those of both, and

    - ``source_words``: the source recognizer on the crops of the source's boxes; ``run_words``: the recognizer's
      artifact on those of the artifact's boxes; ``cross_words``: the recognizer's artifact on those of the source's
      boxes, which tells what the boxes cost from what the reading costs. Facts ``texts``: a string per box, in the
      order of the boxes, image after image.
    """

    case: Case
    labels: tuple[str | None, ...] = ()
    """Ground truth per sample; ``None`` where a sample has none."""
    images: tuple[str, ...] = ()
    """File names of the samples, in order."""
    truth: tuple[tuple[Word, ...] | None, ...] = ()
    """The words of each scene; ``None`` where they are not known. Empty of a recognizer."""
    weights_name: str = ""
    own_images: bool = False
    """Whether the samples are the model's own, and not fewer than a run takes unasked."""
    inputs: Outcome | None = None
    source: Outcome | None = None
    hops: tuple[Hop, ...] = ()
    run: Outcome | None = None
    inspect: Outcome | None = None
    baseline_inspect: Outcome | None = None
    repeat: Outcome | None = None
    latency: Outcome | None = None
    more_latency: tuple[Outcome, ...] = ()
    memory: Outcome | None = None
    xnnpack: Outcome | None = None
    micro: Outcome | None = None
    no_micro: str = ""
    source_words: Outcome | None = None
    run_words: Outcome | None = None
    cross_words: Outcome | None = None
    twin: Outcome | None = None
    search: Outcome | None = None
    counterexample: Path | None = None

    def failure(self) -> tuple[str, Outcome] | None:
        """The first hop (or the first run of the artifact) that did not end well: its name and outcome."""
        for hop in self.hops:
            if not hop.outcome.ok:
                return hop.name, hop.outcome
        if self.run is not None and not self.run.ok:
            return "run", self.run
        return None
