"""Hooks that other repositories implement, in a ``conftest.py`` or a plugin of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ocr_conformance.registry import Registry


@pytest.hookspec
def pytest_ocr_register(config: pytest.Config, registry: Registry) -> None:
    """Add models, routes, formats or checks to what a run can choose from.

    Called once, when a run that judges something begins. A folder of models in the shape of ours needs no hook: name it
    in ``ocr_model_paths``. In Python::

        # conftest.py
        from pathlib import Path

        HERE = Path(__file__).parent

        def pytest_ocr_register(config, registry):
            registry.add_model(HERE / "receipts")                 # receipts/model.py and receipts/contract.toml
            registry.add_model(HERE / "labels", contract={...})   # the contract as data
            registry.add_route(MY_ROUTE)                          # hop functions may be "/path/file.py:function"

    A `UserError` raised here ends the run with exit status 4 and its message.
    """
