"""Where the built-in ``models/`` and ``fixtures/`` are (the wheel's ``_data``, or the checkout), and what we keep."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ocr_conformance.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: Literal["models", "fixtures"]) -> Path:
    """The built-in folder of that name.

    The wheel carries both folders as ``ocr_conformance/_data`` (hatchling's ``force-include``, which an editable
    install ignores); a checkout has them beside the package. The checkout is recognised by its ``pyproject.toml``, so
    that a stranger's top-level ``models`` in site-packages is never taken for ours.

    Raises:
        UserError: neither place has it.
    """
    packed = _PACKAGE / "_data" / name
    checkout = _PACKAGE.parent / name
    if packed.is_dir():
        return packed
    if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    raise UserError(
        f"the built-in {name} are neither in {packed} nor in {checkout}: this installation is incomplete, "
        "install pytest-ocr-conformance again (pip install --force-reinstall pytest-ocr-conformance)"
    )


def user_cache() -> Path:
    """The user's folder for what we keep.

    Raises:
        UserError: the user has no home.
    """
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("ocr-conformance")
        # A relative XDG_CACHE_HOME is to be ignored; without a home older platformdirs give "~/.cache".
        return folder if folder.is_absolute() else Path("~/.cache/ocr-conformance").expanduser()
    except RuntimeError:
        raise UserError("there is no home folder to keep the cache in: set HOME or XDG_CACHE_HOME") from None
