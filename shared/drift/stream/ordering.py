"""The slots of all partitions in one order that does not depend on who counted them, or when.

A slot's place is its time by the records' own clock, then its partition, then its number. It may take
its place once every partition's clock has passed that time, since none can then come up with an
earlier one. How long that takes depends on the processes; what the order is does not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.drift.stream.partials import Partial, unpack

SourceKey = tuple[str, int]
"""Topic and partition that slots were counted from."""

MOST_WAITING_BYTES: Final = 64 << 20
"""Beyond this the oldest slots go on without waiting for a partition that has fallen behind."""


class ReadySlot(NamedTuple):
    """One slot, in the order of merging.

    Attributes
    ----------
    time, partition, number
        What the order goes by.
    arrived
        Offset of the partial that brought it, in the merge topic.
    rows
        Raw values where a baseline is being learnt, else empty.
    codes
        Bins of every event, event by event, where they are told.
    size
        Bytes it takes while it waits, about.
    """

    time: int
    partition: int
    number: int
    topic: str
    arrived: int
    occurred: int
    offset: int
    events: int
    counts: NDArray[np.integer[Any]]
    sums: NDArray[np.float64]
    unseen: tuple[tuple[int, str], ...]
    rows: bytes
    codes: bytes
    size: int


@dataclass(slots=True)
class _Queue:
    """The slots of one partition: those up to ``taken`` have gone, the others wait."""

    taken: int = 0
    seen: int = 0
    waiting: deque[ReadySlot] = field(default_factory=deque)


class SlotOrder:
    """Orders the slots of one model version and group.

    Parameters
    ----------
    channels, numeric
        Shape of what is counted.

    Attributes
    ----------
    unordered
        Slots that went on without waiting, or that never came: 0 in any orderly run.
    """

    def __init__(self, channels: int, numeric: int) -> None:
        self._channels, self._numeric = channels, numeric
        self._queues: dict[SourceKey, _Queue] = {}
        self._bytes = 0
        self.unordered = 0

    def offer(self, partial: Partial, arrived: int) -> None:
        """Let the slots of a partial wait for their turn; those that were here before are passed over.

        A partition may begin at any number: its first slots may belong to a watch that was forgotten.
        """
        queue = self._queues.setdefault(
            (partial.topic, partial.partition), _Queue(partial.first, partial.first)
        )
        if partial.first > queue.seen and partial.times:
            self.unordered += partial.first - queue.seen
        for slot in _slots(partial, arrived, self._channels, self._numeric):
            if slot.number >= queue.seen:
                queue.waiting.append(slot)
                queue.seen = slot.number + 1
                self._bytes += slot.size

    def ready(self, clock: int) -> list[ReadySlot]:
        """Return the slots whose turn has come, in order; they wait on until they are released.

        Parameters
        ----------
        clock
            The earliest clock of all partitions.
        """
        found: list[ReadySlot] = []
        for queue in self._queues.values():
            for slot in queue.waiting:
                if slot.time >= clock:
                    break
                found.append(slot)
        found.sort(key=lambda slot: slot[:3])
        return found if found or self._bytes <= MOST_WAITING_BYTES else self._overflow()

    def _overflow(self) -> list[ReadySlot]:
        every = sorted((s for q in self._queues.values() for s in q.waiting), key=lambda slot: slot[:3])
        some = every[: len(every) // 4]
        self.unordered += len(some)
        return some

    def release(self, slots: list[ReadySlot]) -> None:
        """Let go of slots, the first ones of what :meth:`ready` returned."""
        for slot in slots:
            queue = self._queues[slot.topic, slot.partition]
            queue.waiting.popleft()
            queue.taken = slot.number + 1
            self._bytes -= slot.size

    @property
    def waiting(self) -> int:
        """How many slots wait for their turn."""
        return sum(len(queue.waiting) for queue in self._queues.values())

    @property
    def earliest_arrival(self) -> int | None:
        """Offset in the merge topic of the first partial that is still needed; None where none is."""
        return min(
            (queue.waiting[0].arrived for queue in self._queues.values() if queue.waiting), default=None
        )

    def taken(self) -> list[tuple[str, int, int]]:
        """Return topic, partition and number of slots taken of each source: all that must be remembered."""
        return sorted((topic, partition, queue.taken) for (topic, partition), queue in self._queues.items())

    def restore(self, taken: list[tuple[str, int, int]]) -> None:
        """Go on after these; the slots that waited are read again from the merge topic."""
        self._queues = {(topic, partition): _Queue(number, number) for topic, partition, number in taken}
        self._bytes = 0


def _slots(partial: Partial, arrived: int, channels: int, numeric: int) -> list[ReadySlot]:
    count = len(partial.times)
    if not count:
        return []
    counts = (
        unpack(partial.counts, count, channels)
        if partial.counts
        else np.zeros((count, 0, 0), np.uint8)  # while a baseline is learnt there are rows instead
    )
    sums = np.frombuffer(partial.sums, "<f8").reshape(count, -1, 2) if partial.sums else None
    unseen: list[list[tuple[int, str]]] = [[] for _ in range(count)]
    for slot, channel, name in partial.unseen:
        unseen[slot].append((channel, name))
    ends = list(accumulate(partial.events, initial=0))
    wide = len(partial.codes) // max(ends[-1], 1)
    fixed = 400 + counts[0].nbytes + 16 * numeric
    rows = partial.rows or (b"",) * count
    codes = [partial.codes[low * wide : high * wide] for low, high in pairwise(ends)] if wide else rows
    return [
        ReadySlot(
            time=partial.times[i],
            partition=partial.partition,
            number=partial.first + i,
            topic=partial.topic,
            arrived=arrived,
            occurred=partial.occurred[i],
            offset=partial.offsets[i],
            events=partial.events[i],
            counts=counts[i],
            sums=np.zeros((numeric, 2)) if sums is None else sums[i],
            unseen=tuple(unseen[i]),
            rows=rows[i],
            codes=codes[i] if wide else b"",
            size=fixed + len(rows[i]) + (len(codes[i]) if wide else 0),
        )
        for i in range(count)
    ]
