"""Where each open event's row lies: a hash table in two arrays, asked and filled a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_FREE: Final = np.uint64(0)
_GONE: Final = np.uint64(1)
_SMALLEST: Final = 1 << 10
_FULL: Final = 0.75
_GROWTH: Final = 1.25
_SPAN: Final = 1 << 32


def hashes_of(names: Sequence[str]) -> Hashes:
    """Return 64 bits of each name, shape ``(n,)``; stable within this process only."""
    raw = np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
    return np.maximum(raw, np.uint64(2))  # 0 and 1 mark slots without an entry


def _zeros(size: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    """Return zeros in memory of their own, which goes back when a larger table takes their place.

    The allocator would put tables of many megabytes among the small objects once one of that size has been
    freed, and the holes that they leave there fit nobody.
    """
    return np.frombuffer(mmap(-1, size * np.dtype(kind).itemsize), kind)


class HashIndex:
    """Maps 64-bit hashes to row numbers at 12 bytes a slot.

    A dict of ten million integers takes more than a gigabyte; this takes about 200 MB, and a call
    treats thousands of keys at once. Open addressing with linear probing; the row numbers of all
    living entries lie within 2**32 of each other, so 32 bits of each are kept.

    Examples
    --------
    >>> index = HashIndex()
    >>> names = hashes_of(["a", "b", "c"])
    >>> index.put(names[:2], np.array([7, 8]))
    >>> index.rows(names).tolist()
    [7, 8, -1]
    >>> index.drop(names[:1])
    >>> index.rows(names).tolist(), len(index)
    ([-1, 8, -1], 1)
    """

    def __init__(self, expected: int = 0) -> None:
        self._living = 0
        self._base = 0
        self._make(max(_SMALLEST, int(expected / _FULL * 1.1)))

    def __len__(self) -> int:
        return self._living

    def _make(self, capacity: int) -> None:
        self._keys: npt.NDArray[np.uint64] = _zeros(capacity, np.uint64)
        self._values: npt.NDArray[np.uint32] = _zeros(capacity, np.uint32)
        self._used = 0

    def rows(self, hashes: Hashes) -> Rows:
        """Return the row of each hash, -1 where there is none; shape ``(n,)``."""
        found = np.full(len(hashes), -1, np.int64)
        slots = self._find(hashes)
        hit = slots >= 0
        kept = self._values[slots[hit]].astype(np.int64)
        found[hit] = self._base + (kept - self._base) % _SPAN
        return found

    def add(self, hashes: Hashes, rows: Rows) -> None:
        """Set the rows of distinct hashes that are not there."""
        self._insert(hashes, rows.astype(np.uint32))

    def put(self, hashes: Hashes, rows: Rows) -> None:
        """Set the rows of distinct hashes."""
        slots = self._find(hashes)
        known = slots >= 0
        self._values[slots[known]] = rows[known].astype(np.uint32)
        if not known.all():
            self._insert(hashes[~known], rows[~known].astype(np.uint32))

    def drop(self, hashes: Hashes) -> None:
        """Forget distinct hashes; unknown ones are ignored."""
        slots = self._find(hashes)
        slots = slots[slots >= 0]
        self._keys[slots] = _GONE
        self._living -= len(slots)

    def rebase(self, lowest: int) -> None:
        """Note that no living entry points below row ``lowest``."""
        self._base = lowest

    def _home(self, hashes: Hashes) -> Rows:
        capacity = np.uint64(len(self._keys))
        return (((hashes >> np.uint64(32)) * capacity) >> np.uint64(32)).astype(np.int64)

    def _find(self, hashes: Hashes) -> Rows:
        """Return the slot of each hash, -1 where it is unknown."""
        keys, capacity = self._keys, len(self._keys)
        slots = self._home(hashes)
        there = keys[slots]
        hit = there == hashes
        found = np.where(hit, slots, -1)  # mostly, and told from the others in one go
        waiting = np.flatnonzero(~hit & (there != _FREE))
        slots = slots[waiting] + 1
        slots[slots == capacity] = 0
        while len(waiting):
            there = keys[slots]
            hit = there == hashes[waiting]
            found[waiting[hit]] = slots[hit]
            on = ~hit & (there != _FREE)
            waiting, slots = waiting[on], slots[on] + 1
            slots[slots == capacity] = 0
        return found

    def _insert(self, hashes: Hashes, values: npt.NDArray[np.uint32]) -> None:
        """Add hashes that are not there."""
        if self._used + len(hashes) > _FULL * len(self._keys):
            self._rehash(self._living + len(hashes))
        keys, capacity = self._keys, len(self._keys)
        waiting = np.arange(len(hashes))
        slots = self._home(hashes)
        while len(waiting):
            there = keys[slots]
            free = there <= _GONE
            self._used -= int(np.count_nonzero(there[free] == _GONE))  # an estimate from below is enough
            keys[slots[free]] = hashes[waiting[free]]
            won = keys[slots] == hashes[waiting]
            self._values[slots[won]] = values[waiting[won]]
            waiting, slots = waiting[~won], slots[~won] + 1
            slots[slots == capacity] = 0
        self._living += len(hashes)
        self._used += len(hashes)

    def _rehash(self, needed: int) -> None:
        """Make the table anew, larger where the living entries need it."""
        living = self._keys > _GONE
        hashes, values = self._keys[living], self._values[living]
        capacity = len(self._keys)
        while needed > _FULL * 0.9 * capacity:
            capacity = int(capacity * _GROWTH) + 1
        self._make(capacity)
        self._living = 0
        step = 1 << 18
        for first in range(0, len(hashes), step):
            self._insert(hashes[first : first + step], values[first : first + step])
