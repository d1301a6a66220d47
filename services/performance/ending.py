"""What happens to an event once its horizon has passed."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from services.performance.entities import EntityOutcomes, is_named_by_us, is_outcome
from services.performance.events import OpenEvent
from services.performance.facts import Facts
from services.performance.holding import OpenEvents
from services.performance.index import hashes_of
from services.performance.packets import Answered
from services.performance.rows import LABELLED, OPEN, Brief, answer_of, brief_of, event_of, plain_of
from services.performance.said import Said
from services.performance.telling import effective, labelled, told
from services.performance.windows import Windows
from shared.drift.label_baseline import SCORE_EDGES


class Ending:
    """Ends the events of a due moment, in the order of their ids."""

    def __init__(self, events: OpenEvents, windows: Windows, said: Said, entities: EntityOutcomes) -> None:
        self._events = events
        self._windows = windows
        self._said = said
        self._entities = entities

    def until(self, watermark: int, over: int) -> None:
        """End every event whose horizon is over, and what waits for something else until the watermark.

        The latter is due at odd moments: outcomes of entities, and what came before its answer.
        """
        store = self._events.store
        if store.next_due > watermark:
            return
        for due in store.due_by(watermark):
            if due & 1 or due <= over:
                self._end(due, watermark)
        self._events.keep()

    def _end(self, due: int, watermark: int) -> None:
        """End what is due at one moment."""
        store = self._events.store
        numbers, rows = store.due_at(due)
        briefs = list(map(brief_of, rows))
        hashes = hashes_of([brief.event_id for brief in briefs])
        newest = store.find(hashes) == numbers
        rest: list[tuple[str, bytes]] = []
        for at in np.flatnonzero(newest).tolist():
            row, brief = rows[at], briefs[at]
            if row[0] == OPEN and isinstance(brief, Brief):
                self._without_label(row, brief)
            else:
                rest.append((brief.event_id, row))
        waiting = [(name, row) for name, row in sorted(rest) if not self._end_row(row, watermark)]
        store.end(due, hashes[newest])
        if waiting:
            names, kept = [name for name, _ in waiting], [row for _, row in waiting]
            store.put(hashes_of(names), kept, [due] * len(kept))
        else:
            self._events.end(due)

    def _without_label(self, row: bytes, brief: Brief) -> None:
        """Count a single answer that no label came for."""
        window = self._windows.near(self._windows.met(brief.model, brief.version), brief.occurred_at)
        window.counts["missing"] += 1
        window.changed = window.dirty = True
        if window.facts.fills_missing:
            self._windows.fill_missing(window, answer_of(row), None, None)

    def _end_row(self, row: bytes, watermark: int) -> bool:
        """End what is no answer alone; False where it is an outcome that event time has not come to."""
        if row[0] != LABELLED:
            return self._end_event(event_of(row), watermark)
        answer, said, observed_at = plain_of(row)
        window = self._windows.of(answer)
        facts = window.facts
        truth = facts.judge(said) if observed_at <= answer.occurred_at + facts.horizon else None
        if truth is None:
            window.counts["missing"] += 1
            window.touch()
        else:
            self._mature(facts, answer, truth)
            self._said.tell_matured(told(answer.event_id, (answer,), observed_at, truth))
        if facts.fills_missing:
            self._windows.fill_missing(window, answer, truth, None)
        return True

    def _end_event(self, event: OpenEvent, watermark: int) -> bool:
        """End an event; False where it is an outcome that event time has not come to."""
        if is_named_by_us(event.event_id):
            waited = (event.early_outcomes or ()) if is_outcome(event.event_id) else ()
            if any(followed.observed_at > watermark for followed in waited):
                return False
            for followed in waited:
                self._entities.send_on(followed)
            return True
        if not event.answers:
            self._said.orphans += len(event.early_labels or ()) + len(event.early_outcomes or ())
            return True
        for answer in event.answers:
            window = self._windows.of(answer)
            truth = effective(event, answer, window.facts)
            if truth is None:
                window.counts["missing"] += 1
                window.touch()
            else:
                self._mature(window.facts, answer, truth)
            if window.facts.fills_missing:
                self._windows.fill_missing(window, answer, truth, event.outcomes)
        if (joined := labelled(event, self._windows.met)) is not None:
            self._said.tell_matured(joined)
        return True

    def _mature(self, facts: Facts, answer: Answered, truth: str | float) -> None:
        """Hand a label on to concept drift: bin of the score and whether it was positive, or of the error."""
        if facts.task == "regression":
            if facts.residual_baseline is None:
                return
            cell = facts.residual_baseline.code(answer.score, float(truth))
        else:
            positive = truth == (facts.classes[1] if facts.task == "binary" else answer.label)
            cell = 2 * bisect_right(SCORE_EDGES, answer.score) + int(positive)
        version = (answer.model, answer.version)
        self._said.matured.setdefault(version, []).append((answer.event_id, answer.occurred_at, cell))
