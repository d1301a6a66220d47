"""An event's label beside its answers, as the labelled topic has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from services.performance.events import OpenEvent
from services.performance.facts import Facts
from services.performance.packets import Answered
from shared.messages import Answer, Labelled, Source

FactsOf = Callable[[str, str], Facts]

encode_labelled = msgspec.json.Encoder().encode


def effective(event: OpenEvent, answer: Answered, facts: Facts) -> str | float | None:
    """Return the label as it counts for an answer; None where there is none, late or unusable."""
    if event.truth is None or event.observed_at > answer.occurred_at + facts.horizon:
        return None
    return facts.judge(event.truth)


def labelled(event: OpenEvent, facts_of: FactsOf) -> Labelled | None:
    """Return an event's label beside its answers; None while one of the two is missing."""
    if event.truth is None or not event.answers:
        return None
    first = event.answers[0]
    truth = effective(event, first, facts_of(first.model, first.version))
    return None if truth is None else beside(event, truth)


def beside(event: OpenEvent, truth: str | float) -> Labelled:
    """Return an event's answers with its label, as that counts for the first of them."""
    return told(event.event_id, event.answers, event.observed_at, truth)


def told(event_id: str, answers: Sequence[Answered], observed_at: int, truth: str | float) -> Labelled:
    """Return the answers to an event with its label."""
    first = answers[0]
    return Labelled(
        event_id=event_id,
        model=first.model,
        source=Source(first.topic, first.partition, first.offset),
        occurred_at=first.occurred_at,
        observed_at=observed_at,
        truth=truth,
        answers=tuple(map(_answer, answers)),
        segments=first.segments,
    )


def _answer(given: Answered) -> Answer:
    return Answer(
        model_version=given.version,
        score=given.score,
        scored_at=given.scored_at,
        label=given.label,
        probabilities=given.probabilities,
        shadow=given.shadow,
        canary=given.canary,
        basis=given.basis,
    )
