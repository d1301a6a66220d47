"""The newest windows of everything that is reported on, and nothing older: memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.messages import Report, ServiceReport
from shared.reports import LatestReports, kind_of

WINDOWS: Final = {"inference": 3, "drift": 2, "shadow": 200, "performance": 100}
"""Windows kept per version and source topic, by kind. Comparisons and labels are rare: they gather;
and by default 56 windows of quality wait for their labels at once."""

MOST_SUBJECTS: Final = 300
"""Versions kept per kind, those with the newest windows."""

SILENT_MS: Final = 86_400_000
"""A version that nobody has reported on for a day is no longer shown."""

_Series = tuple[str, str, str, str]
"""Kind, model, subject and source topic."""


class RecentReports:
    """Takes reports in any order; gives them back by version, newest window first.

    Examples
    --------
    >>> recent = RecentReports()
    >>> list(recent.versions("inference", now=0))
    []
    """

    def __init__(self) -> None:
        self._windows: dict[_Series, dict[int, LatestReports]] = {}
        self._written: dict[_Series, int] = {}
        self._services: dict[tuple[str, str], ServiceReport] = {}

    def take(self, report: Report | ServiceReport) -> None:
        """Keep a report if its window is among the newest."""
        if isinstance(report, ServiceReport):
            former = self._services.get((report.service, report.instance))
            if former is None or former.written_at <= report.written_at:
                self._services[report.service, report.instance] = report
            return
        kind = kind_of(report)
        series = (kind, report.model, report.subject, report.source_topic)
        new = series not in self._windows
        windows = self._windows.setdefault(series, {})
        windows.setdefault(report.window.start, LatestReports()).take(report)
        self._written[series] = max(self._written.get(series, 0), report.written_at)
        if len(windows) > WINDOWS.get(kind, 2):
            del windows[min(windows)]
        if new:
            self._make_room(kind)

    def versions(self, kind: str, now: int) -> Iterator[list[list[Any]]]:
        """Yield per version and source topic its windows, newest first, each with its partitions' reports.

        ``now`` is in epoch milliseconds: what was last reported on a day before is forgotten.
        """
        for series in [s for s, written in self._written.items() if now - written > SILENT_MS]:
            self._drop(series)
        shown = sorted(
            (s for s in self._windows if s[0] == kind),
            key=lambda s: (max(self._windows[s]), self._written[s]),
            reverse=True,
        )
        for series in shown[:MOST_SUBJECTS]:
            windows = self._windows[series]
            yield [list(windows[start]) for start in sorted(windows, reverse=True)]

    def newest(self, now: int) -> list[tuple[str, str, str, int, int]]:
        """Return kind, model, subject, start of the newest window and time of writing, newest first."""
        found = [
            (kind, model, subject, max(self._windows[kind, model, subject, topic]), written)
            for (kind, model, subject, topic), written in self._written.items()
            if now - written <= SILENT_MS
        ]
        return sorted(found, key=lambda one: -one[-1])

    def services(self, now: int) -> list[ServiceReport]:
        """Return the last report of every process heard of within a day."""
        for key in [k for k, report in self._services.items() if now - report.written_at > SILENT_MS]:
            del self._services[key]
        return list(self._services.values())

    def _make_room(self, kind: str) -> None:
        """Forget the version reported on longest ago, once there are twice as many as are shown."""
        of_kind = [series for series in self._windows if series[0] == kind]
        if len(of_kind) > 2 * MOST_SUBJECTS:
            self._drop(min(of_kind, key=self._written.__getitem__))

    def _drop(self, series: _Series) -> None:
        del self._windows[series], self._written[series]
