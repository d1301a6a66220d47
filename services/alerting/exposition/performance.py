"""Gauges from the performance reports: quality by labels, by estimate until they come, and KPIs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from services.alerting.exposition.gauges import Gauges, ratio
from shared.messages import KpiSums, PerformanceReport
from shared.quality.estimate import estimated
from shared.quality.figures import Figures, figures_of
from shared.quality.merging import alike, merge, merge_kpis

ENOUGH_LABELS: Final = 1_000
"""What a realised figure rests on, where there are so many: windows are taken until it is reached."""

LABEL_GIVEN_SCORE: Final = "label given score"

SHOWN: Final = frozenset({
    "accuracy", "auc", "bias", "brier", "calibration_error", "f1", "log_loss", "mae", "mape", "positive_rate",
    "precision", "recall", "rmse",
})  # fmt: skip


def put_performance(gauges: Gauges, windows: list[list[PerformanceReport]]) -> None:
    """Put the figures of one version: estimated over its two newest windows, realised over labelled ones."""
    added = {id(report) for report in alike(report for window in windows for report in window)}
    windows = [kept for window in windows if (kept := [report for report in window if id(report) in added])]
    newest = merge([report for window in windows[:2] for report in window])
    labels = {"model": newest.model, "version": newest.model_version}
    _put_figures(
        gauges,
        "driftline_quality_estimated",
        "Figure that the scores of the two newest windows promise, while a score means what it meant",
        estimated(newest),
        labels,
    )
    if newest.quality.scores:
        alarm = gauges.first("driftline_model_drift_alarm", **labels, channel=LABEL_GIVEN_SCORE)
        gauges.put(
            "driftline_quality_estimate_trusted",
            "0 while label given score alarms: scores mean something else now, and estimates are wrong",
            not alarm,
            **labels,
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
    _put_kpis(gauges, windows, labels)


def _put_kpis(gauges: Gauges, windows: list[list[PerformanceReport]], labels: dict[str, str]) -> None:
    """Put KPIs of final windows, and apart from them those of open ones, whose outcomes are a part."""
    final = [window for window in windows if all(report.final for report in window)]
    waiting = [window for window in windows if not all(report.final for report in window)]
    for name, text, some in (
        (
            "driftline_quality_kpi_mean",
            "Mean of a business figure per answer, over the newest final windows",
            final,
        ),
        (
            "driftline_quality_kpi_provisional_mean",
            "The same over the newest windows whose horizon is open",
            waiting,
        ),
    ):
        for kpi, sums in _decided(some).items():
            gauges.put(name, text, ratio(sums.value.total, sums.value.n), **labels, kpi=kpi)


def _decided(windows: list[list[PerformanceReport]]) -> dict[str, KpiSums]:
    """Return the KPIs of the newest windows, of as many as it takes to have enough answers of one."""
    taken: list[Mapping[str, KpiSums]] = []
    count = 0
    for window in windows:
        if count < ENOUGH_LABELS:
            taken += [report.kpis for report in window]
            count += sum(max((kpi.value.n for kpi in report.kpis.values()), default=0) for report in window)
    return merge_kpis(taken)


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
