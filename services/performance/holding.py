"""The open events while a packet changes them, and what of the log would be needed to rebuild them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from services.performance.events import OpenEvent
from services.performance.index import hashes_of
from services.performance.rows import event_of, row_of
from services.performance.store import EventStore

_NEVER: Final = 1 << 62


class OpenEvents:
    """Events built from their rows, changed, and put back as rows.

    Parameters
    ----------
    oldest
        By due moment of open events, the first offset of the log that is needed to rebuild them.
    early
        Events by the moment until which they wait for their first answer (:func:`until_answered`): once
        they all have it, nothing is needed for that moment any more.

    Attributes
    ----------
    offset
        Log offset of the packet that is applied.
    """

    def __init__(self, store: EventStore, oldest: dict[int, int], early: dict[int, int]) -> None:
        self.store = store
        self.oldest = oldest
        self.early = early
        self.offset = 0
        self._loaded: dict[str, OpenEvent] = {}
        self._changed: dict[str, OpenEvent] = {}

    def rows_of(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return the newest row stored under each id; one of another id with the same hash is possible."""
        numbers = self.store.find(hashes_of(ids))
        there = np.flatnonzero(numbers >= 0)
        rows: list[bytes | None] = [None] * len(ids)
        if len(there):
            for at, row in zip(there.tolist(), self.store.read(numbers[there]), strict=True):
                rows[at] = row
        return rows

    def load(self, event_id: str, row: bytes | None) -> None:
        """Build an event from its row, unless it has been built already."""
        if row is not None and event_id not in self._loaded:
            event = event_of(row)
            if event.event_id == event_id:  # two ids with one hash: the other one is no answer
                self._loaded[event_id] = event

    def get(self, event_id: str) -> OpenEvent | None:
        """Return an event that has been loaded or begun."""
        return self._loaded.get(event_id)

    def begin(self, event_id: str, due: int) -> OpenEvent:
        """Return a new event."""
        event = self._loaded[event_id] = OpenEvent(event_id, due)
        self._enter(due)
        return event

    def mark(self, event: OpenEvent) -> None:
        """Note that an event has changed."""
        self._changed[event.event_id] = event
        self.need(event.due)

    def move(self, event: OpenEvent, due: int) -> None:
        """Change when an event is due; what is needed to rebuild it moves along."""
        if due != event.due:
            needed = self.oldest.get(event.due, self.offset)
            self._leave(event.due)
            self._enter(due)
            event.due = due
            self.oldest[due] = min(self.oldest.get(due, _NEVER), needed)

    def _enter(self, due: int) -> None:
        if due & 1:
            self.early[due] = self.early.get(due, 0) + 1

    def _leave(self, due: int) -> None:
        if due in self.early:  # not in a rebuild, which does not know how many there were
            self.early[due] -= 1
            if not self.early[due]:
                self.end(due)

    def end(self, due: int) -> None:
        """Note that nothing is due at a moment any more."""
        self.oldest.pop(due, None)
        self.early.pop(due, None)

    def need(self, due: int) -> None:
        """Note that events due then need this packet; offsets only grow, so an earlier one stands."""
        if due not in self.oldest:
            self.oldest[due] = self.offset

    def put(
        self, ids: Sequence[str], rows: Sequence[bytes], dues: Sequence[int], *, fresh: bool = False
    ) -> None:
        """Set the rows of distinct events; ``fresh``: :meth:`rows_of` found none under these ids."""
        if ids:
            for due in dict.fromkeys(dues):
                self.need(due)
            self.store.put(hashes_of(ids), rows, dues, fresh=fresh)

    def keep(self) -> None:
        """Put the events that have changed back as rows, and forget them."""
        if self._changed:
            events = list(self._changed.values())
            self.put(list(self._changed), list(map(row_of, events)), [event.due for event in events])
            self._changed.clear()
        self._loaded.clear()

    def forget(self, passed: int) -> None:
        """Forget what moments up to ``passed`` needed, unless something is still due then."""
        store = self.store
        self.oldest = {due: first for due, first in self.oldest.items() if due > passed or store.due_is(due)}
        self.early = {due: count for due, count in self.early.items() if due > passed or store.due_is(due)}


def repeated(ids: Sequence[str]) -> Collection[str]:
    """Return the ids that come more than once."""
    if len(set(ids)) == len(ids):
        return ()
    seen: set[str] = set()
    return {event_id for event_id in ids if event_id in seen or seen.add(event_id)}  # type: ignore[func-returns-value]
