"""What was counted lately, over several lengths: how things look since a change."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

LENGTHS: Final = (4, 32, 256, 1_024)
"""Slots in a block of each level: with full slots 64, 512, 4,096 and 16,384 events."""


class _Block:
    """Counts, sums and events of some slots."""

    def __init__(self, channels: int, columns: int, numeric: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((channels, columns), np.int64)
        self.sums: NDArray[np.float64] = np.zeros((numeric, 2))
        self.events = 0

    def add(self, counts: NDArray[np.int64], sums: NDArray[np.float64], events: int) -> None:
        self.counts[:, : counts.shape[1]] += counts
        self.sums += sums
        self.events += events


class BlockState(msgspec.Struct, frozen=True, array_like=True):
    """A block as it is kept between processes: a slot has fewer than 256 events, so 32 bits are enough."""

    counts: bytes
    sums: bytes
    events: int


class LatelyState(msgspec.Struct, frozen=True, array_like=True):
    """All blocks as they are kept between processes."""

    slots: int
    blocks: list[tuple[BlockState, BlockState]]


class Lately:
    """Two blocks of slots at each of four lengths: the last one that is complete, and the one that grows.

    Parameters
    ----------
    channels, columns, numeric
        Shape of what is counted.

    Examples
    --------
    >>> lately = Lately(1, 2, 0)
    >>> for slot in range(100):
    ...     counts = [16, 0] if slot < 60 else [0, 16]
    ...     lately.add(np.array([[counts]]), np.zeros((1, 0, 2)), [16])
    >>> counts, sums = lately.since(40 * 16)                  # it can tell of the last 36 slots
    >>> counts.tolist()
    [[0, 576]]
    """

    def __init__(self, channels: int, columns: int, numeric: int) -> None:
        self._shape = (channels, columns, numeric)
        self._slots = 0
        self._blocks = [(self._block(), self._block()) for _ in LENGTHS]

    def _block(self) -> _Block:
        return _Block(*self._shape)

    def add(self, counts: NDArray[np.integer[Any]], sums: NDArray[np.float64], events: list[int]) -> None:
        """Count slots in order: shapes ``(slots, channels, columns)`` and ``(slots, numeric, 2)``."""
        done = 0
        while done < len(events):
            take = min(LENGTHS[0] - self._slots % LENGTHS[0], len(events) - done)
            part = slice(done, done + take)
            mine = counts[part].sum(axis=0, dtype=np.int64)
            self._blocks[0][1].add(mine, sums[part].sum(axis=0), sum(events[part]))
            self._slots += take
            done += take
            self._pass_on()

    def _pass_on(self) -> None:
        """Let blocks that have become complete count in the next longer ones."""
        for level, length in enumerate(LENGTHS):
            if self._slots % length:
                return
            whole = self._blocks[level][1]
            self._blocks[level] = (whole, self._block())
            if level + 1 < len(LENGTHS):
                self._blocks[level + 1][1].add(whole.counts, whole.sums, whole.events)

    def since(self, events: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return counts and sums of the most of the last slots that have no more events than that.

        Where all have more, those of the fewest.
        """
        grown: list[tuple[int, list[_Block]]] = []
        rest: list[_Block] = []  # what the longer block does not know of yet
        for whole, growing in self._blocks:
            rest = [*rest, growing]
            grown.append((sum(block.events for block in rest), rest))
            both = [*rest, whole]
            grown.append((sum(block.events for block in both), both))
        some = [one for one in grown if one[0]]
        within = [one for one in some if one[0] <= events]
        if not some:
            return np.zeros(self._shape[:2], np.int64), np.zeros((self._shape[2], 2))
        _, blocks = max(within, key=_events) if within else min(some, key=_events)
        return (
            np.sum([block.counts for block in blocks], axis=0),
            np.sum([block.sums for block in blocks], axis=0),
        )

    def snapshot(self) -> LatelyState:
        """Return the state, equal for equal histories."""
        return LatelyState(self._slots, [(_state(whole), _state(growing)) for whole, growing in self._blocks])

    def restore(self, state: LatelyState) -> None:
        """Go on from a state of the same shape."""
        self._slots = state.slots
        self._blocks = [(self._restored(whole), self._restored(growing)) for whole, growing in state.blocks]

    def _restored(self, state: BlockState) -> _Block:
        made = self._block()
        made.counts[...] = np.frombuffer(state.counts, "<u4").reshape(made.counts.shape)
        made.sums[...] = np.frombuffer(state.sums, "<f8").reshape(made.sums.shape)
        made.events = state.events
        return made


def _state(block: _Block) -> BlockState:
    return BlockState(block.counts.astype("<u4").tobytes(), block.sums.astype("<f8").tobytes(), block.events)


def _events(one: tuple[int, list[_Block]]) -> int:
    return one[0]
