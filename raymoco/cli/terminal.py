"""Standard output and error that may be full, closed, or read by nobody any more (`| head`)."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from raymoco.errors import InputError


class Terminal(io.TextIOWrapper):
    """A standard stream whose loss does not end what is going on: hours of training, for one.

    What no longer arrives is dropped, and `problem` says why.
    """

    problem: OSError | None = None

    @classmethod
    def of(cls, stream: Any, number: int) -> Terminal:
        """Return a stream in place of a standard one; of nothing, where that is closed."""
        try:
            os.fstat(number)
        except OSError:
            # or the next file that somebody opens gets its number, and all that is printed
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        buffer = os.fdopen(number, "wb", closefd=False) if stream is None else stream.buffer
        return cls(
            buffer,
            encoding=stream.encoding if stream is not None else "utf-8",
            # names of files may hold what no encoding has
            errors="backslashreplace",
            line_buffering=stream is None or stream.line_buffering,
        )

    def write(self, text: str) -> int:
        """Write, unless the stream is lost."""
        if self.problem is None:
            try:
                super().write(text)
            except OSError as error:
                self.problem = error
        return len(text)

    def flush(self) -> None:
        """Flush, unless the stream is lost."""
        if self.problem is None:
            try:
                super().flush()
            except OSError as error:
                self.problem = error


def take_terminal() -> None:
    """Put a `Terminal` in the place of standard output and of standard error."""
    sys.stdout = Terminal.of(sys.stdout, 1)
    sys.stderr = Terminal.of(sys.stderr, 2)


def leave_terminal() -> int:
    """Write out what waits, and say if standard output took not all of it.

    Returns:
        The exit code for that; 0 where all has arrived or its reader wanted no more.
    """
    sys.stdout.flush()
    problem = getattr(sys.stdout, "problem", None)
    code = 0
    if problem is not None and problem.errno != errno.EPIPE:
        sys.stderr.write(f"error: standard output: {problem.strerror}\n")
        code = InputError.exit_code
    sys.stderr.flush()
    return code
