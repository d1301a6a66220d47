"""Is the model still right: drift against its budget, scores, refusals, quality."""

from __future__ import annotations

from typing import Final

from devstack.dashboards.panel import AMBER, GREEN, RED, Dashboard, Panel, Query

OF: Final = '{model=~"$model"}'
BY_CHANNEL: Final = "max by (model, version, channel)"
BY_VERSION: Final = "max by (model, version)"

STATE: Final = (
    Panel(
        title="Alarms on",
        description="Channels in drift. They stay on until cleared: see DriftlineDrift.",
        kind="stat",
        queries=[Query(f"sum by (model) ({BY_VERSION} (driftline_model_drift_alarms{OF}))", "{{model}}")],
        steps=((None, GREEN), (1, RED)),
        width=4,
        height=5,
    ),
    Panel(
        title="Strongest evidence, share of the threshold",
        description="At 100 % an alarm is raised. Half of it comes and goes, and is no alarm.",
        kind="bargauge",
        queries=[
            Query(
                f"max by (model) (driftline_model_drift_peak_evidence{OF}) "
                f"/ max by (model) (driftline_model_drift_threshold{OF})",
                "{{model}}",
            )
        ],
        unit="percentunit",
        steps=((None, GREEN), (0.5, AMBER), (1, RED)),
        low=0,
        high=1,
        width=5,
        height=5,
    ),
    Panel(
        title="False alarms to expect",
        description="At most so many by chance among the events seen so far: the budget in model.toml.",
        kind="stat",
        queries=[
            Query(f"{BY_VERSION} (driftline_model_drift_expected_false_alarms{OF})", "{{model}} {{version}}")
        ],
        width=4,
        height=5,
    ),
    Panel(
        title="Versions that answer",
        description="Which version of each model serves, and events scored in its two newest windows.",
        kind="table",
        queries=[Query(f"{BY_VERSION} (driftline_model_recent_predictions{OF})")],
        width=5,
        height=5,
        columns={"model": "model", "version": "version", "Value": "events"},
    ),
    Panel(
        title="Channels in drift, since when",
        description="Event time at which each alarm was raised, and what kind of change explains it best.",
        kind="table",
        queries=[
            Query(
                "sort_desc(1000 * max by (model, channel, change) "
                f"(driftline_model_drift_raised_timestamp_seconds{OF}))"
            )
        ],
        unit="dateTimeAsIso",
        width=6,
        height=5,
        columns={"model": "model", "channel": "channel", "change": "change", "Value": "since"},
    ),
)

DRIFT: Final = (
    Panel(
        title="Evidence by channel",
        description="log10, highest within the window. The mean over all channels alarms at the threshold.",
        kind="timeseries",
        queries=[
            Query(f"{BY_CHANNEL} (driftline_model_drift_peak_evidence{OF})", "{{model}} {{channel}}"),
            Query(f"{BY_VERSION} (driftline_model_drift_threshold{OF})", "{{model}} threshold"),
        ],
        low=0,
        width=12,
    ),
    Panel(
        title="Population stability index by channel",
        description="A familiar figure. It depends on the size of the window and raises no alarm.",
        kind="timeseries",
        queries=[Query(f"{BY_CHANNEL} (driftline_model_drift_psi{OF})", "{{model}} {{channel}}")],
        low=0,
        width=12,
    ),
    Panel(
        title="Missing values",
        description="Share per channel. A jump is nearly always a fault upstream.",
        kind="timeseries",
        queries=[Query(f"{BY_CHANNEL} (driftline_model_drift_missing_ratio{OF})", "{{model}} {{channel}}")],
        unit="percentunit",
        low=0,
        width=12,
    ),
    Panel(
        title="Categories that training did not contain",
        description="Share per channel.",
        kind="timeseries",
        queries=[Query(f"{BY_CHANNEL} (driftline_model_drift_unseen_ratio{OF})", "{{model}} {{channel}}")],
        unit="percentunit",
        low=0,
        width=12,
    ),
)

