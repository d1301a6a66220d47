"""How a process fares, read from its own collectors: what its ``ServiceReport`` says."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry

from shared.messages import ServiceReport
from shared.metrics import own_version

LAG: Final = "driftline_lag_records"
PARTITIONS: Final = "driftline_partitions_assigned"
CONSUMED: Final = "driftline_records_consumed_total"
DEAD_LETTERS: Final = "driftline_dead_letters_total"
MODEL_LOADS: Final = "driftline_model_loads_total"
REGISTRY_UP: Final = "driftline_registry_up"
MODEL_FAILED: Final = "ProcessError"
"""The reason of a dead letter whose event was good and whose model was not."""


def instance_name() -> str:
    """Return what tells this process from every other: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def vitals(
    collectors: CollectorRegistry,
    *,
    service: str,
    instance: str,
    started_at: int,
    now: int,
    interval: int,
    not_ready: Mapping[str, str],
    model_trouble: Mapping[str, str],
    not_loaded: Mapping[str, Mapping[str, str]] | None = None,
    stopping: bool = False,
) -> ServiceReport:
    """Return the report of a process, from what its collectors hold now.

    A service without one of the collectors simply does not report that figure.

    Examples
    --------
    >>> from shared.metrics import PipelineMetrics
    >>> collectors = CollectorRegistry()
    >>> metrics = PipelineMetrics(collectors)
    >>> metrics.lag.labels("events", 0).set(7)
    >>> metrics.lag.labels("events", 1).set(9)
    >>> report = vitals(collectors, service="inference", instance="box:1", started_at=1, now=2,
    ...                 interval=5_000, not_ready={}, model_trouble={})
    >>> report.lag, report.registry_up
    ({'events': 9}, None)
    """
    lag: dict[str, int] = defaultdict(int)
    consumed: dict[str, int] = defaultdict(int)
    dead_letters: dict[str, int] = defaultdict(int)
    partitions = load_failures = 0
    registry_up: bool | None = None
    wanted = (LAG, PARTITIONS, CONSUMED, DEAD_LETTERS, MODEL_LOADS, REGISTRY_UP)
    for family in collectors.restricted_registry(wanted).collect():
        for sample in family.samples:
            value = int(sample.value)
            match sample.name:
                case "driftline_lag_records":
                    topic = sample.labels["topic"]
                    lag[topic] = max(lag[topic], value)
                case "driftline_records_consumed_total":
                    consumed[sample.labels["topic"]] += value
                case "driftline_dead_letters_total":
                    dead_letters[sample.labels["reason"]] += value
                case "driftline_model_loads_total":
                    load_failures += value if sample.labels["outcome"] == "failed" else 0
                case "driftline_partitions_assigned":
                    partitions = value
                case "driftline_registry_up":
                    registry_up = bool(value)
    return ServiceReport(
        service=service,
        instance=instance,
        version=own_version(),
        started_at=started_at,
        written_at=now,
        interval=interval,
        stopping=stopping,
        not_ready=dict(not_ready),
        lag=dict(lag),
        partitions=partitions,
        consumed=dict(consumed),
        dead_letters=dict(dead_letters),
        prediction_failures=dead_letters.get(MODEL_FAILED, 0),
        model_load_failures=load_failures,
        model_trouble=dict(model_trouble),
        not_loaded={model: dict(versions) for model, versions in (not_loaded or {}).items()},
        registry_up=registry_up,
    )
