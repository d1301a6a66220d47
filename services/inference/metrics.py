"""What the inference service measures, beside what every pipeline does."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.bounded import Counter, Gauge
from shared.metrics import BulkHistogram, PipelineMetrics


class InferenceMetrics(PipelineMetrics):
    """Collectors of the inference service.

    Attributes
    ----------
    predictions
        Events scored, by model.
    latency
        Seconds from a record's timestamp to its scoring.
    model_info
        1 for the version that answers, by model and version.
    model_loads
        Attempts to load a version, by model and ``outcome`` (``loaded``, ``failed``).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.predictions = Counter(
            "driftline_predictions_total", "Events scored", ["model"], registry=registry
        )
        self.latency = BulkHistogram(
            "driftline_scoring_latency_seconds",
            "From the record's timestamp to its scoring",
            registry=registry,
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
