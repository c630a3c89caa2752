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

    A command installs one around everything, a run or a sweep its own inside. The outer one hears
    of a signal too, so that the next ends the process whichever of them is installed then.

    Attributes:
        heard: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.heard = False
        self._held = False
        self._around: Interrupts | None = None

    def hear(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        if self.heard:
            os._exit(130)
        self.heard = True
        if self._around is not None:
            self._around.heard = True
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
        """Handle both signals here.

        Outside of the main thread it does nothing: Python handles no signals there.
        """
        if not _in_main_thread():
            yield self
            return
        before = {
            number: signal.signal(number, self.hear) for number in (signal.SIGINT, signal.SIGTERM)
        }
        owner = getattr(before[signal.SIGINT], "__self__", None)
        if isinstance(owner, Interrupts) and owner is not self:
            self._around = owner
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back at the end the handlers of an `Interrupts`: `ray.init` sets one of its own.

    Ray's ends the interpreter while C++ threads run, which aborts it with their stacks.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    owner = getattr(before[signal.SIGTERM], "__self__", None)
    if not isinstance(owner, Interrupts) or not _in_main_thread():
        yield
        return
    try:
        yield
    except SystemExit:  # what Ray's handler makes of SIGTERM
        owner.hear(signal.SIGTERM, None)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
