"""Every message that crosses a topic, one frozen struct each; the JSON Schemas come from here.

Values are UTF-8 JSON. Unknown fields of an event pass through untouched (they are ignored here and
stay in the event's topic); a message that Driftline writes carries no field unknown to its struct.
Times are integers, milliseconds since 1970-01-01T00:00:00Z, in everything Driftline writes.
"""

from shared.messages.alerts import Alert, AlertCommand, Redeliver, Silence
from shared.messages.common import (
    NOT_JSON,
    UTC,
    EntityId,
    EpochMs,
    EventId,
    FeatureValue,
    Message,
    OccurredAt,
    epoch_ms,
)
from shared.messages.decision import DecisionReport
from shared.messages.drift import (
    DriftAlarm,
    DriftBudget,
    DriftChannel,
    DriftFigures,
    DriftMoment,
    DriftOpinion,
    DriftReport,
    DriftSegment,
    DriftSource,
)
from shared.messages.performance import ClassScores, KpiSums, LabelCounts, PerformanceReport, Realised
from shared.messages.reports import Histogram, InferenceReport, Report, Window
from shared.messages.scoring import Event, Prediction, Source
from shared.messages.service import ServiceReport
from shared.messages.shadow import (
    Comparison,
    Example,
    Judged,
    Quality,
    Ranking,
    Segment,
    ShadowReport,
    Sums,
    Timing,
)
from shared.messages.truth import Answer, Label, Labelled, Outcome

TOPIC_MESSAGES: dict[str, tuple[type[Message], ...]] = {
    "events": (Event,),
    "predictions": (Prediction,),
    "shadow-predictions": (Prediction,),
    "labels": (Label,),
    "outcomes": (Outcome,),
    "labelled": (Labelled,),
    "reports": (DecisionReport, DriftReport, InferenceReport, ServiceReport, ShadowReport, PerformanceReport),
    "alerts": (Alert,),
    "alert-commands": (Silence, Redeliver),
}
"""The structs a topic carries, by unprefixed topic name (dead letters carry the original bytes).

Where there are several, each names itself in the field ``kind``.
"""

__all__ = [
    "NOT_JSON",
    "TOPIC_MESSAGES",
    "UTC",
    "Alert",
    "AlertCommand",
    "Answer",
    "ClassScores",
    "Comparison",
    "DecisionReport",
    "DriftAlarm",
    "DriftBudget",
    "DriftChannel",
    "DriftFigures",
    "DriftMoment",
    "DriftOpinion",
    "DriftReport",
    "DriftSegment",
    "DriftSource",
    "EntityId",
    "EpochMs",
    "Event",
    "EventId",
    "Example",
    "FeatureValue",
    "Histogram",
    "InferenceReport",
    "Judged",
    "KpiSums",
    "Label",
    "LabelCounts",
    "Labelled",
    "Message",
    "OccurredAt",
    "Outcome",
    "PerformanceReport",
    "Prediction",
    "Quality",
    "Ranking",
    "Realised",
    "Redeliver",
    "Report",
    "Segment",
    "ServiceReport",
    "ShadowReport",
    "Silence",
    "Source",
    "Sums",
    "Timing",
    "Window",
    "epoch_ms",
]
