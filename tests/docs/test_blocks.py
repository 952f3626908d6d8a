"""Every code block of the documentation does what it says: run, read by the real reader, or compared."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path

import pytest

from . import running
from .pages import CHECKOUT, Block, blocks, pages

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".tox", ".venv", "venv", "build", "dist", "__pycache__", ".*_cache", ".hypothesis"
)


def _of(page: str) -> list[Block]:
    return blocks(page, (CHECKOUT / page).read_text(encoding="utf-8"))


def _together() -> list[tuple[str, tuple[str, ...]]]:
    """A page once for each set of things that some of its blocks need."""
    found = []
    for page in pages():
        try:
            sets = {running.needs(block) for block in _of(page)}
        except ValueError:
            sets = set()  # test_every_block_is_classified says why
        found += [(page, each) for each in sorted(sets | {()})]
    return found


def _name(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout, for what a page does in one."""
    above = tmp_path_factory.mktemp("copy")
    _shared_beside(above)
    return Path(shutil.copytree(CHECKOUT, above / "checkout", ignore=NOT_COPIED, symlinks=True))


@pytest.fixture
def place(tmp_path: Path, evidence: Path, copy: Path) -> running.Place:
    """A user's empty folder."""
    _shared_beside(tmp_path)
    folder = tmp_path / "repository"
    folder.mkdir()
    return running.Place(folder, evidence.parents[1], copy)


def _shared_beside(folder: Path) -> None:
    shared = CHECKOUT.parent / "shared"
    if shared.exists():
        (folder / "shared").symlink_to(shared.resolve())


@pytest.mark.parametrize("page", pages())
def test_every_block_is_classified(page: str) -> None:
    for block in _of(page):
        running.kind(block)
        running.needs(block)


@pytest.mark.parametrize(("page", "needs"), _together(), ids=_name)
def test_the_blocks_do_what_they_say(page: str, needs: tuple[str, ...], place: running.Place) -> None:
    """In the order of the page, in one folder; all that are wrong are named."""
    reasons = {need: running.missing(need) for need in needs}
    if "shared" in needs and reasons["shared"] and "OCR_REQUIRE_SHARED" in running.os.environ:
        pytest.fail(reasons["shared"])
    if any(reasons.values()):
        pytest.skip("; ".join(reason for reason in reasons.values() if reason))
    for need in needs:
        running.adopt(need, place)
    wrong, said, mine = [], "", False
    for block in _of(page):
        what = running.kind(block)
        if what != "output":  # which belongs to the block before it
            mine = running.needs(block) == needs
        try:
            if what == "file":  # those that need something find what the page wrote before
                running.write(block, place)
            elif what == "command" and mine:
                said = running.run(block, place)
            elif what == "output" and mine:
                running.compare(block.text, said, block.where, block.marks.get("varies"))
            elif what == "elsewhere" and not needs:
                running.run_elsewhere(block)
            elif what == "quotation" and not needs:
                running.quoted(block)
        except AssertionError as error:
            wrong.append(str(error))
        except Exception:  # one block does not hide the next
            wrong.append(f"{block.where}:\n{traceback.format_exc(limit=-2)}")
    assert not wrong, "\n\n".join(wrong)


def test_the_readmes_set_up_commands_are_those_that_ci_runs() -> None:
    """Word for word: what a reader types first is what `.ci/run` runs."""
    first, second = [block for block in _of("README.md") if block.marks.get("run by") == ".ci/run"]
    assert running.commands(second) == ["pip install tox && tox"]
    (install,) = running.commands(first)
    assert install.startswith("pip install -e ") and install.endswith(" && pytest --ocr-model keras-ocr")
    ci = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert install in ci
    assert "pip install tox && tox" in ci
