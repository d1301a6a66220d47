"""What becomes known later: labels, business outcomes, and labels beside the answers they judge."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.messages.common import EntityId, EpochMs, EventId, Message, OccurredAt, Score
from shared.messages.scoring import Source


class Label(Message, frozen=True, kw_only=True):
    """The truth about one event, known later; the last one for an ``event_id`` wins."""

    event_id: EventId
    label: str | Score | bool
    observed_at: OccurredAt


class Outcome(Message, frozen=True, kw_only=True):
    """A business figure that followed: revenue, churn, a chargeback."""

    kpi: Annotated[str, msgspec.Meta(min_length=1)]
    value: Score
    observed_at: OccurredAt
    event_id: EventId | None = None
    entity_id: EntityId | None = None


class Answer(Message, frozen=True, kw_only=True):
    """What one version said about an event whose label has come.

    Attributes
    ----------
    shadow
        Whether it answered in the shadow: the prediction went to ``shadow-predictions``.
    canary
        Whether a candidate answered in the champion's place.
    basis
        In the shadow: the registry's revision at which the comparison began.
    """

    model_version: str
    score: Score
    scored_at: EpochMs
    label: str | None = None
    probabilities: dict[str, float] | None = None
    shadow: bool = False
    canary: bool = False
    basis: int = 0


class Labelled(Message, frozen=True, kw_only=True):
    """An event's label beside every answer given to it; written by the performance service.

    The last one for a ``source`` counts. A corrected label, or an answer that comes after the label, is
    told by another message with all answers again; ``replaces`` then says what had been said before,
    so that a reader can take back exactly that.

    Attributes
    ----------
    truth
        The label: a class as text, or the observed value of a regression.
    matured
        Whether the label came, or held, to the end of the model's label horizon.
    answers
        One per version that answered, at most one of them not in the shadow.
    """

    event_id: str
    model: str
    source: Source
    occurred_at: EpochMs
    observed_at: EpochMs
    truth: str | Score
    matured: bool = False
    answers: tuple[Answer, ...] = ()
    segments: dict[str, str] | None = None
    replaces: Labelled | None = None
