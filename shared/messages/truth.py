"""What becomes known later: labels and business outcomes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.messages.common import EntityId, EventId, Message, OccurredAt


class Label(Message, frozen=True, kw_only=True):
    """The truth about one event, known later; the last one for an ``event_id`` wins."""

    event_id: EventId
    label: str | float | bool
    observed_at: OccurredAt


class Outcome(Message, frozen=True, kw_only=True):
    """A business figure that followed: revenue, churn, a chargeback."""

    kpi: Annotated[str, msgspec.Meta(min_length=1)]
    value: float
    observed_at: OccurredAt
    event_id: EventId | None = None
    entity_id: EntityId | None = None
