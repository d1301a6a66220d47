"""Names of the topics, and what each one needs; :mod:`shared.kafka.topics` creates them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
STAMPS_AHEAD: Final = "message.timestamp.after.max.ms"
"""Kafka 3.6 and later know it; in Kafka 4 it is an hour for every topic that does not say otherwise."""
_MIB: Final = 1 << 20
_KAFKA_DEFAULT_BYTES: Final = _MIB + 12
MOST_REPLICAS: Final = 3
"""Copies of each record, where there are that many brokers."""

STATEFUL_SERVICES: Final = (
    "inference",
    "shadow",
    "shadow-labels",
    "drift",
    "performance",
    "performance-routing",
)
"""Services with a state topic of their own."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Full names of all topics.

    Parameters
    ----------
    prefix
        Put before every name as it stands, such as ``"prod."``.

    Examples
    --------
    >>> names = TopicNames("prod.")
    >>> names.dead_letters, names.state("inference")
    ('prod.dead-letters', 'prod.inference-state')
    """

    prefix: str = ""
    events: str = field(init=False)
    predictions: str = field(init=False)
    shadow_predictions: str = field(init=False)
    labels: str = field(init=False)
    outcomes: str = field(init=False)
    labelled: str = field(init=False)
    performance_log: str = field(init=False)
    reports: str = field(init=False)
    alerts: str = field(init=False)
    alert_commands: str = field(init=False)
    dead_letters: str = field(init=False)
    retraining_runs: str = field(init=False)
    drift_counts: str = field(init=False)

    def __post_init__(self) -> None:
        for name in self.__slots__[1:]:
            object.__setattr__(self, name, self.prefix + name.replace("_", "-"))

    def state(self, service: str) -> str:
        """Return the compacted topic that holds a service's state."""
        return f"{self.prefix}{service}-state"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What one topic needs.

    Attributes
    ----------
    name
        Full name.
    partitions
        Their number.
    copartitioned
        Whether it must have as many partitions as the events: its records keep their event's.
    retention_ms
        How long records are kept; ``None`` for ever.
    cleanup
        Kafka's ``cleanup.policy``.
    max_message_bytes
        Largest record batch taken.
    stamps_ahead_ms
        How far a record's timestamp may lie after the broker's clock; None leaves it to the broker.
    """

    name: str
    partitions: int
    copartitioned: bool
    retention_ms: int | None
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    max_message_bytes: int = _KAFKA_DEFAULT_BYTES
    stamps_ahead_ms: int | None = None

    def configs(self, replication: int) -> dict[str, str]:
        """Return the topic's settings in Kafka's words."""
        configs = {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(-1 if self.retention_ms is None else self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.stamps_ahead_ms is not None:
            configs[STAMPS_AHEAD] = str(self.stamps_ahead_ms)
        if replication >= MOST_REPLICAS:
            configs["min.insync.replicas"] = "2"  # an acknowledged record survives the loss of a broker
        return configs


def topic_specs(names: TopicNames, *, partitions: int = 12) -> list[TopicSpec]:
    """Return every topic with sensible settings.

    Predictions and labels are kept 30 days, so that a label that matures after two weeks still finds
    its prediction; the performance log is kept until its service deletes what it needs no more. Events may
    be 8 MiB; dead letters a little more, since they carry one and the reason. Timestamps of events and
    predictions order what is counted, so none may be far in the future.
    """
    few = min(partitions, 3)
    return [
        TopicSpec(
            names.events, partitions, True, 7 * _DAY_MS, max_message_bytes=8 * _MIB, stamps_ahead_ms=HOUR_MS
        ),
        TopicSpec(names.predictions, partitions, True, 30 * _DAY_MS, stamps_ahead_ms=HOUR_MS),
        TopicSpec(names.shadow_predictions, partitions, True, 7 * _DAY_MS),
        TopicSpec(names.labels, partitions, False, 30 * _DAY_MS),
        TopicSpec(names.outcomes, partitions, False, 30 * _DAY_MS),
        TopicSpec(names.labelled, partitions, False, 30 * _DAY_MS),
        TopicSpec(names.performance_log, partitions, True, None, max_message_bytes=8 * _MIB),
        TopicSpec(names.reports, few, False, 30 * _DAY_MS, "compact,delete"),
        TopicSpec(names.alerts, 1, False, 90 * _DAY_MS),
        TopicSpec(names.alert_commands, 1, False, 90 * _DAY_MS),
        TopicSpec(names.state("alerting"), 1, False, None, "compact"),
        TopicSpec(names.dead_letters, few, False, 30 * _DAY_MS, max_message_bytes=9 * _MIB),
        TopicSpec(names.drift_counts, few, False, 7 * _DAY_MS),
        TopicSpec(names.state("drift-merge"), few, False, None, "compact", max_message_bytes=8 * _MIB),
        TopicSpec(names.retraining_runs, 1, False, 365 * _DAY_MS),
        *(
            TopicSpec(names.state(service), partitions, True, None, "compact", max_message_bytes=8 * _MIB)
            for service in STATEFUL_SERVICES
        ),
    ]


def compacted_topics(names: TopicNames) -> frozenset[str]:
    """Return the topics that hold state, of which the newest record of each key is kept for ever."""
    return frozenset(spec.name for spec in topic_specs(names) if spec.cleanup == "compact")
