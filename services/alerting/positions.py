"""How far each partition has been acted on: the state says so, and nothing else does. Pure.

Faust loses records between Kafka and its agents: queues are emptied when the flow goes on, what was
fetched before a seek moves its read offset past what is fetched after it, and a batch is acknowledged
although its agent was cancelled. So nothing is believed: every record says from where it was read
(*follows*: nothing lies between that offset and its own), and only the one that goes on where the last
one ended is acted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from faust.types import TP

POSITION: Final = "position"
"""First part of a record's key."""

Place = Literal["next", "known", "gap"]


class Position(msgspec.Struct):
    """The state's record of one partition.

    Attributes
    ----------
    group
        Whose position it is: another group reads everything again, over the same state.
    topic, partition
        What is read.
    offset
        Everything before it has been acted on.
    """

    group: str
    topic: str
    partition: int
    offset: int


class Positions:
    """The next offset of every partition, and what of it is not written yet.

    Parameters
    ----------
    group
        The consumer group.
    """

    def __init__(self, group: str = "") -> None:
        self._group = group
        self._next: dict[TP, int] = {}
        self._dirty: set[TP] = set()
        self._seen: dict[TP, int] = {}

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out."""
        for key, value in records.items():
            if key.startswith(POSITION + "/"):
                found = msgspec.json.decode(value, type=Position)
                if found.group == self._group:
                    self._next[TP(found.topic, found.partition)] = found.offset

    def all(self) -> dict[TP, int]:
        """Return the next offset of every partition that is known."""
        return dict(self._next)

    def begin(self, tp: TP, offset: int) -> None:
        """Note where the reading of a partition begins: nothing before it can or need be read."""
        if self._next.get(tp) != offset:
            self._next[tp] = offset
            self._dirty.add(tp)

    def take(self, tp: TP, offset: int, follows: int) -> Place:
        """Return whether a record is the next one, was acted on before, or comes too early.

        Parameters
        ----------
        follows
            An offset at or before its own: no record lies between the two.
        """
        expected = self._next.get(tp)
        if expected is None or follows > expected:
            return "gap"
        if offset < expected:
            return "known"
        self._next[tp] = offset + 1
        self._dirty.add(tp)
        return "next"

    def stuck(self, handed_out: Mapping[TP, int]) -> set[TP]:
        """Return the partitions that have not moved since the last call although they should have.

        Parameters
        ----------
        handed_out
            The offset after the last record that was given to Faust, by partition.
        """
        late = {tp for tp, offset in handed_out.items() if offset > self._next.get(tp, -1)}
        stuck = {tp for tp in late if tp in self._seen and self._seen[tp] == self._next.get(tp, -1)}
        self._seen = {tp: self._next.get(tp, -1) for tp in late}
        return stuck

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call; write them after all others."""
        dirty, self._dirty = self._dirty, set()
        return {
            f"{POSITION}/{self._group}/{tp.topic}/{tp.partition}": msgspec.json.encode(
                Position(self._group, tp.topic, tp.partition, self._next[tp])
            )
            for tp in sorted(dirty)
        }
