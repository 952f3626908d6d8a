"""Boxes and words of scenes, as checks read them from the facts of jobs."""

from __future__ import annotations

from ocr_conformance.evidence import Outcome

Polygon = list[list[float]]


class NotRead(Exception):
    """What a job found cannot be held against anything; the message says why, for a failed verdict."""


def boxes(outcome: Outcome, who: str) -> list[list[Polygon]]:
    """The boxes of each image.

    Raises:
        NotRead: the outputs do not decode.
    """
    found: list[list[Polygon]] | None = outcome.facts.get("boxes")
    if found is None:
        raise NotRead(_undecoded(outcome, who))
    return found


def texts(outcome: Outcome, who: str, of: list[list[Polygon]]) -> list[list[str]]:
    """The texts of each image, from those of a job that read one crop per box, image after image.

    Raises:
        NotRead: the outputs do not decode, or there is not one text per box.
    """
    flat: list[str] | None = outcome.facts.get("texts")
    if flat is None:
        raise NotRead(_undecoded(outcome, who))
    expected = sum(map(len, of))
    if len(flat) != expected:
        raise NotRead(f"the {who} reads {len(flat)} words in {expected} boxes")
    rest = iter(flat)
    return [[next(rest) for _ in image] for image in of]


def same_images(source: list[list[Polygon]], found: list[list[Polygon]]) -> None:
    """Make sure that the source and the artifact saw the same number of images.

    Raises:
        NotRead: they did not.
    """
    if len(source) != len(found):
        raise NotRead(f"the source sees {len(source)} images, the artifact {len(found)}")


def share(part: int, whole: int) -> float:
    """A share, 0 .. 1; all of nothing is 1."""
    return part / whole if whole else 1.0


def _undecoded(outcome: Outcome, who: str) -> str:
    return f"the outputs of the {who} do not decode: {outcome.facts.get('undecoded', 'no reason given')}"
