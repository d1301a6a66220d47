"""Every message that crosses a topic, one frozen struct each; the JSON Schemas come from here.

Values are UTF-8 JSON. Unknown fields of an event pass through untouched (they are ignored here and
stay in the event's topic); a message that Driftline writes carries no field unknown to its struct.
Times are integers, milliseconds since 1970-01-01T00:00:00Z, in everything Driftline writes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

EpochMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999, description="milliseconds since 1970")]
"""Whole milliseconds since the epoch, up to the year 9999."""

OccurredAt = EpochMs | Annotated[datetime, msgspec.Meta(tz=True)]
"""What a producer may write: epoch milliseconds, or an RFC 3339 string with its offset."""

EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
EntityId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FeatureValue = float | int | str | bool | None


class Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of all messages: immutable, fields by name, defaults left out of the bytes."""


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
    partition: int
    offset: int


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
    """

    event_id: str
    model: str
    model_version: str
    score: float
    occurred_at: int
    scored_at: int
    source: Source
    entity_id: str | None = None
    label: str | None = None
    probabilities: dict[str, float] | None = None


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


class Window(Message, frozen=True, kw_only=True):
    """A half-open span of event time, ``[start, end)``, epoch milliseconds."""

    start: int
    end: int


class Histogram(Message, frozen=True, kw_only=True):
    """Counts between edges: ``counts[i]`` holds ``edges[i-1] <= x < edges[i]``, the ends are open."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Report(Message, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all reports: one message per model version, window and partition.

    A report is cumulative: a reader overwrites by (kind, model, model_version, window, source_topic,
    partition) and then merges over partitions. ``final`` says the window is closed there.
    ``first_offset`` is the first record counted: for the first window of a new model version, the
    offset at which it took over. ``next_offset`` is the first record not yet counted.
    """

    model: str
    model_version: str
    window: Window
    source_topic: str
    partition: int
    first_offset: int
    next_offset: int
    written_at: int
    final: bool = False


class InferenceReport(Report, frozen=True, kw_only=True, tag="inference"):
    """What the inference service did with one window of one partition.

    Attributes
    ----------
    predictions
        Events scored.
    errors
        Dead letters by error class (``ValidationError``, ``DecodeError``, ``ProcessError``).
    late
        Events counted here although their own window had closed.
    latency
        Seconds from the record's append to the scoring, as a histogram.
    scores
        Histogram of the score.
    """

    predictions: int
    errors: dict[str, int] = {}
    late: int = 0
    latency: Histogram
    scores: Histogram


class Alert(Message, frozen=True, kw_only=True):
    """A rule that fired or resolved; ``alert_id`` is the same however often it is sent."""

    alert_id: str
    rule: str
    severity: Literal["info", "warning", "critical"]
    status: Literal["firing", "resolved"]
    summary: str
    subject: str
    started_at: int
    model: str | None = None
    model_version: str | None = None
    evidence: dict[str, FeatureValue] = {}
    links: dict[str, str] = {}


def epoch_ms(moment: int | datetime) -> int:
    """Return a time as whole milliseconds since the epoch.

    Examples
    --------
    >>> epoch_ms(datetime(2013, 1, 1, 5, 15, tzinfo=UTC))
    1357017300000
    >>> epoch_ms(1357017300000)
    1357017300000
    """
    return moment if isinstance(moment, int) else int(moment.timestamp() * 1000)


TOPIC_MESSAGES: dict[str, type[Message]] = {
    "events": Event,
    "predictions": Prediction,
    "labels": Label,
    "outcomes": Outcome,
    "reports": InferenceReport,
    "alerts": Alert,
}
"""The struct a topic carries, by unprefixed topic name (dead letters carry the original bytes)."""

__all__ = [
    "TOPIC_MESSAGES",
    "UTC",
    "Alert",
    "EntityId",
    "EpochMs",
    "Event",
    "EventId",
    "FeatureValue",
    "Histogram",
    "InferenceReport",
    "Label",
    "Message",
    "OccurredAt",
    "Outcome",
    "Prediction",
    "Report",
    "Source",
    "Window",
    "epoch_ms",
]
