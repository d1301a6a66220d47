"""The open events of one partition: more than memory holds, rebuilt from the log where they are lost.

Rows are only ever appended, under a running number, and an index in memory knows the newest row of each
event (:mod:`services.performance.index`). Keyed by event, a B-tree would rewrite a page for nearly every
row, since event ids come in no order (docs/decisions/0015).

The store is a cache. What changes stays in memory until :meth:`EventStore.save`, which comes after the
checkpoint that covers it: the files hold what the log said up to ``offset``, in one transaction with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import numpy as np

from services.performance.disk import Disk, Due
from services.performance.index import Hashes, HashIndex, Rows, hashes_of
from services.performance.rows import ids_of

_NEVER: Final = 1 << 62
_CHUNK: Final = 8_192


class EventStore:
    """Rows of open events (:mod:`services.performance.rows`) by the hash of their id.

    Parameters
    ----------
    folder
        A directory of the partition's own. Where another process has it, one beside it is taken.
    lineage
        Which log this is a cache of; a store of another one is made anew.
    """

    def __init__(self, folder: Path, lineage: str) -> None:
        self._disk = Disk(folder, lineage)
        self._index = HashIndex(self._disk.expected)
        self._young: list[bytes] = []
        self._young_hashes: list[Hashes] = []
        self._young_dues: dict[int, list[int]] = {}
        self._ended = 0
        self._done: set[int] = set()
        self._dues = self._disk.dues()
        self._first_dues = sorted(
            self._dues
        )  # a heap; moments that are done with leave it when they come first
        self.next_due = min(self._dues, default=_NEVER)
        """The first moment at which something may be due."""
        self._index_what_is_there()

    def _index_what_is_there(self) -> None:
        first, rows = 0, list[bytes]()
        for begin, block in self._disk.blocks():
            if len(rows) >= _CHUNK or begin != first + len(rows):
                self._index_rows(first, rows)
                first, rows = begin, []
            rows += block
        self._index_rows(first, rows)

    def _index_rows(self, first: int, rows: list[bytes]) -> None:
        """Take rows into the index; where an event has several, the last one counts."""
        newest = {name: first + at for at, name in enumerate(ids_of(rows))}
        self._index.put(hashes_of(list(newest)), np.fromiter(newest.values(), np.int64, len(newest)))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def offset(self) -> int:
        """Log offset up to which the files are complete, -1 for a new store."""
        return self._disk.offset

    @property
    def unsaved(self) -> int:
        """Rows that came and events that ended since the last save."""
        return len(self._young) + self._ended

    def find(self, hashes: Hashes) -> Rows:
        """Return the number of each event's newest row, -1 where there is none; shape ``(n,)``."""
        return self._index.rows(hashes)

    def read(self, numbers: Rows) -> list[bytes]:
        """Return rows by their numbers, in the order asked for."""
        order = np.argsort(numbers)
        ascending = numbers[order]
        saved = int(np.searchsorted(ascending, self._disk.next_row))
        rows = self._disk.read(ascending[:saved].tolist()) if saved else []
        rows += [self._young[at] for at in (ascending[saved:] - self._disk.next_row).tolist()]
        found = [b""] * len(rows)
        for at, row in zip(order.tolist(), rows, strict=True):
            found[at] = row
        return found

    def put(self, hashes: Hashes, rows: Sequence[bytes], dues: Sequence[int], *, fresh: bool = False) -> None:
        """Set the rows of distinct events, each with the moment it is due; ``fresh``: there were none."""
        first = len(self._young)
        for at, due in enumerate(dues, first):
            young = self._young_dues.get(due)
            if young is None:
                young = self._young_dues[due] = []
                if due not in self._dues:
                    self._dues.add(due)
                    heappush(self._first_dues, due)
                self.next_due = min(self.next_due, due)
            young.append(at)
        self._young += rows
        self._young_hashes.append(hashes)
        begin = self._disk.next_row + first
        set_rows = self._index.add if fresh else self._index.put
        set_rows(hashes, np.arange(begin, begin + len(rows)))

    def due_by(self, moment: int) -> list[int]:
        """Return the moments up to this one for which there are rows, the first first."""
        return sorted(due for due in self._dues if due <= moment)

    def due_is(self, due: int) -> bool:
        """Return whether there are rows that are due at a moment."""
        return due in self._dues

    def due_at(self, due: int) -> tuple[Rows, list[bytes]]:
        """Return numbers and rows of what is due then, rows that are not their event's newest too."""
        numbers: list[Rows] = []
        rows: list[bytes] = []
        for first, block in self._disk.due_at(due):
            numbers.append(np.arange(first, first + len(block)))
            rows += block
        young = self._young_dues.get(due, [])
        numbers.append(np.array(young, np.int64) + self._disk.next_row)
        return np.concatenate(numbers), rows + [self._young[at] for at in young]

    def end(self, due: int, hashes: Hashes) -> None:
        """Be done with a moment, and with the events that were due then."""
        self._dues.discard(due)
        self._done.add(due)
        self._young_dues.pop(due, None)
        self._index.drop(hashes)
        self._ended += len(hashes)
        while self._first_dues and self._first_dues[0] not in self._dues:
            heappop(self._first_dues)
        self.next_due = self._first_dues[0] if self._first_dues else _NEVER

    def save(self, offset: int) -> None:
        """Make the files what the log says up to ``offset``."""
        numbers, hashes, rows = self._living()
        begin = self._disk.next_row
        self._disk.write(rows, self._done, offset, len(self._index))
        self._index.put(hashes, begin + np.arange(len(numbers)))
        self._index.rebase(self._disk.lowest())
        self._young.clear()
        self._young_hashes.clear()
        self._young_dues.clear()
        self._done.clear()
        self._ended = 0

    def _living(self) -> tuple[Rows, Hashes, list[Due]]:
        """Return the young rows that are their events' newest, in the order of the moments they are due."""
        if not self._young:
            return np.zeros(0, np.int64), np.zeros(0, np.uint64), []
        hashes = np.concatenate(self._young_hashes)
        newest = self._index.rows(hashes) - self._disk.next_row == np.arange(len(hashes))
        order: list[int] = []
        dues: list[Due] = []
        for due in sorted(self._young_dues):
            its = [at for at in self._young_dues[due] if newest[at]]
            order += its
            dues.append((due, [self._young[at] for at in its]))
        numbers = np.array(order, np.int64)
        return numbers, hashes[numbers], dues

    def close(self) -> None:
        """Let go of the files."""
        self._disk.close()
