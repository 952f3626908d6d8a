"""Pipelines: a detector and a recognizer one after the other, by the names ``DETECTOR+RECOGNIZER``.

A pipeline is a model without an adapter of its own. Its parts are models like any other, with their contracts, weights
and artifacts; a composite route ``ROUTE+ROUTE`` says by which route each of them is converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocr_conformance import cases
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from ocr_conformance.contract import Description
    from ocr_conformance.registry import ModelEntry, Registry

JOINT = "+"
"""Between the parts of a pipeline's variant and of its routes."""

KINDS = ("detector", "recognizer")
"""The kinds of a pipeline's parts, in order."""

Part = tuple["ModelEntry", str]
"""A model and its variant."""


def parts(registry: Registry, variant: str, option: str = "--ocr-model") -> tuple[Part, Part]:
    """The models that a pipeline's variant names: ``craft+easyocr``, or with variants ``craft.640+easyocr.w512``.

    A part without a variant is the plain model, or its first default variant where it has no plain form.

    Raises:
        UserError: it is no pair, or a part is no such model, or of the wrong kind.
    """
    names = [(variant[:at], variant[at + 1 :]) for at, sign in enumerate(variant) if sign == JOINT]
    if not names:
        raise UserError(f"{option} pipeline:{variant}: expected DETECTOR+RECOGNIZER, e.g. pipeline:craft+easyocr")
    # A name may hold the sign itself: the first division of which both halves are known counts.
    found = [[_part(registry, name) for name in pair] for pair in names]
    pair = next((each for each in found if None not in each), found[0])
    known = []
    for name, part, kind in zip(names[found.index(pair)], pair, KINDS, strict=True):
        if part is None or part[0].contract.model.kind != kind:
            from ocr_conformance.registry import near

            if part is not None:
                is_ = part[0].contract.model.kind
                raise UserError(f"{option} pipeline:{variant}: {name} is a {is_}, expected a {kind} in this place")
            of_kind = [entry.name for entry in registry.models.values() if entry.contract.model.kind == kind]
            raise near(name, of_kind, kind, f"{option} pipeline:{variant}:")
        known.append(part)
    return known[0], known[1]


def _part(registry: Registry, name: str) -> Part | None:
    """The model ``name`` or ``name.variant``; ``None``: there is none."""
    for at in [len(name), *(at for at, sign in enumerate(name) if sign == ".")]:
        entry, variant = registry.models.get(name[:at]), name[at + 1 :]
        if entry is None or (variant and not entry.contract.has_variant(variant)):
            continue
        return entry, variant or entry.first_variant
    return None


def model_id(part: Part) -> str:
    """``model`` or ``model:variant``."""
    entry, variant = part
    return cases.model_id(entry.name, variant)


def halves(route: str) -> tuple[str, str]:
    """The detector's and the recognizer's route of a composite one.

    Raises:
        UserError: it is none.
    """
    first, joint, second = route.partition(JOINT)
    if not (joint and first and second):
        raise UserError(f"{route!r} is no route of a pipeline: expected ROUTE+ROUTE, e.g. litert-torch+tf-lite")
    return first, second


def routes(registry: Registry, description: Description, variant: str) -> list[str]:
    """The composite routes that are judged: the contract's, else one for each of the detector's routes.

    Unsaid, the recognizer goes by the route of the same name where it has one, else by its first.
    """
    return list(description.routes) or list(_derived(*parts(registry, variant)))


def _derived(detector: Part, recognizer: Part) -> Iterator[str]:
    first, second = (entry.contract.settings(variant).routes for entry, variant in (detector, recognizer))
    for name in first:
        yield JOINT.join((name, name if name in second else second[0]))
