"""Free ports for servers that tests start."""

from __future__ import annotations

import random
import socket

# above the ports of Ray's workers, below those that Linux gives to whoever asks for any
PORTS = range(20000, 32000)
_taken: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other test process is given.

    A name without a file says that it is taken; it is free again when this process ends.
    """
    for port in random.sample(PORTS, len(PORTS)):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0raymoco-tests-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _taken.append(name)
        return port
    raise RuntimeError(f"no port is free from {PORTS.start} to {PORTS.stop}")
