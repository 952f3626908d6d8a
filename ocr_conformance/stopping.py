"""Ctrl-C, SIGTERM and SIGHUP end a run in the same order: jobs are killed, and what they left is removed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_AGAIN_SECONDS = 2.0
"""Sooner than this a second signal is the same wish, and would only disturb the stopping."""


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than Ctrl-C's."""


class Stopping:
    """Takes those signals while it is installed, as far as nobody else does; ``caught`` is the last one's number."""

    def __init__(self) -> None:
        self.caught = 0
        self._process = os.getpid()
        self._last = -_AGAIN_SECONDS
        self._busy = False
        self._ignored = False
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Take the signals whose handling is Python's own; ignored ones (nohup) stay so."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if handler == (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL):
                self._before[number] = signal.signal(number, self._take)

    def remove(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, handler)
        self._before.clear()

    @property
    def status(self) -> int:
        """The exit status, as a shell has it of a process that the signal ended."""
        return 128 + self.caught

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let no such signal disturb what is soon done: stopping, and writing reports.

        Only one wish is ignored: that it takes too long says the next, which ends the process at once.
        """
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork, as of a test's multiprocessing, that is none of ours to stop
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        now = time.monotonic()
        if now - self._last < _AGAIN_SECONDS:
            return
        self._last = now
        if self._busy:
            if self._ignored:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self._ignored = True
            return
        self.caught = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(signal.Signals(number).name)
