"""The processes: do they live, keep up, commit, and stay within their means."""

from __future__ import annotations

from typing import Final

from devstack.dashboards.panel import AMBER, GREEN, RED, Dashboard, Panel, Query


def of_service(expression: str) -> str:
    """Return an expression by job and instance with the service it belongs to, limited to the chosen ones."""
    chosen = 'driftline_build_info{service=~"$service"}'
    return f"{expression} * on (job, instance) group_left (service) {chosen}"


def quantile(q: float, metric: str) -> str:
    """Return a quantile of a histogram by service."""
    inside = of_service(f"rate({metric}_bucket[$__rate_interval])")
    return f"histogram_quantile({q}, sum by (service, le) ({inside}))"


def rate_by(label: str, metric: str) -> str:
    """Return the rate of a counter by service and one label."""
    return f"sum by (service, {label}) ({of_service(f'rate({metric}[$__rate_interval])')})"


PROCESS: Final = "{{service}} {{instance}}"

PROCESSES: Final = (
    Panel(
        title="Processes",
        description="What runs. Two versions at once are a deployment under way.",
        kind="table",
        queries=[Query('driftline_build_info{service=~"$service"}')],
        width=12,
        columns={"service": "service", "instance": "process", "version": "version", "python": "Python"},
    ),
    Panel(
        title="Answers Prometheus",
        description="1, or DriftlineTargetDown.",
        kind="stat",
        queries=[Query('min by (job) (up{job=~"driftline.*"})', "{{job}}")],
        steps=((None, RED), (1, GREEN)),
        width=4,
    ),
    Panel(
        title="Ready, of those that report",
        description="By the services' own reports. Below 100 % for long: DriftlineNotReady.",
        kind="stat",
        queries=[
            Query(
                'max by (service) (driftline_service_ready{service=~"$service"}) '
                '/ max by (service) (driftline_service_alive{service=~"$service"} > 0)',
                "{{service}}",
            )
        ],
        unit="percentunit",
        steps=((None, RED), (1, GREEN)),
        width=4,
    ),
    Panel(
        title="Since the last micro-batch",
        description="Above 2 minutes with records waiting: DriftlineStuck. With none it only means quiet.",
        kind="stat",
        queries=[
            Query(f"max by (service) ({of_service('(time() - driftline_last_progress_timestamp_seconds)')})")
        ],
        unit="s",
        steps=((None, GREEN), (60, AMBER), (120, RED)),
        width=4,
    ),
    Panel(
        title="CPU",
        description="Cores used. At the limit of its container a process is throttled, and lag grows.",
        kind="timeseries",
        queries=[Query(of_service("rate(process_cpu_seconds_total[$__rate_interval])"), PROCESS)],
        low=0,
    ),
    Panel(
        title="Memory",
        description="Resident. Meant to stay below 200 MiB; a steady slope is a fault.",
        kind="timeseries",
        queries=[Query(of_service("process_resident_memory_bytes"), PROCESS)],
        unit="bytes",
        low=0,
    ),
    Panel(
        title="Open files",
        description="Connections among them. A steady slope is a leak.",
        kind="timeseries",
        queries=[Query(of_service("process_open_fds"), PROCESS)],
        low=0,
    ),
    Panel(
        title="Running for",
        description="A saw-tooth is a process that keeps restarting: DriftlineRestarting.",
        kind="timeseries",
        queries=[Query(of_service("(time() - process_start_time_seconds)"), PROCESS)],
        unit="s",
        low=0,
    ),
    Panel(
        title="Garbage collections per second",
        description="Of the oldest generation. The scoring path leaves the collector nothing to do.",
        kind="timeseries",
        queries=[
            Query(of_service('rate(python_gc_collections_total{generation="2"}[$__rate_interval])'), PROCESS)
        ],
        low=0,
    ),
    Panel(
        title="Registry answers",
        description="0: no promotion takes effect. See DriftlineRegistryAway.",
        kind="timeseries",
        queries=[Query(of_service("driftline_registry_up"), PROCESS)],
        low=0,
        high=1,
    ),
)

