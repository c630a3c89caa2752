"""Ctrl-C and SIGTERM: where they interrupt at once, and where what is being written comes first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """What Ctrl-C and SIGTERM do: the first one interrupts, the second ends the process at once.

    Attributes:
        heard: whether one has come.
    """

    def __init__(self) -> None:
        self.heard = False
        self._held = False

    def hear(self, number: int, frame: Any) -> None:
        """The handler of the signals."""
        if self.heard:
            os._exit(130)
        self.heard = True
        if not self._held:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come.

        For loops, and between steps: what a handler raises can be lost, where Python calls it
        inside of something that must not fail, such as a hook of fork().
        """
        if self.heard:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only remember a signal while something is written that must be whole."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Inside `held`: here a signal interrupts after all, also one that has come already.

        Raises:
            KeyboardInterrupt: at once, or when one comes.
        """
        before, self._held = self._held, False
        try:
            self.check()
            yield
        finally:
            self._held = before

    @contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Handle both signals here; once more inside `connect`, where Ray sets handlers of its own.

        Elsewhere than in the main thread nothing changes: Python has no signals there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {
            number: signal.signal(number, self.hear) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
