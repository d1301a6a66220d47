"""The page at ``/``: what fires, models, services and the last reports, for those without Grafana."""

from services.alerting.page.overview import overview
from services.alerting.page.runbooks import runbook
from services.alerting.page.said import SaidAlerts

__all__ = ["SaidAlerts", "overview", "runbook"]
