"""The collector that turns the newest reports into gauges whenever it is scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.alerting.exposition.drift import put_alarming, put_drift
from services.alerting.exposition.gauges import Gauges
from services.alerting.exposition.inference import put_inference
from services.alerting.exposition.performance import put_performance
from services.alerting.exposition.recent import RecentReports
from services.alerting.exposition.services import put_services
from services.alerting.exposition.shadow import put_shadow
from shared.messages import Report, ServiceReport

_IN_ORDER: Final[tuple[tuple[str, Callable[[Gauges, Any], None]], ...]] = (
    ("inference", put_inference),
    ("drift", put_alarming),
    ("drift", put_drift),
    ("shadow", put_shadow),
    ("performance", put_performance),
)
"""Kind of report, and what puts one version of it."""


class ReportCollector(Collector):
    """Give it every report; it shows what they say together.

    Parameters
    ----------
    registry
        Where to register.
    clock
        Returns epoch milliseconds.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], int]) -> None:
        self.recent = RecentReports()
        self._clock = clock
        registry.register(self)

    def take(self, report: Report | ServiceReport) -> None:
        """Take one report, in whatever order they come and however often."""
        self.recent.take(report)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: which families there are depends on the reports."""
        return ()

    def gauges(self, now: int) -> Gauges:
        """Return what the reports say; ``now`` in epoch milliseconds."""
        gauges = Gauges()
        for kind, put in _IN_ORDER:
            for windows in self.recent.versions(kind, now):
                put(gauges, windows)
        put_services(gauges, self.recent.services(now), now)
        return gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        yield from self.gauges(self._clock()).families()
