"""Gauges from the services' own reports, for those who do not scrape every process."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from services.alerting.exposition.gauges import Gauges
from shared.messages import ServiceReport

MISSED: Final = 3
"""Reports that may fail to come before a process counts as gone."""


def alive(report: ServiceReport, now: int) -> bool:
    """Return whether a process is to be counted on; ``now`` in epoch milliseconds."""
    return not report.stopping and now - report.written_at <= MISSED * report.interval


def gone(report: ServiceReport, now: int) -> bool:
    """Return whether a process went without saying so."""
    return not report.stopping and not alive(report, now)


def put_services(gauges: Gauges, reports: list[ServiceReport], now: int) -> None:
    """Put the state of every service, over its processes."""
    by_service: dict[str, list[ServiceReport]] = defaultdict(list)
    for report in reports:
        by_service[report.service].append(report)
    for service, members in sorted(by_service.items()):
        living = [report for report in members if alive(report, now)]
        gauges.put("driftline_service_alive", "Processes that report", len(living), service=service)
        gauges.put(
            "driftline_service_ready",
            "Processes that report and are ready",
            sum(not report.not_ready for report in living),
            service=service,
        )
        gauges.put(
            "driftline_service_last_report_timestamp_seconds",
            "Unix time of the newest report",
            max(report.written_at for report in members) / 1000,
            service=service,
        )
        lag: dict[str, int] = defaultdict(int)
        for report in living:
            for topic, records in report.lag.items():
                lag[topic] = max(lag[topic], records)
        for topic, records in lag.items():
            gauges.put(
                "driftline_service_lag_records",
                "Records not yet read, of the partition that is furthest behind",
                records,
                service=service,
                topic=topic,
            )
