"""What a job function sees: its parameters, its inputs, the folder it writes to, and the stage it is in.

A job is a plain function ``(job: Job) -> dict`` that runs in a child process. It writes files below ``job.out`` and
returns facts that JSON can carry. What it raises, and the stage it was in, is evidence.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

STAGES = ("import", "source", "export", "convert", "allocate", "invoke")
"""Stages in which a case can fail, in order. ``source``: preparing inputs or running the source model itself."""


class Changed(ValueError):
    """What a job reads beside its inputs, an image or weights, is not what it was planned with.

    Such a failure is not kept: the file may be put back.
    """


@dataclass(frozen=True)
class Job:
    """One piece of work in a child process."""

    params: dict[str, Any]
    inputs: dict[str, Path]
    """Folders of earlier jobs' files, by the name the planner gave them. To be read only."""
    out: Path
    """An empty folder; files written here are the job's result. Links, pipes and sockets are removed at its end."""

    def stage(self, name: str) -> None:
        """Say which stage begins: it is on disk before a converter can take the process down."""
        assert name in STAGES, name
        descriptor = os.open(self.out / ".stage", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, name.encode())
        os.close(descriptor)


def import_file(path: str) -> ModuleType:
    """Import a Python file under a name of its own, once: many ``model.py`` live together."""
    name = "ocr_file_" + "".join(c if c.isalnum() else "_" for c in path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def beside(file: str, relative: str) -> ModuleType:
    """Import a Python file by its path relative to ``file``'s folder (a model's second module, or another model's)."""
    return import_file(os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(file)), relative)))
