"""Take in an artifact that no hop of ours made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from ocr_conformance.runtime.litert import ARTIFACT

if TYPE_CHECKING:
    from ocr_conformance.job import Job


def adopt(job: Job) -> dict[str, Any]:
    """Copy ``params["path"]`` to ``job.out/model.tflite``, so that other jobs find it as they find a converted one.

    Raises:
        ValueError: the file is no TFLite flatbuffer (its identifier ``TFL3`` is missing).
    """
    job.stage("convert")
    with open(job.params["path"], "rb") as stream:
        head = stream.read(8)
    if head[4:] != b"TFL3":
        raise ValueError(f"{job.params['path']} is no TFLite file: it does not bear the identifier TFL3")
    shutil.copyfile(job.params["path"], job.out / ARTIFACT)
    return {"bytes": (job.out / ARTIFACT).stat().st_size}
