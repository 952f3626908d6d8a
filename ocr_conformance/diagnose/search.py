"""Search for a picture that the source and the artifact read differently, and make it as simple as can be."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocr_conformance import polygons
from ocr_conformance.diagnose import render
from ocr_conformance.diagnose.render import Picture, Space
from ocr_conformance.model import Detector, Recognizer, build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import versions
from ocr_conformance.worker import resolve

if TYPE_CHECKING:
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

COUNTEREXAMPLE = "counterexample.png"
"""The picture of the smallest counterexample in the job's folder."""

BATCH = 32
"""Pictures that the source reads at once; of scenes `SCENES`."""
SCENES = 4
SAME_BOX = 0.5
"""Intersection over union from which two boxes are one."""
_STARTS = 8
_MOST_STEPS = 2000
_SAMPLING_ENDS, _HUNT_ENDS = 0.5, 0.85
"""Shares of the time."""


@dataclass(frozen=True)
class Reading:
    """What the two make of a picture.

    Attributes:
        source, artifact: a text, or the boxes of a scene; ``None``: the artifact's outputs do not decode.
        divergence: largest difference of the outputs over the largest magnitude in the source's.
        margin: smallest gap between the two best classes of a frame, of either side, over the magnitude; ``None`` where
            the outputs are no frames of classes.
    """

    picture: Picture
    source: Any
    artifact: Any
    differs: bool
    divergence: float
    margin: float | None

    @property
    def source_right(self) -> bool:
        """Whether the source reads what is written, upper and lower case alike."""
        return isinstance(self.source, str) and self.source.lower() == "".join(self.picture.texts).lower()

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {
            "picture": self.picture.to_json(),
            "source": self.source,
            "artifact": self.artifact,
            "differs": self.differs,
        }


