"""What an answer, a label or an outcome does to its event, whatever is known of that already."""

from __future__ import annotations

import msgspec

from services.performance.clock import EventClock
from services.performance.events import OpenEvent
from services.performance.facts import until_answered
from services.performance.holding import OpenEvents
from services.performance.packets import Answered, Followed, Known
from services.performance.said import Said
from services.performance.telling import beside, effective, labelled
from services.performance.windows import Windows
from shared.messages import Labelled


class Judge:
    """The rules, one event at a time; events must have been loaded before.

    The common case is taken a packet at a time (:mod:`services.performance.plain`).
    """

    def __init__(self, events: OpenEvents, windows: Windows, clock: EventClock, said: Said) -> None:
        self._events = events
        self._windows = windows
        self._clock = clock
        self._said = said

    def answer(self, answer: Answered) -> None:
        """Take an answer: the first to its event, another version's, or one told twice."""
        facts = self._windows.met(answer.model, answer.version)
        due = facts.due(answer.occurred_at)
        if due <= self._clock.over:
            self._windows.late(facts, self._clock.over)
            return
        event = self._events.get(answer.event_id) or self._events.begin(answer.event_id, due)
        before = labelled(event, self._windows.met)
        first = not event.answers
        if not self._add(event, answer):
            return
        self._windows.event(event, answer, 1)
        self._events.move(event, due if first else max(due, event.due))
        self._events.mark(event)
        if first:
            self._replay_early(event)
        elif event.truth is not None:
            self._tell(event, before)

    def _add(self, event: OpenEvent, answer: Answered) -> bool:
        """Add an answer to its event, in place of the shadow's where it gave both; False if told twice."""
        place = event.find(answer.version)
        if place < 0:
            event.answers.append(answer)
            return True
        former = event.answers[place]
        if answer.shadow or not former.shadow:
            return False
        self._windows.event(event, former, -1)
        event.answers[place] = answer
        return True

    def _replay_early(self, event: OpenEvent) -> None:
        """Take labels and outcomes that were there before the first answer."""
        labels, event.early_labels = event.early_labels or (), None
        outcomes, event.early_outcomes = event.early_outcomes or (), None
        for known in labels:
            self._know(event, known, early=True)
        for followed in outcomes:
            self._follow(event, followed)

    def label(self, known: Known) -> None:
        """Take a label: it judges the answers of its event, or waits for the first of them."""
        event = self._events.get(known.event_id)
        if event is not None and event.answers:
            self._know(event, known)
            return
        due = until_answered(known.observed_at)
        if due <= self._clock.watermark:
            self._said.orphans += 1
            return
        event = self._waiting(event, known.event_id, due)
        event.early_labels = [*(event.early_labels or ()), known]

    def outcome(self, followed: Followed) -> None:
        """Take an outcome: it counts for the answers of its event, or waits for the first of them."""
        event = self._events.get(followed.event_id)
        if event is not None and event.answers:
            self._follow(event, followed)
            return
        due = until_answered(followed.observed_at)
        if due <= self._clock.watermark:
            self._said.orphans += 1
            return
        event = self._waiting(event, followed.event_id, due)
        event.early_outcomes = [*(event.early_outcomes or ()), followed]

    def _waiting(self, event: OpenEvent | None, event_id: str, due: int) -> OpenEvent:
        """Return the event of something that came before its answer."""
        if event is None:
            event = self._events.begin(event_id, due)
        self._events.move(event, max(due, event.due))
        self._events.mark(event)
        return event

    def _know(self, event: OpenEvent, known: Known, *, early: bool = False) -> None:
        """Take a label of an event that has answers."""
        windows, first = self._windows, event.answers[0]
        facts = windows.met(first.model, first.version)
        truth = facts.judge(known.truth)
        former = effective(event, first, facts)
        if known.observed_at > first.occurred_at + facts.horizon:
            windows.note(event.answers, "late")
        elif truth is None:
            windows.note(event.answers, "unusable")
        elif truth == former:
            windows.note(event.answers, "duplicate")
        else:
            before = labelled(event, windows.met)
            windows.labels(event, -1)
            event.truth, event.observed_at = known.truth, known.observed_at
            windows.labels(event, 1)
            self._events.mark(event)
            if former is not None:
                windows.note(event.answers, "corrected")
            if early:
                windows.note(event.answers, "early")
            told = beside(event, truth)
            self._said.tell(msgspec.structs.replace(told, replaces=before) if before else told)

    def _follow(self, event: OpenEvent, followed: Followed) -> None:
        """Take an outcome of an event that has answers."""
        first = event.answers[0]
        facts = self._windows.met(first.model, first.version)
        late = followed.observed_at > first.occurred_at + facts.horizon
        for answer in event.answers:
            window = self._windows.of(answer)
            window.late_outcomes += late
            window.outcomes += not late
            window.touch()
        if late:
            return
        self._windows.worth(event, -1)
        event.outcomes = (event.outcomes or {}) | {followed.kpi: followed.value}
        self._windows.worth(event, 1)
        self._events.mark(event)

    def _tell(self, event: OpenEvent, before: Labelled | None) -> None:
        """Say an event's label beside its answers, and what had been said before."""
        now = labelled(event, self._windows.met)
        if now is not None:
            self._said.tell(msgspec.structs.replace(now, replaces=before) if before else now)
