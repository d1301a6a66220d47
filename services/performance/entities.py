"""Outcomes that name an entity: they go to the entity's latest answer before them.

Answers of models whose KPIs ask for it are noted in the entity's partition of the log. An outcome waits
there until event time has come to it, when every answer before it is known, and is then sent on to
the partition of the event: so which event it goes to does not depend on what was read first.

Both are kept as events of their own, under names that no event can have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from services.performance.clock import EventClock
from services.performance.events import OpenEvent
from services.performance.facts import Facts
from services.performance.holding import OpenEvents
from services.performance.packets import Answered, Followed, Touched
from services.performance.said import Said
from services.performance.telling import FactsOf

_ENTITY: Final = "\x00"
_WAITING: Final = "\x01"
_MOST_TOUCHES: Final = 200
_SLACK_MS: Final = 2_000


def _entity_key(entity_id: str) -> str:
    """Return the name under which an entity's answers are kept."""
    return _ENTITY + entity_id


def _outcome_key(followed: Followed) -> str:
    """Return the name under which an outcome waits; the same one again is the same outcome."""
    return f"{_WAITING}{followed.event_id}\x00{followed.kpi}\x00{followed.observed_at}"


def is_named_by_us(event_id: str) -> bool:
    """Return whether this is no event but one of ours."""
    return event_id[:1] in (_ENTITY, _WAITING)


def is_outcome(event_id: str) -> bool:
    """Return whether this is an outcome that waits."""
    return event_id.startswith(_WAITING)


class EntityOutcomes:
    """Finds the event that an outcome of an entity belongs to.

    Parameters
    ----------
    events
        Keeps the entities' answers and the waiting outcomes too.
    """

    def __init__(self, events: OpenEvents, facts_of: FactsOf, clock: EventClock, said: Said) -> None:
        self._events = events
        self._facts_of = facts_of
        self._clock = clock
        self._said = said

    def touches(self, touches: Sequence[Touched]) -> None:
        """Note answers in the partition of their entities."""
        self._load([_entity_key(touched.entity_id) for touched in touches])
        for touched in touches:
            facts = self._facts_of(touched.model, touched.version)
            key = _entity_key(touched.entity_id)
            entity = self._events.get(key) or self._events.begin(key, 0)
            self._events.move(entity, max(entity.due, _touch(entity, touched, facts)))
            self._events.mark(entity)
        self._events.keep()

    def outcomes(self, outcomes: Sequence[Followed]) -> None:
        """Keep outcomes of entities until every answer before them is known."""
        for followed in outcomes:
            if followed.observed_at <= self._clock.watermark:
                self.send_on(followed)
                continue
            event = self._events.begin(_outcome_key(followed), _looked_at_from(followed))
            event.early_outcomes = [followed]
            self._events.mark(event)
        self._events.keep()

    def send_on(self, followed: Followed) -> None:
        """Send an outcome on to the entity's latest event before it."""
        key = _entity_key(followed.event_id)
        self._load([key])
        found = list(_latest_answers(self._events.get(key), followed))
        self._said.outcomes += found
        self._said.orphans += not found

    def _load(self, keys: Sequence[str]) -> None:
        for key, row in zip(keys, self._events.rows_of(keys), strict=True):
            self._events.load(key, row)


def _touch(entity: OpenEvent, touched: Touched, facts: Facts) -> int:
    """Add an answer to its entity's; return until when it is needed."""
    answers = [answer for answer in entity.answers if answer.event_id != touched.event_id]
    answers.append(
        Answered(
            touched.event_id,
            touched.model,
            touched.version,
            0.0,
            touched.occurred_at,
            0,
            "",
            0,
            facts.horizon,
        )
    )
    answers.sort(key=_by_time)
    entity.answers = answers[-_MOST_TOUCHES:]
    return facts.due(touched.occurred_at) + _SLACK_MS


def _looked_at_from(followed: Followed) -> int:
    """Return from when an outcome is looked at: its second, so that many are together, and odd."""
    return followed.observed_at // 1_000 * 1_000 - 1


def _latest_answers(entity: OpenEvent | None, followed: Followed) -> Iterator[Followed]:
    """Yield the outcome as one of the entity's latest event before it, per model."""
    chosen: dict[str, Answered] = {}
    for answer in entity.answers if entity is not None else ():
        horizon = answer.offset  # see touch
        if answer.occurred_at <= followed.observed_at <= answer.occurred_at + horizon:
            chosen[answer.model] = answer
    for answer in chosen.values():
        yield Followed(answer.event_id, followed.kpi, followed.value, followed.observed_at)


def _by_time(answer: Answered) -> tuple[int, str]:
    return answer.occurred_at, answer.event_id