QUALITY: Final = (
    Panel(
        title="Accuracy by labels, and the estimate",
        description="Realised: of the newest labelled windows. Estimated: of the two newest, before labels.",
        kind="timeseries",
        queries=[
            Query(
                f'{BY_VERSION} (driftline_quality_realised{{figure="accuracy", model=~"$model"}})',
                "{{version}}",
            ),
            Query(
                f'{BY_VERSION} (driftline_quality_estimated{{figure="accuracy", model=~"$model"}})',
                "{{model}} {{version}} estimated",
            ),
        ],
        unit="percentunit",
        width=12,
    ),
    Panel(
        title="Other figures by labels",
        description="Log loss, Brier score, AUC, precision, recall; errors of a regression.",
        kind="timeseries",
        queries=[
            Query(
                f"max by (model, version, figure) (driftline_quality_realised{OF})",
                "{{model}} {{version}} {{figure}}",
            )
        ],
        width=12,
    ),
    Panel(
        title="Labels behind the figures",
        description="What the realised figures rest on. Below a few hundred they say little.",
        kind="timeseries",
        queries=[Query(f"{BY_VERSION} (driftline_quality_labels{OF})", "{{model}} {{version}}")],
        low=0,
    ),
    Panel(
        title="Answers without a label yet",
        description="Share of the two newest windows. 100 % for long: the label feed has stopped.",
        kind="timeseries",
        queries=[Query(f"{BY_VERSION} (driftline_quality_unlabelled_ratio{OF})", "{{model}} {{version}}")],
        unit="percentunit",
        low=0,
        high=1,
    ),
    Panel(
        title="Business figures",
        description="Mean per answer of each KPI that model.toml declares. Final: of windows whose horizon "
        "has passed. Provisional: of open ones; outcomes that come early are not like the others.",
        kind="timeseries",
        queries=[
            Query(
                f"max by (model, version, kpi) (driftline_quality_kpi_mean{OF})",
                "{{model}} {{version}} {{kpi}}",
            ),
            Query(
                f"max by (model, version, kpi) (driftline_quality_kpi_provisional_mean{OF})",
                "{{model}} {{version}} {{kpi}} provisional",
            ),
        ],
        width=12,
    ),
    Panel(
        title="Labels and outcomes joined to nothing",
        description="Found no answer in time, of whatever model, since the log began. A slope: they name "
        "other events than the predictions do, come too late, or predictions were lost.",
        kind="timeseries",
        queries=[Query("sum(driftline_performance_orphans)", "orphans")],
        low=0,
        width=12,
    ),
)

ANSWERS: Final = (
    Panel(
        title="Score",
        description="Percentiles over the two newest windows. Do all of them shift, or the tails only?",
        kind="timeseries",
        queries=[
            Query(
                f"max by (model, version, percentile) (driftline_model_recent_score{OF})",
                "{{model}} {{version}} p{{percentile}}",
            )
        ],
    ),
    Panel(
        title="Latency in event time",
        description="From append to scoring, over the two newest windows of each version.",
        kind="timeseries",
        queries=[
            Query(
                f"max by (model, version, percentile) (driftline_model_recent_latency_seconds{OF})",
                "{{model}} {{version}} p{{percentile}}",
            )
        ],
        unit="s",
        low=0,
    ),
    Panel(
        title="Refused events by reason",
        description="In the two newest windows. `driftline dead-letters list` shows them.",
        kind="timeseries",
        queries=[
            Query("max by (model, version, reason) (driftline_model_recent_errors)", "{{model}} {{reason}}")
        ],
        low=0,
    ),
    Panel(
        title="Late events",
        description="They came after their own window had closed, and count in the newest one.",
        kind="timeseries",
        queries=[Query(f"{BY_VERSION} (driftline_model_recent_late_events{OF})", "{{model}} {{version}}")],
        low=0,
    ),
    Panel(
        title="Version that answers",
        description="Processes by version. Two at once: a swap under way, or a process that is stuck.",
        kind="timeseries",
        queries=[
            Query(
                f"count by (model, version) (driftline_model_info{OF} "
                '* on (job, instance) group_left () driftline_build_info{service="inference"})',
                "{{model}} {{version}}",
            )
        ],
        low=0,
    ),
    Panel(
        title="Versions loaded and refused",
        description="A refused one leaves the former version serving: DriftlineModelLoadFailed.",
        kind="timeseries",
        queries=[
            Query(f"sum by (model, outcome) (driftline_model_loads_total{OF})", "{{model}} {{outcome}}"),
        ],
        low=0,
    ),
)

MODELS: Final = Dashboard(
    uid="driftline-models",
    title="Driftline: model quality and drift",
    description="Is the model still right? Drift against its false-alarm budget, scores, refusals, quality.",
    variables={"model": "label_values(driftline_model_recent_predictions, model)"},
    rows=[("Now", STATE), ("Drift", DRIFT), ("Quality", QUALITY), ("Answers", ANSWERS)],
)
