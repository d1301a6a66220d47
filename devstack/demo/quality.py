"""Realised quality as the performance service reports it, read from the reports topic like anybody would."""

from __future__ import annotations

from typing import Any

from shared.messages import PerformanceReport
from shared.quality.estimate import estimated
from shared.quality.figures import figures_of
from shared.quality.merging import merge
from shared.reports import AnyReport, LatestReports


class QualityBook:
    """The newest performance report of every window and partition."""

    def __init__(self) -> None:
        self._reports = LatestReports()

    def take(self, report: AnyReport) -> None:
        """Note a report; other kinds are somebody else's."""
        if isinstance(report, PerformanceReport):
            self._reports.take(report)

    def of(self, version: str) -> PerformanceReport | None:
        """Return everything known of a version; None before its first report."""
        reports = [report for report in self._reports if report.model_version == version]
        return merge(reports) if reports else None

    @property
    def labels_joined(self) -> int:
        """How many labels have been joined to an answer that somebody got, whichever version gave it.

        Counted by the KPI, since a version's own counts hold its answers in the shadow too.
        """
        return sum(sums.value.n for report in self._reports for sums in report.kpis.values())


def quality_facts(report: PerformanceReport | None) -> dict[str, Any]:
    """Return what the last line says of a version's quality."""
    if report is None:
        return {"auc": None, "estimated_auc": None, "kpi": None, "labels_joined": 0}
    realised, promised = figures_of(report), estimated(report)
    kpi = {
        name: round(sums.value.total / sums.value.n, 4) for name, sums in report.kpis.items() if sums.value.n
    }
    return {
        "auc": _rounded(realised, "auc"),
        "estimated_auc": _rounded(promised, "auc"),
        "kpi": kpi or None,
        "labels_joined": report.labels.joined,
    }


def _rounded(figures: dict[str, Any], name: str) -> float | None:
    return round(figures[name].value, 4) if name in figures else None
