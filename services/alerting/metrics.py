"""What the alerting service measures, beside what every service does."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.bounded import Counter, Gauge
from shared.metrics import PipelineMetrics


class AlertingMetrics(PipelineMetrics):
    """Collectors of the alerting service.

    Attributes
    ----------
    alerts
        Alerts by ``status``: pending, firing, silenced (firing, and muted).
    changes
        Alerts that began to fire or were resolved, by rule.
    attempts
        Attempts to deliver, by receiver and ``outcome``: delivered, failed, given-up.
    queue
        Notifications that wait, by receiver.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.alerts = Gauge("driftline_alerts", "Alerts by status", ["status"], registry=registry)
        self.changes = Counter(
            "driftline_alert_changes_total",
            "Alerts that began to fire or were resolved",
            ["rule", "status"],
            registry=registry,
        )
        self.attempts = Counter(
            "driftline_notifications_total",
            "Attempts to deliver a notification",
            ["receiver", "outcome"],
            registry=registry,
        )
        self.queue = Gauge(
            "driftline_notifications_waiting", "Notifications in the queue", ["receiver"], registry=registry
        )