STREAM: Final = (
    Panel(
        title="Records waiting, by partition",
        description="One partition far above the others is a hot key.",
        kind="timeseries",
        queries=[Query(of_service("driftline_lag_records"), "{{service}} {{topic}}/{{partition}}")],
        low=0,
    ),
    Panel(
        title="Partitions owned",
        description="By process. Every rebalance is a step.",
        kind="timeseries",
        queries=[Query(of_service("driftline_partitions_assigned"), PROCESS)],
        low=0,
    ),
    Panel(
        title="Records written per second",
        description="By topic.",
        kind="timeseries",
        queries=[
            Query(
                rate_by("topic", "driftline_records_produced_total"),
                "{{service}} {{topic}}",
            )
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Commits per second",
        description="By outcome. Failed ones that go on: DriftlineCommitsFail.",
        kind="timeseries",
        queries=[
            Query(
                rate_by("outcome", "driftline_transactions_total"),
                "{{service}} {{outcome}}",
            )
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Records per micro-batch",
        description="Median and p99. At the setting max_batch_events the service is working off a backlog.",
        kind="timeseries",
        queries=[
            Query(quantile(0.5, "driftline_batch_records"), "{{service}} p50"),
            Query(quantile(0.99, "driftline_batch_records"), "{{service}} p99"),
        ],
        low=0,
    ),
    Panel(
        title="Time per micro-batch",
        description="From the start of its computation to its commit.",
        kind="timeseries",
        queries=[
            Query(quantile(0.5, "driftline_batch_seconds"), "{{service}} p50"),
            Query(quantile(0.99, "driftline_batch_seconds"), "{{service}} p99"),
        ],
        unit="s",
        low=0,
    ),
)

JOINS: Final = (
    Panel(
        title="Shadow: one side behind the other",
        description="Events of the partition that waits most. A slope: one of the two topics is not read.",
        kind="timeseries",
        queries=[Query("max by (side) (driftline_shadow_waiting_events)", "{{side}}")],
        low=0,
    ),
    Panel(
        title="Shadow: events put to candidates",
        description="Per second, by what became of them.",
        kind="timeseries",
        queries=[
            Query(
                "sum by (model, version, outcome) (rate(driftline_shadow_asked_total[$__rate_interval]))",
                "{{model}} {{version}} {{outcome}}",
            )
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Drift: rows counted",
        description="Per second, events (features) and predictions. Both should follow the traffic.",
        kind="timeseries",
        queries=[
            Query(
                "sum by (model, group) (rate(driftline_drift_rows_total[$__rate_interval]))",
                "{{model}} {{group}}",
            )
        ],
        unit="ops",
        low=0,
    ),
    Panel(
        title="Drift: slots that wait for a partition",
        description="Counts that wait because one partition is behind. A slope: look at its lag.",
        kind="timeseries",
        queries=[Query("sum(driftline_drift_waiting_slots)", "slots")],
        low=0,
    ),
    Panel(
        title="Performance: open events",
        description="Answers whose label horizon has not passed. Level, once a horizon has gone by.",
        kind="timeseries",
        queries=[Query("sum(driftline_performance_open_events)", "events")],
        low=0,
    ),
    Panel(
        title="Performance: items joined",
        description="Per second, by kind. Labels at 0 for long: the label feed has stopped.",
        kind="timeseries",
        queries=[
            Query(
                "sum by (kind) (rate(driftline_performance_items_total[$__rate_interval]))",
                "{{kind}}",
            )
        ],
        unit="ops",
        low=0,
    ),
)

INFRASTRUCTURE: Final = Dashboard(
    uid="driftline-infrastructure",
    title="Driftline: infrastructure",
    description="The processes: do they live, keep up, commit, and stay within their means?",
    variables={"service": "label_values(driftline_build_info, service)"},
    rows=[("Processes", PROCESSES), ("Stream", STREAM), ("Joins", JOINS)],
)
