"""Ctrl-C and SIGTERM: interrupt at once, or after a file has been written completely."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """Handles Ctrl-C and SIGTERM: the first interrupts, the second ends the process at once.

    Attributes:
        heard: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.heard = False
        self._held = False

    def hear(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        if self.heard:
            os._exit(130)
        self.heard = True
        if not self._held:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived.

        Call it in loops and between steps: the exception of a handler can be lost where Python
        calls the handler inside of code that must not fail, such as a hook of fork().
        """
        if self.heard:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only remember a signal while a file is written that must be complete."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Inside `held`: let a signal interrupt here, also one that has arrived already.

        Raises:
            KeyboardInterrupt: at once, or when a signal arrives.
        """
        before, self._held = self._held, False
        try:
            self.check()
            yield
        finally:
            self._held = before

    @contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Handle both signals here; repeat it inside `connect`, where Ray sets its own handlers.

        Outside of the main thread it does nothing: Python handles no signals there.
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
