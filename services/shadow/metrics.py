"""What the shadow service measures, beside what every pipeline does."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.bounded import Counter, Gauge
from shared.metrics import PipelineMetrics


class ShadowMetrics(PipelineMetrics):
    """Collectors of the shadow service.

    Attributes
    ----------
    asked
        Events put to a candidate, by model, version and ``outcome`` (``answered`` or why not).
    waiting
        Events of a partition that one side has gone past and the other has not, by partition and the
        ``side`` that is awaited.
    model_loads
        Attempts to load a version, by model and ``outcome`` (``loaded``, ``failed``).
    refused_predictions
        Records of the predictions topic that are no answer to an event of ours.
    labels_passed_over
        Labelled events that are not compared, by model: it is not followed, or none of its versions can be
        loaded.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.asked = Counter(
            "driftline_shadow_asked_total",
            "Events put to a candidate, by outcome",
            ["model", "version", "outcome"],
            registry=registry,
        )
        self.waiting = Gauge(
            "driftline_shadow_waiting_events",
            "How far one side of the comparison is behind the other",
            ["partition", "side"],
            registry=registry,
        )
        self.model_loads = Counter(
            "driftline_model_loads_total",
            "Versions loaded, by outcome",
            ["model", "outcome"],
            registry=registry,
        )
        self.refused_predictions = Counter(
            "driftline_shadow_refused_predictions_total",
            "Records of the predictions topic that answer no event of ours",
            registry=registry,
        )
        self.labels_passed_over = Counter(
            "driftline_shadow_labels_passed_over_total",
            "Labelled events of models that have no contract here",
            ["model"],
            registry=registry,
        )
