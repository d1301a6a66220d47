from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families

from shared.metrics import LATENCY_BUCKETS, BulkHistogram, PipelineMetrics, describe_process, registry_up


def test_a_bulk_histogram_writes_what_prometheus_own_would() -> None:
    values = np.concatenate([np.random.default_rng(7).lognormal(-4, 2, 500), LATENCY_BUCKETS, [0.0, 1e9]])
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bulk = BulkHistogram("driftline_x_seconds", "X", registry=ours)
    single = Histogram("driftline_x_seconds", "X", buckets=LATENCY_BUCKETS, registry=theirs)
    for part in np.array_split(values, 9):
        bulk.observe(part)
    for value in values:
        single.observe(value)
    found, expected = samples(ours), samples(theirs)
    created = ("driftline_x_seconds_created", ())
    expected.pop(created)
    total = ("driftline_x_seconds_sum", ())
    assert found.pop(total) == pytest.approx(expected.pop(total))
    assert found == expected


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, tuple(s.labels.items())): s.value for family in families for s in family.samples}


def test_counts_made_elsewhere_are_added() -> None:
    registry = CollectorRegistry()
    bulk = BulkHistogram("driftline_x_seconds", "X", (0.1, 1.0), registry=registry)
    bulk.add(np.array([1, 2, 3]), 9.5)
    bulk.add(np.array([1, 0, 0]), np.float64(0.05))
    assert registry.get_sample_value("driftline_x_seconds_bucket", {"le": "1.0"}) == 4
    assert registry.get_sample_value("driftline_x_seconds_count") == 7
    assert registry.get_sample_value("driftline_x_seconds_sum") == pytest.approx(9.55)


def test_series_are_told_apart_by_label() -> None:
    registry = CollectorRegistry()
    bulk = BulkHistogram("driftline_x_seconds", "X", (0.1,), registry=registry, labelnames=["model"])
    bulk.labels("a").observe(np.array([0.05, 3.0]))
    bulk.labels("b").observe(np.array([0.05]))
    assert registry.get_sample_value("driftline_x_seconds_count", {"model": "a"}) == 2
    assert registry.get_sample_value("driftline_x_seconds_count", {"model": "b"}) == 1
    with pytest.raises(ValueError, match="has the labels"):
        bulk.labels("a", "b")


def test_a_name_used_twice_is_refused() -> None:
    registry = CollectorRegistry()
    BulkHistogram("driftline_x_seconds", "X", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        BulkHistogram("driftline_x_seconds", "X", registry=registry)


@pytest.mark.parametrize("edges", [(1.0, 0.5), (1.0, 1.0), (1.0, float("inf"))])
def test_edges_that_make_no_buckets_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be finite and ascend"):
        BulkHistogram("driftline_x_seconds", "X", edges, registry=CollectorRegistry())


def test_everything_parses_and_keeps_the_naming_convention() -> None:
    registry = CollectorRegistry()
    metrics = PipelineMetrics(registry)
    describe_process(registry, "inference")
    registry_up(registry).set(1)
    metrics.consumed.labels("events").inc(4_000)
    metrics.lag.labels("events", 3).set(7)
    families = list(parse_open_metrics(open_metrics(registry).decode()))  # type: ignore[no-untyped-call]
    own = {family.name for family in families if family.name.startswith("driftline_")}
    assert {"driftline_records_consumed", "driftline_build_info", "driftline_registry_up"} <= own
    foreign = {family.name for family in families} - own
    assert all(name.startswith(("process_", "python_")) for name in foreign)
    assert registry.get_sample_value("driftline_lag_records", {"topic": "events", "partition": "3"}) == 7
    assert registry.get_sample_value("driftline_transactions_total", {"outcome": "aborted"}) == 0
    build = next(family for family in families if family.name == "driftline_build_info").samples[0]
    assert (build.labels["service"], build.value) == ("inference", 1)


def test_buckets_fit_latencies_between_a_millisecond_and_a_minute() -> None:
    """What histogram_quantile would say lies within the step of two and a half that the edges allow."""
    for median in (0.002, 0.012, 0.05, 0.5, 4.0, 20.0):
        registry = CollectorRegistry()
        bulk = BulkHistogram("driftline_x_seconds", "X", registry=registry)
        values = np.random.default_rng(3).lognormal(np.log(median), 0.3, 20_000)
        bulk.observe(values)
        cumulative = np.cumsum(bulk.labels().counts) / len(values)
        for quantile in (0.5, 0.99):
            at = int(np.searchsorted(cumulative, quantile))
            low, high = LATENCY_BUCKETS[at - 1], LATENCY_BUCKETS[at]
            assert low < np.quantile(values, quantile) <= high
            assert high / low <= 2.5
