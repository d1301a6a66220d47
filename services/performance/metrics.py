"""What the performance service measures, beside what every pipeline does."""

from __future__ import annotations

import contextlib
import copy

from prometheus_client import CollectorRegistry

from shared.bounded import Counter, Gauge
from shared.metrics import PipelineMetrics


class PerformanceMetrics(PipelineMetrics):
    """Collectors of the performance service.

    Attributes
    ----------
    joined
        Items taken from the log, by ``kind`` (``answers``, ``labels``, ``outcomes``).
    open_events
        Events whose horizon has not passed, by partition of the log.
    orphans
        Labels and outcomes that found no prediction in time, by partition of the log, since it began.
    recovery_seconds
        What the last recovery of a partition took.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.joined = Counter(
            "driftline_performance_items_total", "Items taken from the log", ["kind"], registry=registry
        )
        self.open_events = Gauge(
            "driftline_performance_open_events",
            "Events whose label horizon has not passed",
            ["partition"],
            registry=registry,
        )
        self.orphans = Gauge(
            "driftline_performance_orphans",
            "Labels and outcomes that found no prediction in time, since the log began",
            ["partition"],
            registry=registry,
        )
        self.recovery_seconds = Gauge(
            "driftline_performance_recovery_seconds",
            "What the last recovery of a partition took",
            registry=registry,
        )

    def forget(self, partition: int) -> None:
        """Show nothing more of a partition of the log."""
        for gauge in (self.open_events, self.orphans):
            with contextlib.suppress(KeyError):
                gauge.remove(partition)

    def of_routing(self) -> PerformanceMetrics:
        """Return the same collectors for the first of the two pipelines.

        Only the number of partitions is kept apart: that of the log counts as the service's.
        """
        routing = copy.copy(self)
        routing.partitions = Gauge(
            "driftline_performance_inputs_assigned",
            "Partitions of predictions, labels and outcomes owned now",
            registry=CollectorRegistry(),
        )
        return routing
