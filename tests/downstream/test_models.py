"""Judge this repository's own models: plain ``pytest`` collects the suite from here."""

from ocr_conformance.suite import *  # noqa: F403
