"""Gauges from the inference service's reports: how much, how fast, what scores."""

from __future__ import annotations

from collections import Counter
from typing import Final

from services.alerting.exposition.gauges import Gauges
from services.alerting.exposition.histograms import merged, percentile
from shared.messages import InferenceReport

PERCENTILES: Final = (5, 25, 50, 75, 95)
LATENCY_PERCENTILES: Final = (50, 95, 99)


def put_inference(gauges: Gauges, windows: list[list[InferenceReport]]) -> None:
    """Put the figures of one version over its two newest windows.

    Two, because the newest one has only just begun: what is said always rests on a whole window.
    """
    reports = [report for window in windows[:2] for report in window]
    labels = {"model": reports[0].model, "version": reports[0].model_version}
    gauges.put(
        "driftline_model_recent_predictions",
        "Events scored in the two newest windows",
        sum(report.predictions for report in reports),
        **labels,
    )
    gauges.put(
        "driftline_model_recent_late_events",
        "Events in the two newest windows that came after their own had closed",
        sum(report.late for report in reports),
        **labels,
    )
    errors: Counter[str] = Counter()
    for report in reports:
        errors.update(report.errors)
    for reason, count in sorted(errors.items()):
        gauges.put(
            "driftline_model_recent_errors",
            "Events refused in the two newest windows, by error class",
            count,
            **labels,
            reason=reason,
        )
    latency = merged(report.latency for report in reports)
    for percent in LATENCY_PERCENTILES:
        gauges.put(
            "driftline_model_recent_latency_seconds",
            "From the record's append to its scoring, over the two newest windows",
            percentile(latency, percent),
            **labels,
            percentile=str(percent),
        )
    scores = merged(report.scores for report in reports)
    for percent in PERCENTILES:
        gauges.put(
            "driftline_model_recent_score",
            "Score, over the two newest windows",
            percentile(scores, percent),
            **labels,
            percentile=str(percent),
        )
    gauges.put(
        "driftline_model_window_end_timestamp_seconds",
        "Event time at which the newest window ends",
        max(report.window.end for report in reports) / 1000,
        **labels,
    )
