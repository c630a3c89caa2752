"""The folder in which a local Ray keeps its sockets and logs: short, and writable by this user."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from raymoco.errors import ConfigError
from raymoco.files import absolute

GIVEN = "RAY_TMPDIR"
# a socket's path has at most 107 bytes, and Ray adds /session_DATE_PID/sockets/plasma_store
LONGEST = 40


def ray_folder() -> Path:
    """Return a folder that a local Ray can use: Ray's own choice, or the next that will do.

    Ray takes TMPDIR, or /tmp. A path too long for a socket, and /tmp/ray of somebody else who does
    not share it, would end it with an error of its own.

    Raises:
        ConfigError: RAY_TMPDIR cannot be used, or no folder can; says why.
    """
    given = os.environ.get(GIVEN)
    if given:
        folder = absolute(given) / "ray"
        problem = why_not(folder)
        if problem:
            raise ConfigError(
                f"{GIVEN} is '{given}', but {problem}. Set it to a short path where you may write, "
                "or unset it."
            )
        return folder
    reasons = []
    for folder in _candidates():
        problem = why_not(folder)
        if not problem:
            return folder
        reasons.append(problem)
    raise ConfigError(
        f"Ray has no folder for its sockets: {'; '.join(reasons)}. Set {GIVEN} to a short path "
        "where you may write."
    )


def why_not(folder: Path) -> str:
    """Say why Ray cannot use a folder, which is created if it is missing; "" if it can."""
    length = len(os.fsencode(folder))
    if length > LONGEST:
        return f"{folder} has {length} bytes, and sockets allow {LONGEST}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}"
    return ""


def _candidates() -> Iterator[Path]:
    if "TMPDIR" in os.environ:
        yield absolute(os.environ["TMPDIR"]) / "ray"
    yield Path("/tmp/ray")
    yield Path(f"/tmp/ray-{os.getuid()}")
