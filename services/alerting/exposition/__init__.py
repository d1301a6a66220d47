"""Reports as Prometheus gauges: what no single service can count, because it takes all partitions.

Every process of the alerting service reads the whole reports topic for this, outside any group, so
that each one shows all there is and dashboards need not know which one they ask.
"""

from services.alerting.exposition.collector import ReportCollector
from services.alerting.exposition.reader import follow, follow_reports

__all__ = ["ReportCollector", "follow", "follow_reports"]