class _Pair:
    """Source and artifact side by side in this process."""

    def __init__(self, job: Job, model: SourceModel, space: Space, artifact: Callable[[Tensors], Tensors]) -> None:
        self._job = job
        self._model = model
        self._space = space
        self._artifact = artifact
        self._known: dict[Picture, Reading] = {}
        self.seconds = 0.0
        """What a picture of the last reading took."""

    def read(self, picture: Picture) -> Reading:
        """One picture, alone; each is read once."""
        if picture not in self._known:
            self._known[picture] = self.read_all([picture])[0]
        return self._known[picture]

    def read_all(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Several pictures, the source in one batch.

        Raises:
            ValueError: the source's own outputs do not decode.
        """
        began = time.monotonic()
        self._job.stage("source")
        inputs, sizes = prepare(self._model, self._space, pictures)
        expected = tensors.as_float32(self._model.predict(inputs))
        self._job.stage("invoke")
        given = tensors.one_by_one(self._artifact, inputs)
        source, artifact = (tensors.decode(self._model, outputs, sizes) for outputs in (expected, given))
        field = "boxes" if self._space.scenes else "texts"
        if source[field] is None:
            raise ValueError(f"the source's own outputs do not decode: {source.get('undecoded', 'no reason given')}")
        theirs = artifact[field] or [None] * len(pictures)
        readings = []
        for index, (picture, ours, other) in enumerate(zip(pictures, source[field], theirs, strict=True)):
            first, second = tensors.sample(expected, index), tensors.sample(given, index)
            readings.append(
                Reading(
                    picture,
                    ours,
                    other,
                    differ(ours, other),
                    divergence(first, second),
                    None if self._space.scenes else margin(first, second),
                )
            )
        self.seconds = (time.monotonic() - began) / len(pictures)
        return readings


def prepare(model: SourceModel, space: Space, pictures: Sequence[Picture]) -> tuple[Tensors, list[tuple[int, int]]]:
    """Inputs ``[N, ...]`` of pictures as files go through the model's own preprocessing, and their sizes."""
    samples, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index, picture in enumerate(pictures):
            path = os.path.join(folder, f"{index}.png")
            image = render.render(picture, scene=space.scenes)
            image.save(path, compress_level=1)
            arrays = model.preprocess(path)
            where = f"preprocess of a drawn picture of {picture.texts}"
            samples.append({spec.name: tensors.check(spec, arrays[spec.name], where) for spec in model.inputs()})
            sizes.append((image.height, image.width))
    return tensors.stack(samples), sizes


def differ(source: Any, artifact: Any) -> bool:
    """Whether two texts are not the same, or the boxes of two scenes not one to one."""
    if artifact is None or isinstance(source, str):
        return bool(source != artifact)
    found = polygons.match(source, artifact, SAME_BOX)
    return not len(found.pairs) == found.reference == found.found


def divergence(expected: Tensors, given: Tensors) -> float:
    """Largest absolute difference over the largest magnitude, of the worst output; infinite where that says nothing."""
    import numpy as np

    worst = 0.0
    for name, reference in expected.items():
        if given[name].shape != reference.shape:
            return float("inf")
        scale = float(np.abs(reference).max()) or 1.0
        gap = float(np.abs(reference.astype(np.float64) - given[name]).max()) / scale
        worst = max(worst, gap) if np.isfinite(gap) else float("inf")
    return worst


def margin(*sides: Tensors) -> float | None:
    """Smallest gap between the two best classes of a frame, of outputs ``[1, T, C]``, over the largest magnitude."""
    import numpy as np

    gaps = []
    for value in (value for side in sides for value in side.values()):
        if value.ndim == 3 and value.shape[2] > 1:
            best = np.partition(value, -2, axis=-1)[..., -2:]
            gaps.append(float((best[..., 1] - best[..., 0]).min() / (np.abs(value).max() or 1.0)))
    return min(gaps) if gaps else None


class _TimeUp(BaseException):
    """Out of Hypothesis, which takes an exception for a counterexample."""


class _Differs(Exception):
    """Into Hypothesis: this picture is a counterexample."""


def search(job: Job) -> dict[str, Any]:
    """Judge kept pictures again, then independent new ones, then hunt for a counterexample and simplify it.

    Params: ``model``, ``threads``; ``open``: the function that opens the artifact, ``(job, model, inputs) -> callable``
    from inputs ``[1, ...]`` to outputs, with an attribute ``runtime``; ``examples``: how many pictures of each kind;
    ``seed``; ``seconds``: what the job may take; ``replay``: kept pictures (`Picture.to_json`). Inputs: ``artifact``.
    Files: ``counterexample.png``, if there is one.

    Returns:
        ``tried`` and ``disagreements``: of the independent pictures; ``source_right``: how many of their words the
        source reads as they are written, upper and lower case alike, and ``lost``: how many of those differ (``None``
        of scenes); ``hunted``: pictures that Hypothesis asked for; ``stopped``: time was up before it had them all,
        ``seconds`` is what it had; ``replayed`` and ``counterexample``: see `Reading.to_json`; the latter is the
        simplest one and may be ``None``, ``shrunk`` says that no picture that is one step simpler differs; ``faces``,
        ``letters`` and ``lengths`` of the words; ``runtime``, ``versions``. Where the artifact does not open beside the
        source only ``unopened``, why.

    Raises:
        ValueError: a face of a kept picture is not here, no letter of the alphabet can be drawn, or see `_Pair`.
    """
    began = time.monotonic()
    seconds: float = job.params["seconds"]
    job.stage("source")
    model: SourceModel = build(job.params["model"])
    space = _space(model)
    inputs, _ = prepare(model, space, [space.plain])
    job.stage("allocate")
    try:
        artifact = resolve(job.params["open"])(job, model, inputs)
    except (ValueError, RuntimeError, ImportError) as error:
        return {"unopened": f"{type(error).__name__}: {error}", "versions": versions()}
    pair = _Pair(job, model, space, artifact)
    until = began + _SAMPLING_ENDS * seconds
    replay = [Picture.from_json(kept) for kept in job.params["replay"]]
    replayed = [pair.read(picture) for picture in replay if time.monotonic() < until]
    for _ in range(2):  # the first time a framework has more to do
        pair.read_all([space.plain])
    examples: int = job.params["examples"]
    sampled = _sample(pair, space, job.params["seed"], examples, until)
    tried = len(sampled)
    disagreements = [reading for reading in sampled if reading.differs]
    found = disagreements + [reading for reading in replayed if reading.differs]
    hunted, complete, hunted_down = _hunt(pair, space, job.params["seed"], examples, began + _HUNT_ENDS * seconds)
    if hunted_down:  # of what Hypothesis went through only where it has got to
        found.append(min(hunted_down, key=lambda reading: space.cost(reading.picture)))
    smallest, shrunk = None, False
    if found:
        smallest, shrunk = _simplify(pair, space, found, began + seconds)
        render.render(smallest.picture, scene=space.scenes).save(job.out / COUNTEREXAMPLE)
    return {
        "tried": tried,
        "disagreements": len(disagreements),
        "source_right": None if space.scenes else sum(reading.source_right for reading in sampled),
        "lost": None if space.scenes else sum(reading.source_right for reading in disagreements),
        "hunted": hunted,
        "stopped": len(replayed) < len(replay) or tried < examples or not complete,
        "seconds": seconds,
        "replayed": [reading.to_json() for reading in replayed],
        "counterexample": None if smallest is None else {**smallest.to_json(), "shrunk": shrunk},
        "faces": list(space.faces),
        "letters": space.alphabet,
        "lengths": list(space.lengths),
        "runtime": artifact.runtime,
        "versions": versions(),
    }


def _space(model: SourceModel) -> Space:
    faces = render.faces()
    if isinstance(model, Detector):
        return Space(render.drawable(render.LETTERS, faces), render.LENGTHS, faces, True)
    assert isinstance(model, Recognizer)
    letters = render.drawable(model.alphabet, faces)
    if not letters:
        raise ValueError(f"none of the alphabet {model.alphabet!r} can be drawn in {', '.join(faces)}")
    return Space(letters, model.lengths, faces, False)


def _sample(pair: _Pair, space: Space, seed: int, examples: int, until: float) -> list[Reading]:
    """Independent pictures, as many as there is time for."""
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    batch = SCENES if space.scenes else BATCH
    readings: list[Reading] = []
    while len(readings) < examples:
        # A shorter batch only where time is up: how many are read at once can change a source's last bits.
        room = int(max(0.0, until - time.monotonic()) / max(pair.seconds, 1e-6))
        count = min(batch, examples - len(readings), room)
        if not count:
            break
        pictures = [space.draw(lambda number: int(generator.integers(number))) for _ in range(count)]
        readings += pair.read_all(pictures)
    return readings


def _hunt(pair: _Pair, space: Space, seed: int, examples: int, until: float) -> tuple[int, bool, list[Reading]]:
    """Let Hypothesis find a counterexample and shrink it: pictures read, whether it came to an end, what differs."""
    # Where it keeps what it knows of character sets and of constants: not in this folder, which is the job's result.
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp()
    import hypothesis
    from hypothesis import strategies

    found: list[Reading] = []
    count = 0

    @strategies.composite
    def pictures(draw: Callable[[Any], int]) -> Picture:
        return space.draw(lambda number: draw(strategies.integers(0, number - 1)))

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.target, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(pictures())
    def agrees(picture: Picture) -> None:
        nonlocal count
        if time.monotonic() > until:
            raise _TimeUp
        count += 1
        reading = pair.read(picture)
        hypothesis.target(min(reading.divergence, 1e6), label="divergence")
        if reading.margin is not None and abs(reading.margin) < float("inf"):
            hypothesis.target(-reading.margin, label="decoding margin")
        if reading.differs:
            found.append(reading)
            raise _Differs

    try:
        agrees()
    except _TimeUp:
        return count, False, found
    except (_Differs, hypothesis.errors.Flaky):  # flaky: the source itself does not say the same twice
        pass
    return count, True, found


def _simplify(pair: _Pair, space: Space, found: Iterable[Reading], until: float) -> tuple[Reading, bool]:
    """The simplest that the plainest of these can be made, step by step; whether all steps were tried.

    Hypothesis shrinks what it has found; this also shrinks what others found, and goes on where it gave up. Several
    are begun with, because a single one may end where no single step is simpler, though it is far from plain.
    """
    ordered = sorted(
        {reading.picture: reading for reading in found}.values(), key=lambda each: space.cost(each.picture)
    )
    # One that was read among others may differ by a last bit that it does not have alone.
    starts = [pair.read(reading.picture) for reading in ordered[:_STARTS]]
    ends = [_descend(pair, space, start, until) for start in starts if start.differs]
    if not ends:
        return ordered[0], False
    smallest, _ = min(ends, key=lambda end: space.cost(end[0].picture))
    return smallest, all(complete for _, complete in ends)


def _descend(pair: _Pair, space: Space, start: Reading, until: float) -> tuple[Reading, bool]:
    """From a counterexample to simpler ones, until no step is left; whether it came to that end."""
    steps = 0
    while True:
        for picture in space.simpler(start.picture):
            steps += 1
            if steps > _MOST_STEPS or time.monotonic() > until:
                return start, False
            reading = pair.read(picture)
            if reading.differs:
                start = reading
                break
        else:
            return start, True
