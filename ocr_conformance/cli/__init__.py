"""The command line: the same engine without pytest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from ocr_conformance.cli import cache, case, contract, convert, judge, latency, records, toolchain
from ocr_conformance.cli.options import Command, in_our_words
from ocr_conformance.errors import UserError

_MISTAKE = 4

_STATUS = """\
exit status (as pytest's, where it has one):
  0    all is well
  1    a check failed or is undecided, a case did not convert, records conflict or became worse
  4    a mistake in arguments, files or contracts: one line on stderr
  5    nothing was judged at all
  130  interrupted

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
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"ocr-conformance: {in_our_words(str(error))}", file=sys.stderr)
        return _MISTAKE
    except BrokenPipeError:  # `ocr-conformance cache info | head`; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


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
