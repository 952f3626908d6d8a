"""The command line: the same engine without pytest."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from ocr_conformance.cli import cache, case, contract, convert, judge, latency, records, toolchain
from ocr_conformance.cli.options import Command, in_our_words
from ocr_conformance.errors import UserError
from ocr_conformance.stopping import Stopping

_MISTAKE = 4

_STATUS = """\
exit status (as pytest's, where it has one):
  0    all is well
  1    a check failed or is undecided, a case did not convert, records conflict or became worse
  4    a mistake in arguments, files or contracts: one line on stderr
  5    nothing was judged at all
  130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP

`ocr-conformance COMMAND --help` says what it means for a command; docs/cli.md has an example of each.
"""


class _Parser(argparse.ArgumentParser):
    """A mistake in the arguments ends as every other one: one line, exit status 4 (argparse: usage lines, 2)."""

    def error(self, message: str) -> NoReturn:
        self.exit(_MISTAKE, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``ocr-conformance``."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    stopping = Stopping()
    stopping.install()
    try:
        if sys.stdout is not None:  # it may be closed: `ocr-conformance list >&-`
            with contextlib.suppress(AttributeError):  # not every stream that stands for it can do this
                sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        _working_folder()
        status = command(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except UserError as error:
        print(f"ocr-conformance: {in_our_words(str(error))}", file=sys.stderr)
        return _MISTAKE
    except BrokenPipeError:  # `ocr-conformance cache info | head`
        _output_goes_nowhere()
        return 0
    except OSError as error:
        # A stream's error names no file; one without a number is another library's (shutil, requests).
        if error.filename is not None or error.errno is None or sys.stdout is None:
            raise
        _output_goes_nowhere()
        print(f"ocr-conformance: the output cannot be written ({error.strerror})", file=sys.stderr)
        return _MISTAKE
    except KeyboardInterrupt:
        return stopping.status if stopping.caught else 130
    finally:
        stopping.remove()


def _working_folder() -> None:
    """Everything relative is relative to it.

    Raises:
        UserError: there is none.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(f"there is no current folder ({error.strerror}): go to one that exists") from None


def _output_goes_nowhere() -> None:
    """What is still buffered would be written, and fail again, when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ocr-conformance",
        description="Is the OCR model you converted to TFLite still the model you trained?",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = metadata.version("pytest-ocr-conformance")
    parser.add_argument("--version", action="version", version=f"pytest-ocr-conformance {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (judge, convert, case, latency, contract, records, toolchain, cache):
        group.add(commands)
    return parser
