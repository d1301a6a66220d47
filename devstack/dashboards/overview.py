"""What is wrong, since when, how bad, and what to do."""

from __future__ import annotations

from typing import Final

from devstack.dashboards.panel import AMBER, GREEN, RED, Dashboard, Panel, Query

NOT_THE_WATCHDOG: Final = 'alertname=~"Driftline.+", alertname!="DriftlineWatchdog"'
LATENCY: Final = (
    "histogram_quantile({q}, sum by (le) (rate(driftline_scoring_latency_seconds_bucket[$__rate_interval])))"
)

STATE: Final = (
    Panel(
        title="Critical alerts",
        description="Firing now. Anything above 0: the table below names it and links its runbook.",
        kind="stat",
        queries=[Query('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)')],
        steps=((None, GREEN), (1, RED)),
        width=3,
        height=4,
    ),
    Panel(
        title="Warnings",
        description="Firing now; for the next working hour.",
        kind="stat",
        queries=[Query('count(ALERTS{alertstate="firing", severity="warning"}) or vector(0)')],
        steps=((None, GREEN), (1, AMBER)),
        width=3,
        height=4,
    ),
    Panel(
        title="Watchdog",
        description="1 while Prometheus evaluates its rules. At 0 nothing here can be trusted.",
        kind="stat",
        queries=[Query('count(ALERTS{alertname="DriftlineWatchdog", alertstate="firing"}) or vector(0)')],
        steps=((None, RED), (1, GREEN)),
        width=3,
        height=4,
    ),
    Panel(
        title="Events per second",
        description="Read by the inference service. 0 in traffic hours: see DriftlineEventsStopped.",
        kind="stat",
        queries=[Query('sum(service_topic:driftline_consumed:rate1m{service="inference"})')],
        unit="ops",
        width=3,
        height=4,
    ),
    Panel(
        title="Behind",
        description="Time the largest backlog takes at this pace. Above 5 minutes: DriftlineBehind.",
        kind="stat",
        queries=[Query("max(service:driftline_behind_seconds:max)")],
        unit="s",
        steps=((None, GREEN), (60, AMBER), (300, RED)),
        width=3,
        height=4,
    ),
    Panel(
        title="p99 latency",
        description="From an event's append to its score, 99 of 100. Above 250 ms: DriftlineLatencyHigh.",
        kind="stat",
        queries=[Query(LATENCY.format(q=0.99))],
        unit="s",
        steps=((None, GREEN), (0.1, AMBER), (0.25, RED)),
        width=3,
        height=4,
    ),
    Panel(
        title="Refused",
        description="Share of the events that became dead letters. Above 1 %: DriftlineDeadLetters.",
        kind="stat",
        queries=[
            Query(
                'sum(service:driftline_dead_letters:ratio_rate5m{service="inference"}) or vector(0)',
            )
        ],
        unit="percentunit",
        steps=((None, GREEN), (0.001, AMBER), (0.01, RED)),
        width=3,
        height=4,
    ),
    Panel(
        title="Models in drift",
        description="Models with at least one alarm on. See the dashboard of model quality and drift.",
        kind="stat",
        queries=[Query("count(max by (model) (driftline_model_drift_alarms) > 0) or vector(0)")],
        steps=((None, GREEN), (1, AMBER)),
        width=3,
        height=4,
    ),
)

WRONG: Final = (
    Panel(
        title="What is wrong, since when",
        description="Firing alerts, the latest on top. The name links to its runbook: look, then do.",
        kind="table",
        queries=[
            Query(
                f"sort_desc(1000 * (ALERTS_FOR_STATE{{{NOT_THE_WATCHDOG}}} "
                f'and ignoring (alertstate) ALERTS{{{NOT_THE_WATCHDOG}, alertstate="firing"}}))'
            )
        ],
        unit="dateTimeAsIso",
        width=16,
        columns={
            "alertname": "alert",
            "severity": "severity",
            "service": "service",
            "model": "model",
            "channel": "channel",
            "instance": "process",
            "Value": "since",
        },
    ),
    Panel(
        title="Services",
        description="Processes by service and version. A line is missing: DriftlineServiceAbsent.",
        kind="table",
        queries=[Query("count by (service, version) (driftline_build_info)")],
        width=8,
        columns={"service": "service", "version": "version", "Value": "processes"},
    ),
)

COURSE: Final = (
    Panel(
        title="Events per second",
        description="Read, by service and topic. All services should follow the same curve.",
        kind="timeseries",
        queries=[Query("service_topic:driftline_consumed:rate1m", "{{service}} {{topic}}")],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Records waiting",
        description="Lag, over all partitions. A saw-tooth near 0 is normal; a slope is not.",
        kind="timeseries",
        queries=[Query("service_topic:driftline_lag_records:sum", "{{service}} {{topic}}")],
        low=0,
    ),
    Panel(
        title="Latency",
        description="From an event's append to its score.",
        kind="timeseries",
        queries=[Query(LATENCY.format(q=q), f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)],
        unit="s",
        low=0,
    ),
    Panel(
        title="Predictions per second",
        description="By model. A model that stops while others go on: look at its dead letters.",
        kind="timeseries",
        queries=[Query("sum by (model) (rate(driftline_predictions_total[$__rate_interval]))", "{{model}}")],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Refused events per second",
        description="Dead letters by error class. ProcessError is the model's fault, the others the event's.",
        kind="timeseries",
        queries=[
            Query("sum by (reason) (rate(driftline_dead_letters_total[$__rate_interval]))", "{{reason}}")
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Alerts",
        description="Firing, by severity: when it began.",
        kind="timeseries",
        queries=[
            Query(
                'count by (severity) (ALERTS{alertstate="firing", alertname=~"Driftline.+"})', "{{severity}}"
            )
        ],
        low=0,
    ),
)

ALERTING: Final = (
    Panel(
        title="Driftline's own alerts",
        description="By status, in the working process of the alerting service; its page at / lists them.",
        kind="timeseries",
        queries=[Query("max by (status) (driftline_alerts)", "{{status}}")],
        low=0,
    ),
    Panel(
        title="Notifications",
        description="Attempts per second by outcome. Given-up ones: DriftlineNotificationsLost.",
        kind="timeseries",
        queries=[
            Query(
                "sum by (receiver, outcome) (rate(driftline_notifications_total[$__rate_interval]))",
                "{{receiver}} {{outcome}}",
            )
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Notifications waiting",
        description="By receiver. One that is away holds up only itself: DriftlineNotificationsWait.",
        kind="timeseries",
        queries=[Query("max by (receiver) (driftline_notifications_waiting)", "{{receiver}}")],
        low=0,
    ),
)

OVERVIEW: Final = Dashboard(
    uid="driftline-overview",
    title="Driftline: overview",
    description="What is wrong, since when, how bad, and what to do.",
    rows=[
        ("Now", STATE),
        ("What is wrong", WRONG),
        ("How it came about", COURSE),
        ("Who was told", ALERTING),
    ],
)
