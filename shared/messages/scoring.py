"""Events and the predictions that answer them."""

from __future__ import annotations

from shared.messages.common import (
    EntityId,
    EpochMs,
    EventId,
    FeatureValue,
    Message,
    OccurredAt,
    Offset,
    PartitionNumber,
    Score,
)


class Event(Message, frozen=True, kw_only=True):
    """What a producer sends: the features of one thing that happened.

    Attributes
    ----------
    event_id
        Unique per event; labels and outcomes refer to it.
    features
        Value by feature name, as the model's ``model.toml`` declares them.
    occurred_at
        When it happened: RFC 3339 with offset, or epoch milliseconds.
    model
        Which model scores it; left out where the service serves a single one.
    entity_id
        The customer, card or aircraft: the Kafka key, so that one entity stays in order.
    """

    event_id: EventId
    features: dict[str, FeatureValue]
    occurred_at: OccurredAt
    model: str | None = None
    entity_id: EntityId | None = None


class Source(Message, frozen=True):
    """Where the event of a prediction lies: how everything downstream joins and deduplicates."""

    topic: str
    partition: PartitionNumber
    offset: Offset


class Prediction(Message, frozen=True):
    """One scored event, in the partition of its event.

    The fields are positional, in this order, because the scoring path builds one per event.

    Attributes
    ----------
    score
        Probability of the positive class (binary), of the most likely class (multiclass), or
        the predicted value (regression).
    occurred_at, scored_at
        Event time and scoring time, epoch milliseconds.
    label
        The class decided on: absent for regression.
    probabilities
        Probability by class label, for multiclass models.
    segments
        The event's values of the features that ``model.toml`` declares as segments, as text; a missing
        value is left out. They travel along so that whoever joins predictions later needs no events.
    canary
        Whether a candidate answered in the champion's place, for its share of the traffic.
    basis
        In the shadow: the registry's revision at which the comparison began that this answer belongs to.
    instead_of
        The canary that could not answer this event, so that the champion did.
    """

    event_id: str
    model: str
    model_version: str
    score: Score
    occurred_at: EpochMs
    scored_at: EpochMs
    source: Source
    entity_id: str | None = None
    label: str | None = None
    probabilities: dict[str, float] | None = None
    segments: dict[str, str] | None = None
    canary: bool = False
    basis: int = 0
    instead_of: str | None = None
