"""The common case, a packet at a time: the first answer to an event, and the first label of a single answer.

Everything else, and everything about an event that comes twice in a packet, goes to the rules one by one
(:mod:`services.performance.judging`); both say and count the same, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.performance.clock import EventClock
from services.performance.holding import OpenEvents, repeated
from services.performance.judging import Judge
from services.performance.packets import Answered, Followed, Known
from services.performance.rows import OPEN, answer_of, due_of, labelled_row, open_row
from services.performance.said import Said
from services.performance.telling import told
from services.performance.windows import Windows


class PacketJoin:
    """Takes the answers, labels and outcomes of a packet."""

    def __init__(self, events: OpenEvents, windows: Windows, clock: EventClock, said: Said) -> None:
        self._events = events
        self._windows = windows
        self._clock = clock
        self._said = said
        self._judge = Judge(events, windows, clock, said)

    def answers(self, answers: Sequence[Answered]) -> None:
        """Take answers, in their order."""
        events, windows, over = self._events, self._windows, self._clock.over
        ids = [answer.event_id for answer in answers]
        twice = repeated(ids)
        fresh: list[str] = []
        rows: list[bytes] = []
        dues: list[int] = []
        for event_id, answer, row in zip(ids, answers, events.rows_of(ids), strict=True):
            if row is not None or event_id in twice:
                events.load(event_id, row)
                self._judge.answer(answer)
                continue
            facts = windows.met(answer.model, answer.version)
            due = facts.due(answer.occurred_at)
            if due <= over:
                windows.late(facts, over)
                continue
            window = windows.near(facts, answer.occurred_at)
            windows.tally.answer(window, answer, 1)
            if facts.kpis:
                windows.label(window, answer, None, None, 1)
            fresh.append(event_id)
            rows.append(open_row(answer, due))
            dues.append(due)
        events.put(fresh, rows, dues, fresh=True)
        events.keep()

    def labels(self, labels: Sequence[Known]) -> None:
        """Take labels, in their order."""
        events = self._events
        ids = [known.event_id for known in labels]
        twice = repeated(ids)
        changed: list[str] = []
        rows: list[bytes] = []
        for event_id, known, row in zip(ids, labels, events.rows_of(ids), strict=True):
            if row is None or row[0] != OPEN or event_id in twice:
                events.load(event_id, row)
                self._judge.label(known)
                continue
            answer = answer_of(row)
            if answer.event_id != event_id:  # another id with the same hash
                self._judge.label(known)
            elif self._label(known, answer):
                changed.append(event_id)
                rows.append(labelled_row(row, known.truth, known.observed_at))
        events.put(changed, rows, list(map(due_of, rows)))
        events.keep()

    def _label(self, known: Known, answer: Answered) -> bool:
        """Take the first label of an event with one answer; return whether it counts."""
        windows = self._windows
        window = windows.of(answer)
        facts, observed_at = window.facts, known.observed_at
        if observed_at > answer.occurred_at + facts.horizon:
            windows.note((answer,), "late")
            return False
        truth = facts.judge(known.truth)
        if truth is None:
            windows.note((answer,), "unusable")
            return False
        windows.tally.label(window, answer, truth, 1)
        if facts.kpis:
            windows.worth_of(window, answer, truth)
        self._said.tell(told(answer.event_id, (answer,), observed_at, truth))
        return True

    def outcomes(self, outcomes: Sequence[Followed]) -> None:
        """Take outcomes, in their order."""
        ids = [followed.event_id for followed in outcomes]
        for followed, row in zip(outcomes, self._events.rows_of(ids), strict=True):
            self._events.load(followed.event_id, row)
            self._judge.outcome(followed)
        self._events.keep()
