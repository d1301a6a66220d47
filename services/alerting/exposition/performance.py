"""Gauges from the performance reports: quality by labels, by estimate until they come, and KPIs."""

from __future__ import annotations

import math
from typing import Final

from services.alerting.exposition.gauges import Gauges, ratio
from shared.messages import PerformanceReport
from shared.quality.estimate import estimated
from shared.quality.figures import Figures, figures_of
from shared.quality.merging import merge

ENOUGH_LABELS: Final = 1_000
"""What a realised figure rests on, where there are so many: windows are taken until it is reached."""

SHOWN: Final = frozenset({
    "accuracy", "auc", "bias", "brier", "calibration_error", "f1", "log_loss", "mae", "mape", "positive_rate",
    "precision", "recall", "rmse",
})  # fmt: skip


def put_performance(gauges: Gauges, windows: list[list[PerformanceReport]]) -> None:
    """Put the figures of one version: estimated over its two newest windows, realised over labelled ones."""
    newest = merge([report for window in windows[:2] for report in window])
    labels = {"model": newest.model, "version": newest.model_version}
    _put_figures(
        gauges,
        "driftline_quality_estimated",
        "Figure that the scores of the two newest windows promise, while a score means what it meant",
        estimated(newest),
        labels,
    )
    gauges.put(
        "driftline_quality_unlabelled_ratio",
        "Share of the answers of the two newest windows whose label has not come",
        ratio(newest.quality.predictions - newest.quality.labels, newest.quality.predictions),
        **labels,
    )
    known = _labelled(windows)
    if known is not None:
        _put_figures(
            gauges,
            "driftline_quality_realised",
            "Figure by the labels of the newest windows that have some",
            figures_of(known),
            labels,
        )
        gauges.put(
            "driftline_quality_labels",
            "Labels that the realised figures rest on",
            known.quality.labels,
            **labels,
        )
    for name, kpi in (known or newest).kpis.items():
        gauges.put(
            "driftline_quality_kpi_mean",
            "Mean of a business figure per answer, over the same windows",
            ratio(kpi.value.total, kpi.value.n),
            **labels,
            kpi=name,
        )


def _labelled(windows: list[list[PerformanceReport]]) -> PerformanceReport | None:
    """Return the newest windows with labels as one report, as many as it takes to have enough."""
    taken: list[PerformanceReport] = []
    count = 0
    for window in windows:
        found = sum(report.quality.labels for report in window)
        if found and count < ENOUGH_LABELS:
            taken += window
            count += found
    return merge(taken) if taken else None


def _put_figures(
    gauges: Gauges, name: str, documentation: str, figures: Figures, labels: dict[str, str]
) -> None:
    for figure, found in figures.items():
        if figure in SHOWN and math.isfinite(found.value):
            gauges.put(name, documentation, found.value, **labels, figure=figure)
