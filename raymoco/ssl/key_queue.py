"""MoCo's dictionary: a ring buffer of the last K keys, with UniMoCo's label for each key."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raymoco.errors import ConfigError
from raymoco.ssl.argument_checks import require_choice, require_labels


class KeyQueue(nn.Module):
    """A ring buffer of the last `size` keys and their labels.

    `keys` is (K, D) fp32, row-major; `labels` is (K,) int64, -1 = unlabeled. Both are buffers,
    overwritten in place. The number of keys ever added is a Python number, saved with the state, so
    that a step never waits for the device.

    Args:
        size: K >= 1, number of keys.
        dim: D >= 1, dimension of a key.
        init: the entries before the first key. "random": random unit vectors without a label, as
            published. "empty": no entries, `filled()` leaves them out.
        generator: source of the random vectors; the global one if None.
    Raises:
        ConfigError: size or dim below 1, or an unknown init.
    Source: He et al. 2020, arXiv:1911.05722. Deviation: any batch size wraps; "empty" is ours.
    """

    keys: Tensor
    labels: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        init: Literal["random", "empty"] = "random",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for field, value in (("size", size), ("dim", dim)):
            if value < 1:
                raise ConfigError(f"{field} is {value}, but must be at least 1.")
        require_choice("init", init, ("random", "empty"))
        self.size = size
        self.init = init
        self.enqueued = 0
        if init == "random":
            source = None if generator is None else generator.device
            keys = torch.randn(
                size, dim, generator=generator, device=source, dtype=torch.float32
            ).to(torch.get_default_device())
            keys = F.normalize(keys, dim=1)
        else:
            keys = torch.zeros(size, dim, dtype=torch.float32)
        self.register_buffer("keys", keys)
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.int64))

    @property
    def cursor(self) -> int:
        """The row of the next key."""
        return self.enqueued % self.size

    def filled(self) -> tuple[Tensor, Tensor]:
        """Return views of the keys (K', D) and labels (K',) in use; K' < K only for "empty"."""
        rows = self.size if self.init == "random" else min(self.enqueued, self.size)
        return self.keys[:rows], self.labels[:rows]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """Overwrite the oldest entries with these keys, in order, wrapping at the end.

        Args:
            keys: (B, D), any B; of more than K keys the last K are kept.
            labels: (B,), integer, negative = unlabeled.
        Raises:
            ConfigError: keys of another dimension, or not one label for each key.
        """
        if keys.dim() != 2 or keys.shape[1] != self.keys.shape[1]:
            raise ConfigError(
                f"keys have shape {tuple(keys.shape)}, but must be (B, D) with the D of the queue, "
                f"which has shape {tuple(self.keys.shape)}."
            )
        require_labels("labels", labels, "keys", keys)
        count = keys.shape[0]
        lost = max(count - self.size, 0)
        start = (self.enqueued + lost) % self.size
        head = min(count - lost, self.size - start)
        for buffer, rows in ((self.keys, keys[lost:]), (self.labels, labels[lost:])):
            buffer[start : start + head].copy_(rows[:head])
            buffer[: count - lost - head].copy_(rows[head:])
        self.enqueued += count

    def get_extra_state(self) -> Tensor:
        """Return the number of keys ever added, a CPU tensor, for the state dict."""
        return torch.tensor(self.enqueued, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the position of the saved queue."""
        self.enqueued = int(state)
