"""One partition's rows cut into slots: after 16 events, or when its clock enters the next ten seconds.

The clock is the records' own (their Kafka timestamps, made monotone), never that of the process, so
that reading the same partition again cuts the same slots. The ten seconds keep the last few events of
a quiet partition from waiting for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.slots import SLOT
from shared.drift.stream.coding import Coded

CELL_MS: Final = 10_000


@dataclass(slots=True)
class CutSlots:
    """Slots that are complete.

    Attributes
    ----------
    first
        Number of the first one.
    times, occurred, offsets, events
        See :class:`shared.drift.stream.partials.Partial`.
    counts
        Shape ``(slots, channels, columns)``.
    sums
        Sum and sum of squares, shape ``(slots, numeric, 2)``.
    unseen
        ``(slot, channel, category)``.
    codes
        Bins of every event, where they are told: shape ``(events, channels)``.
    """

    first: int
    times: list[int]
    occurred: list[int]
    offsets: list[int]
    events: list[int]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    unseen: list[tuple[int, int, str]] = field(default_factory=list)
    codes: bytes = b""

    def __len__(self) -> int:
        return len(self.times)


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """Shape of what is counted.

    Attributes
    ----------
    channels, columns
        Of the counts of one slot.
    numeric
        Channels whose values are summed.
    rows
        Channel of each row of codes.
    told
        How many of the first rows are told event by event.
    """

    channels: int
    columns: int
    numeric: int
    rows: tuple[int, ...]
    told: int = 0


class _State(msgspec.Struct, frozen=True, array_like=True):
    next_slot: int
    clocks: list[int]
    occurred: list[int]
    offsets: list[int]
    codes: bytes
    numbers: bytes
    unseen: list[tuple[int, int, str]]


class SlotCutter:
    """The slots of one model version in one partition; an incomplete one waits.

    Parameters
    ----------
    shape
        Of what is counted.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._offsets_of_rows = (np.array(shape.rows, np.int64) * shape.columns)[:, None]
        self.next_slot = 0
        self._pending = Coded(np.empty((len(shape.rows), 0), np.uint8), np.empty((shape.numeric, 0)))
        self._clocks = np.empty(0, np.int64)
        self._occurred = np.empty(0, np.int64)
        self._offsets = np.empty(0, np.int64)

    def add(
        self,
        coded: Coded,
        clocks: NDArray[np.int64],
        occurred: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> CutSlots:
        """Return the slots that these rows complete; arrays have shape ``(n,)``, clocks never fall."""
        kept = len(self._pending)
        rows = Coded(
            np.concatenate([self._pending.codes, coded.codes], axis=1),
            np.concatenate([self._pending.numbers, coded.numbers], axis=1),
            [*self._pending.unseen, *((row + kept, c, name) for row, c, name in coded.unseen)],
        )
        self._clocks = np.concatenate([self._clocks, clocks])
        self._occurred = np.concatenate([self._occurred, occurred])
        self._offsets = np.concatenate([self._offsets, offsets])
        starts = _starts(self._clocks // CELL_MS)
        sizes = np.diff(np.append(starts, len(self._clocks)))
        whole = len(starts) if len(starts) and sizes[-1] == SLOT else max(len(starts) - 1, 0)
        return self._take(rows, starts, sizes, whole)

    def settle(self, clock: int) -> CutSlots:
        """Return the slot that waits, if the partition's clock has left its ten seconds."""
        over = len(self._clocks) > 0 and clock >= _end(int(self._clocks[-1]))
        size = len(self._clocks)
        starts = np.zeros(1 if size else 0, np.intp)
        return self._take(self._pending, starts, np.full(len(starts), size), int(over))

    def _take(self, rows: Coded, starts: NDArray[np.intp], sizes: NDArray[np.intp], whole: int) -> CutSlots:
        """Return the first ``whole`` slots and keep the rest waiting."""
        cut = int(starts[whole]) if whole < len(starts) else len(self._clocks)
        starts, sizes = starts[:whole], sizes[:whole]
        last = starts + sizes - 1
        slot = np.repeat(np.arange(whole), sizes)
        order = np.lexsort((self._occurred[:cut], slot))
        times = [
            int(self._clocks[row]) if size == SLOT else _end(int(self._clocks[row]))
            for row, size in zip(last.tolist(), sizes.tolist(), strict=True)
        ]
        done = CutSlots(
            first=self.next_slot,
            times=times,
            occurred=self._occurred[:cut][order[starts + (sizes - 1) // 2]].tolist(),
            offsets=self._offsets[last].tolist(),
            events=sizes.tolist(),
            counts=self._count(rows.codes[:, :cut], slot, whole),
            sums=_sums(rows.numbers[:, :cut], starts, whole),
            unseen=[(int(slot[row]), channel, name) for row, channel, name in rows.unseen if row < cut],
            codes=rows.codes[: self._shape.told, :cut].T.tobytes(),
        )
        self.next_slot += whole
        self._pending = rows.between(cut, len(self._clocks))
        self._clocks, self._occurred = self._clocks[cut:], self._occurred[cut:]
        self._offsets = self._offsets[cut:]
        return done

    def _count(self, codes: NDArray[np.uint8], slot: NDArray[np.intp], slots: int) -> NDArray[np.int64]:
        size = self._shape.channels * self._shape.columns
        cells = codes + self._offsets_of_rows + slot * size
        counts = np.bincount(cells.ravel(), minlength=slots * size)
        return counts.reshape(slots, self._shape.channels, self._shape.columns)

    def snapshot(self) -> bytes:
        """Return the state as bytes, equal for equal histories."""
        state = _State(
            self.next_slot,
            self._clocks.tolist(),
            self._occurred.tolist(),
            self._offsets.tolist(),
            self._pending.codes.tobytes(),
            self._pending.numbers.astype("<f8").tobytes(),
            self._pending.unseen,
        )
        return msgspec.msgpack.encode(state)

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot of slots of this shape.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
            rows = len(state.clocks)
            codes = np.frombuffer(state.codes, np.uint8).reshape(len(self._shape.rows), rows)
            numbers = (
                np.frombuffer(state.numbers, "<f8").astype(np.float64).reshape(self._shape.numeric, rows)
            )
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"the bytes are no waiting slot of this model version: {error}") from error
        self.next_slot = state.next_slot
        self._pending = Coded(codes.copy(), numbers, list(state.unseen))
        self._clocks = np.array(state.clocks, np.int64)
        self._occurred = np.array(state.occurred, np.int64)
        self._offsets = np.array(state.offsets, np.int64)


def _starts(cells: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where slots begin: with each new cell, and after every 16 rows within one."""
    rows = np.arange(len(cells))
    fresh = np.flatnonzero(np.diff(cells, prepend=cells[:1] - 1))
    run = np.repeat(fresh, np.diff(np.append(fresh, len(cells))))
    return np.flatnonzero((rows - run) % SLOT == 0)


def _end(clock: int) -> int:
    return (clock // CELL_MS + 1) * CELL_MS


def _sums(numbers: NDArray[np.float64], starts: NDArray[np.intp], slots: int) -> NDArray[np.float64]:
    if not slots or not len(numbers):
        return np.zeros((slots, len(numbers), 2))
    both = np.stack([numbers, numbers * numbers])  # (2, numeric, n)
    sums: NDArray[np.float64] = np.add.reduceat(both, starts, axis=2)
    return sums.transpose(2, 1, 0)
