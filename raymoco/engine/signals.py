"""Ctrl-C and SIGTERM, heard once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt once; the second one ends the process at once.

    Inside `connect`: Ray sets a handler of its own. Elsewhere than in the main thread nothing
    changes, Python has no signals there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, _: Any) -> None:
        heard.append(number)
        if len(heard) > 1:
            os._exit(130)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
