"""The join of one partition of the log: a function of its packets in order, and of nothing else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from services.performance.cells import WindowCells
from services.performance.clock import EventClock, SourceTime
from services.performance.concept import ConceptBoard
from services.performance.entities import (
    entity_key,
    is_named_by_us,
    is_outcome,
    latest_answers,
    outcome_key,
    touch,
    waits_until,
)
from services.performance.events import OpenEvent
from services.performance.facts import DEFAULT_HORIZON, Facts, Version, due_at
from services.performance.packets import Answered, Followed, Known, Matured, Packet, Touched
from services.performance.store import EventStore
from services.performance.tally import Tally
from services.performance.telling import FactsOf, beside, effective, labelled
from services.performance.worth import Worth
from shared.drift.label_baseline import SCORE_EDGES
from shared.messages import Labelled, Source

_NEVER: Final = 1 << 62
_MOST_NOTED: Final = 20_000
"""So many changes are noted before they are counted: a batch that touches all windows costs the same for
ten changes in each as for one, and none is read more often than there are reports and checkpoints."""


class Base(msgspec.Struct, array_like=True):
    """What a checkpoint holds beside the windows and the events.

    Attributes
    ----------
    lineage
        Which life of the log this belongs to; local stores of another one are worthless.
    offset
        Log offset up to which the checkpoint counts.
    oldest
        By due moment of open events, the first offset that is needed to rebuild them.
    orphans
        Labels that waited for an answer until nobody could give it in time.
    concept
        State of the concept-drift detectors, by model and version.
    """

    lineage: str
    offset: int
    watermark: int = -1
    times: dict[str, SourceTime] = {}
    facts: list[Facts] = []
    oldest: dict[int, int] = {}
    orphans: int = 0
    concept: dict[str, bytes] = {}


encode_base = msgspec.msgpack.Encoder().encode
decode_base = msgspec.msgpack.Decoder(Base, strict=False).decode


@dataclass(slots=True)
class Said:
    """What there is to say since it was last taken.

    Attributes
    ----------
    labelled
        Labels beside their answers.
    final
        Windows that are final.
    matured
        By version, event id, time and cell of each label whose horizon has passed.
    outcomes
        Outcomes of entities whose event has been found: for the partition of that event.
    """

    labelled: list[Labelled]
    final: list[WindowCells]
    matured: dict[Version, list[tuple[str, int, int]]]
    outcomes: list[Followed]


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
    ) -> None:
        self._facts_of = facts_of
        self._log, self._number = log
        self._base = base
        self._clock = EventClock(expected, base.times, base.watermark)
        self._oldest = dict(base.oldest)
        self.windows: dict[tuple[str, str, int], WindowCells] = {w.key: w for w in windows}
        self.store = store
        self.orphans = base.orphans
        self.concept = ConceptBoard(dict(base.concept))
        self._facts: dict[Version, Facts] = {(f.model, f.version): f for f in base.facts}
        self._tally, self._worth = Tally(), Worth()
        self._buffer: dict[str, OpenEvent | None] = {}
        self._dirty: set[str] = set()
        self._gone: list[str] = []
        self._done: set[int] = set()
        self._ended: set[tuple[str, str, int]] = set()
        self._calendar: dict[int, set[str]] = {}
        self._next_due = min(store.dues, default=_NEVER)
        self._said = Said([], [], {}, [])
        self._unconfirmed: int | None = None
        self._offset = 0
        self.open_events = len(store)
        """Events that are not done with."""

    # -- what is known ------------------------------------------------------------------------------

    @property
    def watermark(self) -> int:
        """Event time that every source has come to; -1 before that is known."""
        return self._clock.watermark

    @property
    def unsaved(self) -> int:
        """Events that have changed since the last checkpoint."""
        return len(self._dirty) + len(self._gone)

    @property
    def low_offset(self) -> int:
        """First offset of the log that a new replica would need, as of the last checkpoint."""
        return min(self._base.oldest.values(), default=self._base.offset)

    def versions(self) -> Iterator[Facts]:
        """Yield the facts of every version met in this partition."""
        yield from self._facts.values()

    def take_said(self) -> Said:
        """Return what there is to say, and forget it."""
        said, self._said = self._said, Said([], [], {}, [])
        return said

    # -- applying -----------------------------------------------------------------------------------

    def apply(self, packet: Packet, offset: int) -> None:
        """Take one packet of the log."""
        self._offset = offset
        self._load(packet)
        for answer in packet.answers:
            self._answer(answer)
        for known in packet.labels:
            self._label(known)
        for followed in packet.outcomes:
            self._outcome(followed)
        for touched in packet.touches:
            self._touch(touched)
        for followed in packet.entity_outcomes:
            self._wait_for_entity(followed)
        for matured in packet.matured:
            facts = self._facts_of(matured.model, matured.version)
            self._facts[matured.model, matured.version] = facts
            self.concept.take(matured, facts, Source(self._log, self._number, offset))
        if len(self._tally) + len(self._worth) >= _MOST_NOTED:
            self.settle()
        before = self._clock.watermark
        if self._clock.heard(packet.source, packet.high, idle=packet.idle) > before:
            self._end_what_is_due()

    def settle(self) -> None:
        """Count what has been noted: the open windows are right only after this."""
        self._tally.count()
        self._worth.count()

    def _load(self, packet: Packet) -> None:
        """Bring the stored ones of the packet's events into memory, all at once."""
        buffer = self._buffer
        ids = {answer.event_id for answer in packet.answers if answer.event_id not in buffer}
        ids.update(known.event_id for known in packet.labels if known.event_id not in buffer)
        ids.update(followed.event_id for followed in packet.outcomes if followed.event_id not in buffer)
        ids.update(entity_key(t.entity_id) for t in packet.touches)
        ids.update(entity_key(f.event_id) for f in packet.entity_outcomes)
        ids.update(outcome_key(f) for f in packet.entity_outcomes)
        ids -= buffer.keys()
        if ids:
            buffer.update(self.store.get(list(ids)))

    def _mark(self, event: OpenEvent) -> None:
        """Note that an event has changed."""
        event_id, due = event.event_id, event.due
        if event_id in self._dirty:
            return  # noted already, with the same due moment: see _move
        self._dirty.add(event_id)
        ids = self._calendar.get(due)
        if ids is None:
            ids = self._calendar[due] = set()
            self._next_due = min(self._next_due, due)
        ids.add(event_id)
        if due not in self._oldest:  # offsets only grow, so an earlier one stands
            self._oldest[due] = self._offset

    def _window(self, answer: Answered) -> WindowCells:
        """Return the window that an answer is counted in."""
        model, version, at = answer.model, answer.version, answer.occurred_at
        facts = self._facts.get((model, version))
        if facts is None:
            facts = self._facts[model, version] = self._facts_of(model, version)
        window = self.windows.get((model, version, at - at % facts.window))
        return window if window is not None else self._window_at(facts, facts.window_of(at))

    def _window_at(self, facts: Facts, start: int) -> WindowCells:
        window = self.windows.get((facts.model, facts.version, start))
        if window is None:
            window = WindowCells(facts, start, self._offset)
            self.windows[window.key] = window
        return window

    def _answer(self, answer: Answered) -> None:
        facts = self._facts_of(answer.model, answer.version)
        due = facts.due(answer.occurred_at)
        if due <= self.watermark:
            self._count_late(facts)
            return
        event = self._buffer.get(answer.event_id)
        if event is None:
            event = self._begin(answer.event_id, due)
            event.answers.append(answer)
            self._count(event, answer, 1)
            self._mark(event)
            return
        before = labelled(event, self._facts_of) if event.truth is not None else None
        first = not event.answers
        place = event.find(answer.version)
        if place >= 0:
            former = event.answers[place]
            if answer.shadow or not former.shadow:
                return  # told twice
            self._count(event, former, -1)
            event.answers[place] = answer
        else:
            event.answers.append(answer)
        self._count(event, answer, 1)
        self._move(event, due if first else max(due, event.due))
        self._mark(event)
        if first:
            self._replay_early(event)
        elif event.truth is not None:
            self._tell(event, before)

    def _begin(self, event_id: str, due: int) -> OpenEvent:
        event = self._buffer[event_id] = OpenEvent(event_id, due)
        self.open_events += 1
        return event

    def _move(self, event: OpenEvent, due: int) -> None:
        """Change when an event is due; what is needed to rebuild it moves along."""
        if due == event.due:
            return
        self._dirty.discard(event.event_id)
        needed = self._oldest.get(event.due, self._offset)
        event.due = due
        self._oldest[due] = min(self._oldest.get(due, _NEVER), needed)

    def _replay_early(self, event: OpenEvent) -> None:
        """Take labels and outcomes that were there before the first answer."""
        labels, event.early_labels = event.early_labels or (), None
        outcomes, event.early_outcomes = event.early_outcomes or (), None
        for known in labels:
            self._know(event, known, early=True)
        for followed in outcomes:
            self._follow(event, followed)

    def _count_late(self, facts: Facts) -> None:
        """Count an answer whose window is final already, in the window of now."""
        window = self._window_at(facts, facts.window_of(self.watermark))
        window.late += 1
        window.touch()

    def _count(self, event: OpenEvent, answer: Answered, sign: int) -> None:
        """Count an answer with all that is known of it, or take it back."""
        window = self._window(answer)
        self._tally.answer(window, answer, sign)
        truth = None if event.truth is None else effective(event, answer, window.facts)
        if truth is not None:
            self._tally.label(window, answer, truth, sign)
        if window.facts.kpis:
            self._worth.note(window, answer, truth, event.outcomes, sign)

    def _label(self, known: Known) -> None:
        event = self._buffer.get(known.event_id)
        if event is not None and event.answers:
            self._know(event, known)
            return
        due = due_at(known.observed_at, DEFAULT_HORIZON)
        if due <= self.watermark:
            self.orphans += 1
            return
        event = self._waiting(event, known.event_id, due)
        event.early_labels = [*(event.early_labels or ()), known]

    def _outcome(self, followed: Followed) -> None:
        event = self._buffer.get(followed.event_id)
        if event is not None and event.answers:
            self._follow(event, followed)
            return
        due = due_at(followed.observed_at, DEFAULT_HORIZON)
        if due > self.watermark:
            event = self._waiting(event, followed.event_id, due)
            event.early_outcomes = [*(event.early_outcomes or ()), followed]

    def _waiting(self, event: OpenEvent | None, event_id: str, due: int) -> OpenEvent:
        """Return the event of something that came before its answer."""
        if event is None:
            event = self._begin(event_id, due)
        self._move(event, max(due, event.due))
        self._mark(event)
        return event

    def _know(self, event: OpenEvent, known: Known, *, early: bool = False) -> None:
        """Take a label of an event that has answers."""
        first = event.answers[0]
        facts = self._facts_of(first.model, first.version)
        truth = facts.judge(known.truth)
        former = None if event.truth is None else effective(event, first, facts)
        if known.observed_at > first.occurred_at + facts.horizon:
            self._note(event, "late")
        elif truth is None:
            self._note(event, "unusable")
        elif truth == former:
            self._note(event, "duplicate")
        else:
            before = labelled(event, self._facts_of) if former is not None else None
            if former is not None or facts.kpis:
                self._count_labels(event, -1)
            event.truth, event.observed_at = known.truth, known.observed_at
            self._count_labels(event, 1)
            self._mark(event)
            if former is not None:
                self._note(event, "corrected")
            if early:
                self._note(event, "early")
            told = beside(event, truth)
            self._said.labelled.append(msgspec.structs.replace(told, replaces=before) if before else told)

    def _count_labels(self, event: OpenEvent, sign: int) -> None:
        for answer in event.answers:
            window = self._window(answer)
            truth = effective(event, answer, window.facts)
            if truth is not None:
                self._tally.label(window, answer, truth, sign)
            if window.facts.kpis:
                self._worth.note(window, answer, truth, event.outcomes, sign)

    def _note(self, event: OpenEvent, what: str) -> None:
        """Count what became of a label, for every answer of its event."""
        for answer in event.answers:
            window = self._window(answer)
            window.counts[what] += 1
            window.touch()

    def _follow(self, event: OpenEvent, followed: Followed) -> None:
        """Take an outcome of an event that has answers."""
        first = event.answers[0]
        facts = self._facts_of(first.model, first.version)
        late = followed.observed_at > first.occurred_at + facts.horizon
        for answer in event.answers:
            window = self._window(answer)
            window.late_outcomes += late
            window.outcomes += not late
            window.touch()
        if late:
            return
        self._count_worth(event, -1)
        event.outcomes = (event.outcomes or {}) | {followed.kpi: followed.value}
        self._count_worth(event, 1)
        self._mark(event)

    def _count_worth(self, event: OpenEvent, sign: int, *, final: bool = False) -> None:
        for answer in event.answers:
            window = self._window(answer)
            truth = effective(event, answer, window.facts)
            self._worth.note(window, answer, truth, event.outcomes, sign, final=final)

    def _tell(self, event: OpenEvent, before: Labelled | None) -> None:
        """Say an event's label beside its answers, and what had been said before."""
        now = labelled(event, self._facts_of)
        if now is not None:
            self._said.labelled.append(msgspec.structs.replace(now, replaces=before) if before else now)

    # -- ends ---------------------------------------------------------------------------------------

    def _end_what_is_due(self) -> None:
        """End every event and window whose time has passed."""
        watermark = self.watermark
        if self._next_due <= watermark:
            for due in sorted(due for due in self._calendar.keys() | self._stored_dues() if due <= watermark):
                for event in self._due_events(due):
                    self._end(event)
                self._done.add(due)
                self._oldest.pop(due, None)
            self._next_due = min(self._calendar.keys() | self._stored_dues(), default=_NEVER)
        over = [window for window in self.windows.values() if window.due <= watermark]
        if over:
            self.settle()
            for window in over:
                del self.windows[window.key]
                self._ended.add(window.key)
                self._said.final.append(window)

    def end_until(self, watermark: int) -> None:
        """End what had been due by then, when this is a rebuild and the windows know of it already."""
        self._clock.watermark = watermark
        self._end_what_is_due()
        self.take_said()

    def _stored_dues(self) -> set[int]:
        return self.store.dues - self._done

    def _due_events(self, due: int) -> list[OpenEvent]:
        """Return the events that are due then, in the order of their ids."""
        found: dict[str, OpenEvent] = {}
        for event_id in self._calendar.pop(due, ()):
            event = self._buffer.get(event_id)
            if event is not None and event.due == due:
                found[event_id] = event
        if due in self.store.dues and due not in self._done:
            for stored in self.store.due_at(due):
                event = self._buffer.get(stored.event_id, stored)
                if event is not None and event.due == due:
                    found[event.event_id] = event
        return [found[event_id] for event_id in sorted(found)]

    def _touch(self, touched: Touched) -> None:
        """Note an answer in its entity's partition."""
        facts = self._facts_of(touched.model, touched.version)
        key = entity_key(touched.entity_id)
        entity = self._buffer.get(key) or self._begin(key, 0)
        self._move(entity, max(entity.due, touch(entity, touched, facts)))
        self._mark(entity)

    def _wait_for_entity(self, followed: Followed) -> None:
        """Keep an outcome of an entity until every answer before it is known."""
        key = outcome_key(followed)
        event = self._buffer.get(key) or self._begin(key, waits_until(followed))
        event.early_outcomes = [followed]
        self._mark(event)
        if event.due <= self.watermark:
            self._end(event)

    def _send_on(self, event: OpenEvent) -> None:
        """Find the event that an entity's outcome belongs to."""
        for followed in event.early_outcomes or ():
            key = entity_key(followed.event_id)
            entity = self._buffer[key] if key in self._buffer else self.store.get([key]).get(key)
            found = list(latest_answers(entity, followed))
            self._said.outcomes += found
            self.orphans += not found

    def _end(self, event: OpenEvent) -> None:
        """Be done with an event: its horizon has passed."""
        self._buffer[event.event_id] = None
        self._dirty.discard(event.event_id)
        self._gone.append(event.event_id)
        self.open_events -= 1
        if is_named_by_us(event.event_id):
            if is_outcome(event.event_id):
                self._send_on(event)
            return
        if not event.answers:
            self.orphans += len(event.early_labels or ())
            return
        for answer in event.answers:
            window = self._window(answer)
            truth = None if event.truth is None else effective(event, answer, window.facts)
            if truth is None:
                window.counts["missing"] += 1
                window.touch()
            elif window.facts.task != "regression":
                self._mature(window.facts, answer, truth)
            if window.facts.fills_missing:
                self._worth.note(window, answer, truth, event.outcomes, -1)
                self._worth.note(window, answer, truth, event.outcomes, 1, final=True)
        if event.truth is not None and (told := labelled(event, self._facts_of)) is not None:
            self._said.labelled.append(msgspec.structs.replace(told, matured=True, replaces=told))

    def _mature(self, facts: Facts, answer: Answered, truth: str | float) -> None:
        """Hand a label on to concept drift: the bin of the score, and whether it was positive."""
        positive = truth == (facts.classes[1] if facts.task == "binary" else answer.label)
        cell = 2 * bisect_right(SCORE_EDGES, answer.score) + int(positive)
        version = (answer.model, answer.version)
        self._said.matured.setdefault(version, []).append((answer.event_id, answer.occurred_at, cell))

    # -- checkpoints --------------------------------------------------------------------------------

    def checkpoint(self, offset: int, prefix: str) -> tuple[list[bytes], list[bytes | None]]:
        """Return keys and values of the state records that make a checkpoint at a log offset.

        Call :meth:`confirm` once they have been committed, before anything else is applied.
        """
        self.settle()
        self._oldest = {due: first for due, first in self._oldest.items() if due > self.watermark}
        self._base = Base(
            self._base.lineage,
            offset,
            self.watermark,
            dict(self._clock.times),
            list(self._facts.values()),
            dict(self._oldest),
            self.orphans,
            self.concept.states(),
        )
        keys: list[bytes] = [f"{prefix}/base".encode()]
        values: list[bytes | None] = [encode_base(self._base)]
        for key in sorted(self._ended - self.windows.keys()):
            keys.append(_window_key(prefix, key))
            values.append(None)
        for window in self.windows.values():
            if window.dirty:
                window.dirty = False
                keys.append(_window_key(prefix, window.key))
                values.append(window.pack())
        self._ended.clear()
        self._unconfirmed = offset
        return keys, values

    def confirm(self) -> None:
        """Write to the store what the last checkpoint covers: it has been committed."""
        if self._unconfirmed is None:
            return
        offset, self._unconfirmed = self._unconfirmed, None
        self.save(offset)

    def save(self, offset: int) -> None:
        """Write what has changed to the store, as of a log offset, and let go of the memory."""
        changed = [event for event_id in self._dirty if (event := self._buffer[event_id]) is not None]
        self.store.write(changed, self._gone, self._done & self.store.dues, offset)
        self._buffer.clear()
        self._dirty.clear()
        self._gone.clear()
        self._done.clear()
        self._calendar.clear()
        self._next_due = min(self.store.dues, default=_NEVER)


def _window_key(prefix: str, key: tuple[str, str, int]) -> bytes:
    model, version, start = key
    return f"{prefix}/window/{model}/{version}/{start}".encode()


def matured_packets(
    source: str, matured: Mapping[Version, list[tuple[str, int, int]]]
) -> list[tuple[str, Packet]]:
    """Return a packet per model with the labels that have matured, in the order they were due."""
    packets: dict[str, Packet] = {}
    for (model, version), rows in sorted(matured.items()):
        packet = packets.setdefault(model, Packet(source, -1, matured=[]))
        latest = max(occurred_at for _, occurred_at, _ in rows)
        packet.matured.append(Matured(model, version, latest, bytes(cell for _, _, cell in rows)))
    return list(packets.items())
