"""A shuffle buffer over a stream of rows, and a thread that prepares items ahead of time."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from raymoco.data.codec import Pixels
from raymoco.data.shards.row_groups import DecodedRows, Rows

Item = TypeVar("Item")
_Waiting = queue.Queue[tuple[bool, Item | BaseException | None]]


STOP_S = 60.0  # a thread that decodes looks up after each block


class ShuffleBuffer:
    """Draws rows at random from a buffer over a stream; the draws do not depend on block sizes.

    Ray's own local shuffle depends on how the stream happens to be cut into blocks. Every row is
    copied into a slot of one piece of memory, and from there into its batch.

    Args:
        batch_size: rows of a draw; the last draw of a stream may have fewer.
        rows: size of the buffer; at least two draws.
        memory: `memory` of an earlier buffer that is not used any more.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        batch_size: int,
        rows: int,
        memory: Pixels | None = None,
    ) -> None:
        self._generator, self._batch_size = generator, batch_size
        self._rows = max(rows, 2 * batch_size)
        self.memory = memory
        self._labels = self._index = np.empty(0, np.int64)
        self._free: list[int] = []
        self._waiting: list[int] = []  # slots of rows, in the order of the stream
        self._order: Rows = np.empty(0, np.int64)  # slots that are being drawn, then mixed again
        self._drawn = self._ready = 0
        self._closed = False

    def add(self, decoded: DecodedRows) -> None:
        """Add rows of the stream."""
        memory = self._room(decoded)
        slots = [self._free.pop() for _ in decoded.index]
        self._labels[slots], self._index[slots] = decoded.labels, decoded.index
        for slot, image in zip(slots, decoded.images, strict=True):
            memory[slot] = image
        self._waiting += slots

    def close(self) -> None:
        """Mark the end of the stream: the remaining rows may be drawn to the last one."""
        self._closed = True

    @property
    def ready(self) -> bool:
        """Whether `draw` can return rows."""
        return (
            self._drawn < self._ready
            or self._held >= self._rows
            or (self._closed and self._held > 0)
        )

    @property
    def _held(self) -> int:
        return len(self._order) - self._drawn + len(self._waiting)

    def draw(self) -> DecodedRows:
        """Return the next rows; call it only when `ready`."""
        if self._drawn == self._ready:
            self._mix()
        stop = min(self._drawn + self._batch_size, self._ready)
        slots = self._order[self._drawn : stop]
        self._drawn = stop
        memory = self._images
        images = np.empty((len(slots), *memory.shape[1:]), memory.dtype)
        np.take(memory, slots, axis=0, out=images, mode="clip")  # other modes copy twice
        self._free += slots.tolist()
        return DecodedRows(images, self._labels[slots], self._index[slots])

    @property
    def _images(self) -> Pixels:
        assert self.memory is not None, "nothing was added"
        return self.memory

    def _mix(self) -> None:
        left = np.concatenate([self._order[self._ready :], np.array(self._waiting, np.int64)])
        last = self._closed and len(left) < self._rows
        pool = len(left) if last else self._rows
        self._order = left[:pool][self._generator.permutation(pool)]
        self._waiting = left[pool:].tolist()
        # except at the end, the other half is mixed with the rows that follow
        self._ready = pool if last else pool // 2 // self._batch_size * self._batch_size
        self._drawn = 0

    def _room(self, decoded: DecodedRows) -> Pixels:
        """The memory, with at least as many free slots as there are rows."""
        more, shape = len(decoded.index), decoded.images.shape[1:]
        old = self.memory
        if old is None or old.shape[1:] != shape or old.dtype != decoded.images.dtype:
            old = np.empty((self._rows + more, *shape), decoded.images.dtype)
        if not len(self._labels):
            self._free = list(range(len(old)))[::-1]
            self._labels, self._index = np.empty((2, len(old)), np.int64)
        lacking = more - len(self._free)
        if lacking > 0:
            size = len(old) + lacking
            self._free += range(len(old), size)
            old = np.concatenate([old, np.empty((lacking, *shape), old.dtype)])
            self._labels = np.resize(self._labels, size)
            self._index = np.resize(self._index, size)
        self.memory = old
        return old


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


class Ahead(Generic[Item]):
    """The same items, computed by a thread that starts at once.

    An exception of the thread is raised in place of its item. The thread ends with the items, with
    `close`, or when nobody holds this any more.

    Args:
        items: taken by the thread alone.
        depth: how many items may wait; 0: all of them.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._waiting: _Waiting[Item] = queue.Queue(depth)
        self._stopped = threading.Event()
        # not a method: the thread would hold what it is to notice the end of
        self._thread = threading.Thread(
            target=_compute, args=(items, self._waiting, self._stopped), name="data-ahead"
        )
        self._thread.daemon = True
        self._thread.start()
        _running.add(self)

    def __iter__(self) -> Iterator[Item]:
        try:
            while True:
                more, item = self._take()
                if more:
                    yield item  # type: ignore[misc]  # an item, as `more` says
                    continue
                if isinstance(item, BaseException):
                    raise item
                return
        finally:
            self.close()

    def _take(self) -> tuple[bool, Item | BaseException | None]:
        while True:
            try:
                return self._waiting.get(timeout=0.5)
            except queue.Empty:
                if self._stopped.is_set():  # by another thread
                    return False, None

    def __del__(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        """Stop the thread, and wait for that; not for ever, if what computes does not answer."""
        self._stopped.set()
        self._thread.join(STOP_S)


_running: weakref.WeakSet[Ahead[Any]] = weakref.WeakSet()


def stop_all() -> None:
    """Stop every thread that computes ahead: before Ray is left, or they would start it again."""
    for ahead in list(_running):
        ahead.close()


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield the same items, computed by a thread from the first `next` on.

    Args:
        depth: how many items may wait.
    """
    yield from Ahead(items, depth)


def _compute(items: Iterator[Item], waiting: _Waiting[Item], stopped: threading.Event) -> None:
    def put(more: bool, item: Item | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put((more, item), timeout=0.1)
            except queue.Full:
                continue
            return

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
