"""What the drift service measures, beside what every pipeline does."""

from __future__ import annotations

import copy
from typing import Self

from prometheus_client import CollectorRegistry

from shared.bounded import Counter, Gauge
from shared.messages import DriftReport
from shared.metrics import PipelineMetrics


class DriftMetrics(PipelineMetrics):
    """Collectors of the drift service.

    Attributes
    ----------
    rows
        Events and predictions counted, by model and ``group``.
    evidence
        log10 of the evidence of each channel, by model and channel; for the partitions of the merge topic
        that this process owns.
    alarms
        Channels whose alarm is on, by model.
    threshold
        log10(A), by model: what evidence is to be compared with.
    merged
        Events that the detectors of the watched version have seen, by model.
    waiting
        Slots that wait for a partition that has fallen behind.
    model_info
        1 for the version that is watched, by model and version.
    model_loads
        Attempts to load a version, by model and ``outcome``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._registry = registry
        self._shown: dict[str, set[str]] = {}
        self.rows = Counter(
            "driftline_drift_rows_total", "Rows counted", ["model", "group"], registry=registry
        )
        self.evidence = Gauge(
            "driftline_drift_evidence",
            "log10 of the evidence for a change",
            ["model", "channel"],
            registry=registry,
        )
        self.alarms = Gauge(
            "driftline_drift_alarms", "Channels whose alarm is on", ["model"], registry=registry
        )
        self.threshold = Gauge(
            "driftline_drift_threshold",
            "log10 of the evidence that raises an alarm",
            ["model"],
            registry=registry,
        )
        self.merged = Gauge(
            "driftline_drift_merged_events",
            "Events that the detectors of the watched version have seen",
            ["model"],
            registry=registry,
        )
        self.waiting = Gauge(
            "driftline_drift_waiting_slots", "Slots that wait for their turn", registry=registry
        )
        self.model_info = Gauge(
            "driftline_model_info", "1 for the version that answers", ["model", "version"], registry=registry
        )
        self.model_loads = Counter(
            "driftline_model_loads_total",
            "Versions loaded, by outcome",
            ["model", "outcome"],
            registry=registry,
        )

    def show(self, report: DriftReport) -> None:
        """Show what a report of the active version says; channels that only a former one had go."""
        model = report.model
        shown = {channel.name for channel in report.channels if channel.calibrated}
        for name in self._shown.get(model, set()) - shown:
            self.evidence.remove(model, name)
        self._shown[model] = shown
        for channel in report.channels:
            if channel.calibrated:
                self.evidence.labels(model, channel.name).set(channel.evidence)
        self.alarms.labels(model).set(len(report.alarming))
        if report.budget is not None:
            self.threshold.labels(model).set(report.budget.threshold)

    def forget(self, model: str) -> None:
        """Show nothing more of a model that another process merges from now on."""
        for name in self._shown.pop(model, set()):
            self.evidence.remove(model, name)
        for gauge in (self.alarms, self.threshold, self.merged):
            gauge.remove(model)

    def of_merging(self) -> Self:
        """Return the same collectors for the second pipeline, which owns partitions of its own."""
        other = copy.copy(self)
        other.partitions = Gauge(
            "driftline_drift_merge_partitions_assigned",
            "Partitions of the merge topic owned now",
            registry=self._registry,
        )
        return other
