"""What a job function sees: its parameters, its inputs, the folder it writes to, and the stage it is in.

A job is a plain function ``(job: Job) -> dict`` that runs in a child process. It writes files below ``job.out`` and
returns facts that JSON can carry. What it raises, and the stage it was in, is evidence.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ("import", "source", "export", "convert", "allocate", "invoke")
"""Stages in which a case can fail, in order. ``source``: preparing inputs or running the source model itself."""


@dataclass(frozen=True)
class Job:
    """One piece of work in a child process."""

    params: dict[str, Any]
    inputs: dict[str, Path]
    """Folders of earlier jobs' files, by the name the planner gave them."""
    out: Path
    """An empty folder; files written here are the job's result."""

    def stage(self, name: str) -> None:
        """Say which stage begins: it is on disk before a converter can take the process down."""
        assert name in STAGES, name
        descriptor = os.open(self.out / ".stage", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, name.encode())
        os.close(descriptor)
