"""Ways to open an artifact beside the toy models: as good as the source, or wrong in a way that a test plants."""

from __future__ import annotations

import time
from typing import Any


class _Artifact:
    runtime = "planted"

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, sample: Any) -> Any:
        return self.model.predict(sample)


class _Dark(_Artifact):
    """Reads the darkest frames as ``b`` where it should read ``a``."""

    def __call__(self, sample: Any) -> Any:
        import numpy as np

        frames = sample["image"].reshape(-1, 4, 5, 4).mean(axis=(1, 3))
        probabilities = self.model.predict(sample)["probabilities"].copy()
        probabilities[frames < 0.1] = np.array([0.1, 0.9, 0, 0, 0], np.float32)
        return {"probabilities": probabilities}


class _Slow(_Artifact):
    def __call__(self, sample: Any) -> Any:
        time.sleep(0.05)
        return super().__call__(sample)


class _Blind(_Artifact):
    """Sees nothing where the ink is faint, and what is left of it where it is not."""

    def __call__(self, sample: Any) -> Any:
        ink = 1 - sample["image"]
        return {"ink": ink * (ink > 0.5)}


class _Broken(_Artifact):
    def __call__(self, sample: Any) -> Any:
        return {name: value[..., :2] for name, value in self.model.predict(sample).items()}


def exact(job: Any, model: Any, inputs: Any) -> _Artifact:
    return _Artifact(model)


def dark(job: Any, model: Any, inputs: Any) -> _Artifact:
    return _Dark(model)


def slow(job: Any, model: Any, inputs: Any) -> _Artifact:
    return _Slow(model)


def blind(job: Any, model: Any, inputs: Any) -> _Artifact:
    return _Blind(model)


def broken(job: Any, model: Any, inputs: Any) -> _Artifact:
    return _Broken(model)


def refuses(job: Any, model: Any, inputs: Any) -> _Artifact:
    raise RuntimeError("Select TensorFlow op(s), included in the given model, is(are) not supported")
