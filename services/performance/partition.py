"""The join of one partition of the log: a function of its packets in order, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from services.performance.cells import WindowCells
from services.performance.checkpoints import Base, encode_base
from services.performance.clock import EventClock
from services.performance.concept import ConceptBoard
from services.performance.ending import Ending
from services.performance.entities import EntityOutcomes
from services.performance.facts import Facts
from services.performance.holding import OpenEvents
from services.performance.packets import Packet
from services.performance.plain import PacketJoin
from services.performance.said import Said
from services.performance.store import EventStore
from services.performance.telling import FactsOf
from services.performance.windows import Windows
from shared.messages import Source

_MOST_NOTED: Final = 20_000
"""So many changes are noted before they are counted: a batch that touches all windows costs the same for
ten changes in each as for one, and none is read more often than there are reports and checkpoints."""


class PartitionJoin:
    """Joins answers, labels and outcomes of the events of one partition.

    What changes is kept in memory until the next checkpoint has been committed, and only then written
    to the store, so that the store never runs ahead of what is committed.

    Parameters
    ----------
    facts_of
        Returns the facts of a version; every version of a packet has been met before.
    expected
        Names of all sources whose time counts.
    windows
        The open windows of the checkpoint.
    log
        Topic and partition that the packets come from.
    grace
        Milliseconds of the log's time by which the watermark follows event time (:class:`EventClock`), from
        the first checkpoint on: until then it is that of ``base``, since a replay must agree.
    """

    def __init__(
        self,
        facts_of: FactsOf,
        expected: Sequence[str],
        base: Base,
        windows: Iterable[WindowCells],
        store: EventStore,
        *,
        log: tuple[str, int] = ("performance-log", 0),
        grace: int | None = None,
    ) -> None:
        self._facts_of = facts_of
        self._log, self._number = log
        self._base = base
        self._clock = EventClock(expected, base.clock)
        self._grace = base.grace if grace is None else grace
        self.store = store
        self.concept = ConceptBoard(dict(base.concept))
        self._windows = Windows(facts_of, base.facts, windows)
        self._events = OpenEvents(store, dict(base.oldest), dict(base.early))
        self._total = Said(orphans=base.orphans)
        self._packets = PacketJoin(self._events, self._windows, self._clock, self._total)
        self._entities = EntityOutcomes(self._events, facts_of, self._clock, self._total)
        self._ending = Ending(self._events, self._windows, self._total, self._entities)
        self._unconfirmed: int | None = None

    # -- what is known ------------------------------------------------------------------------------

    @property
    def watermark(self) -> int:
        """Event time that every source has come to; -1 before that is known."""
        return self._clock.watermark

    @property
    def windows(self) -> dict[tuple[str, str, int], WindowCells]:
        """The open windows by model, version and start; right only after :meth:`settle`."""
        return self._windows.open

    @property
    def open_events(self) -> int:
        """Events that are not done with."""
        return len(self.store)

    @property
    def orphans(self) -> int:
        """Labels and outcomes that waited for an answer until nobody could give it in time."""
        return self._total.orphans

    @property
    def unsaved(self) -> int:
        """Events that have changed since the last checkpoint."""
        return self.store.unsaved

    @property
    def low_offset(self) -> int:
        """First offset of the log that a new replica would need, as of the last checkpoint."""
        return min(self._base.oldest.values(), default=self._base.offset)

    def versions(self) -> Iterator[Facts]:
        """Yield the facts of every version met in this partition."""
        yield from self._windows.facts.values()

    def take_said(self) -> Said:
        """Return what there is to say, and forget it."""
        return self._total.take()

    # -- applying -----------------------------------------------------------------------------------

    def apply(self, packet: Packet, offset: int, at: int) -> None:
        """Take one packet of the log, written at a moment in epoch milliseconds."""
        self._events.offset = self._windows.offset = offset
        if packet.answers:
            self._packets.answers(packet.answers)
        if packet.labels:
            self._packets.labels(packet.labels)
        if packet.outcomes:
            self._packets.outcomes(packet.outcomes)
        if packet.touches:
            self._entities.touches(packet.touches)
        if packet.entity_outcomes:
            self._entities.outcomes(packet.entity_outcomes)
        for matured in packet.matured:
            facts = self._windows.met(matured.model, matured.version)
            self.concept.take(matured, facts, Source(self._log, self._number, offset))
        if len(self._windows) >= _MOST_NOTED:
            self.settle()
        clock = self._clock
        before = clock.watermark, clock.settled
        clock.heard(packet.source, packet.high, idle=packet.idle, at=at)
        if (clock.watermark, clock.settled) > before:
            over = clock.end(by_entity=any(facts.by_entity for facts in self._windows.facts.values()))
            self._end_what_is_due(clock.watermark, over)

    def settle(self) -> None:
        """Count what has been noted: the open windows are right only after this."""
        self._windows.settle()

    def _end_what_is_due(self, watermark: int, over: int) -> None:
        """End everything that waits until the watermark, and the events and windows that are over."""
        self._ending.until(watermark, over)
        self._total.final += self._windows.end(over)

    def end_as(self, base: Base) -> None:
        """End what had been due by a checkpoint, in a rebuild: the windows know of it already."""
        self._end_what_is_due(base.watermark, base.clock.over)
        self.take_said()

    # -- checkpoints --------------------------------------------------------------------------------

    def checkpoint(self, offset: int, prefix: str) -> tuple[list[bytes], list[bytes | None]]:
        """Return keys and values of the state records that make a checkpoint at a log offset.

        Call :meth:`confirm` once they have been committed, before anything else is applied.
        """
        self.settle()
        self._events.forget(self.watermark)
        clock = self._clock.state(grace=self._grace)
        self._base = Base(
            lineage=self._base.lineage,
            offset=offset,
            watermark=clock.watermark,
            times=clock.times,
            facts=list(self._windows.facts.values()),
            oldest=dict(self._events.oldest),
            orphans=self.orphans,
            concept=self.concept.states(),
            early=dict(self._events.early),
            marks=clock.marks,
            followed=clock.followed,
            settled=clock.settled,
            over=clock.over,
            now=clock.now,
            grace=clock.grace,
        )
        keys, values = self._windows.changes(prefix)
        self._unconfirmed = offset
        return [f"{prefix}/base".encode(), *keys], [encode_base(self._base), *values]

    def confirm(self) -> None:
        """Write to the store what the last checkpoint covers: it has been committed."""
        if self._unconfirmed is not None:
            offset, self._unconfirmed = self._unconfirmed, None
            self.save(offset)

    def save(self, offset: int) -> None:
        """Write what has changed to the store, as of a log offset, and let go of the memory."""
        self.store.save(offset)
