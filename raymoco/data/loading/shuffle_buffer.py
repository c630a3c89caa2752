"""A shuffle buffer over a stream of rows, and a thread that prepares items ahead of time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from raymoco.data.shards.row_groups import DecodedRows, Rows

Item = TypeVar("Item")


class ShuffleBuffer:
    """Draws rows at random from a buffer over a stream; the draws do not depend on block sizes.

    Ray's own local shuffle depends on how the stream happens to be cut into blocks.

    Args:
        batch_size: rows of a draw; the last draw of a stream may have fewer.
        rows: size of the buffer; at least two draws.
    """

    def __init__(self, generator: np.random.Generator, batch_size: int, rows: int) -> None:
        self._generator, self._batch_size = generator, batch_size
        self._rows = max(rows, 2 * batch_size)
        self._added: list[DecodedRows] = []
        self._held = 0
        self._order: Rows = np.empty(0, np.int64)  # rows of `_added` that are being drawn
        self._drawn = self._ready = 0
        self._closed = False

    def add(self, decoded: DecodedRows) -> None:
        """Add rows of the stream."""
        self._added.append(decoded)
        self._held += len(decoded.index)

    def close(self) -> None:
        """Mark the end of the stream: the remaining rows may be drawn to the last one."""
        self._closed = True

    @property
    def ready(self) -> bool:
        """Whether `draw` can return rows."""
        return (
            self._drawn < self._ready or self._held >= self._rows or (self._closed and self._left)
        )

    @property
    def _left(self) -> bool:
        return self._held > self._drawn

    def draw(self) -> DecodedRows:
        """Return the next rows; call it only when `ready`."""
        if self._drawn == self._ready:
            self._mix()
        stop = min(self._drawn + self._batch_size, self._ready)
        found = self._gather(self._order[self._drawn : stop])
        self._drawn = stop
        if self._drawn == self._ready:
            self._forget()
        return found

    def _mix(self) -> None:
        last = self._closed and self._held < self._rows
        pool = self._held if last else self._rows
        self._order = self._generator.permutation(pool)
        # except at the end, the other half is mixed with the rows that follow
        self._ready = pool if last else pool // 2 // self._batch_size * self._batch_size
        self._drawn = 0

    def _forget(self) -> None:
        """Free the rows that were drawn."""
        left = np.concatenate([self._order[self._ready :], np.arange(len(self._order), self._held)])
        self._added = [self._gather(left)] if len(left) else []
        self._held, self._drawn, self._ready = len(left), 0, 0
        self._order = np.empty(0, np.int64)

    def _gather(self, rows: Rows) -> DecodedRows:
        starts = np.cumsum([0] + [len(decoded.index) for decoded in self._added])
        owner = np.searchsorted(starts, rows, side="right") - 1
        first = self._added[0]
        images = np.empty((len(rows), *first.images.shape[1:]), first.images.dtype)
        labels, index = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        for number in np.unique(owner).tolist():
            mine = owner == number
            place, found = rows[mine] - starts[number], self._added[number]
            images[mine], labels[mine] = found.images[place], found.labels[place]
            index[mine] = found.index[place]
        return DecodedRows(images, labels, index)


def rebatched(stream: Iterator[DecodedRows], batch_size: int) -> Iterator[DecodedRows]:
    """Yield the same rows in their order, `batch_size` at a time; the last may have fewer."""
    waiting: list[DecodedRows] = []
    held = 0

    def take(rows: int) -> DecodedRows:
        names = ("images", "labels", "index")
        joined = [np.concatenate([getattr(decoded, name) for decoded in waiting]) for name in names]
        whole = DecodedRows(*joined)
        waiting[:] = [whole.rows(rows, held)] if rows < held else []
        return whole.rows(0, rows)

    for decoded in stream:
        waiting.append(decoded)
        held += len(decoded.index)
        while held >= batch_size:
            yield take(batch_size)
            held -= batch_size
    if held:
        yield take(held)


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield the same items, computed by a thread that is at most `depth` items ahead.

    An exception of the thread is raised in place of its item.
    """
    waiting: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(more: bool, item: Item | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put((more, item), timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put(True, item)
                if stopped.is_set():
                    break
            put(False, None)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            put(False, error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()  # in the thread that ran it: a generator cannot be closed from another

    thread = threading.Thread(target=work, name="data-ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if more:
                yield item  # type: ignore[misc]  # an item, as `more` says
                continue
            if isinstance(item, BaseException):
                raise item
            return
    finally:
        stopped.set()
        thread.join()
