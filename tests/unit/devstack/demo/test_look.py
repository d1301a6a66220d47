import math

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from devstack.demo.look import Sight, quantile, read_metrics
from services.inference.metrics import InferenceMetrics


class Served:
    """The metrics of a real inference service, without its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = InferenceMetrics(self.registry)

    def page(self) -> str:
        return generate_latest(self.registry).decode()


def test_it_reads_what_the_service_writes() -> None:
    served, sight = Served(), Sight()
    read_metrics(sight, served.page(), now=10.0)
    served.metrics.consumed.labels("events").inc(600)
    served.metrics.lag.labels("events", 0).set(3)
    served.metrics.lag.labels("events", 1).set(4)
    served.metrics.dead_letters.labels("DecodeError").inc(2)
    served.metrics.dead_letters.labels("ValidationError").inc()
    served.metrics.model_info.labels("flights", "old").set(0)
    served.metrics.model_info.labels("flights", "new").set(1)
    read_metrics(sight, served.page(), now=12.0)
    assert (sight.per_second, sight.lag, sight.dead_letters, sight.champion) == (300.0, 7, 3, "new")


def test_percentiles_are_those_of_the_last_looks() -> None:
    import numpy as np

    served, sight = Served(), Sight()
    served.metrics.latency.observe(np.full(100, 0.5))  # a slow start
    for now in range(12):
        read_metrics(sight, served.page(), now=float(now))
    served.metrics.latency.observe(np.full(100, 0.004))  # in the bucket of 2 to 4 ms
    read_metrics(sight, served.page(), now=12.0)
    assert sight.p50_ms == pytest.approx(3.0)
    assert sight.p99_ms == pytest.approx(3.98)


def test_the_first_look_has_no_rate_yet() -> None:
    served, sight = Served(), Sight()
    served.metrics.consumed.labels("events").inc(600)
    read_metrics(sight, served.page(), now=1.0)
    assert sight.per_second == 0.0
    assert math.isnan(sight.p50_ms)


def test_a_service_without_these_metrics_is_shown_as_zeros() -> None:
    registry, sight = CollectorRegistry(), Sight()
    Gauge("driftline_something_else", "x", registry=registry)
    read_metrics(sight, generate_latest(registry).decode(), now=1.0)
    assert (sight.lag, sight.dead_letters, sight.champion) == (0, 0, "")


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.005), (0.5, 0.01), (0.75, 0.015), (0.99, 0.0198)])
def test_quantiles_are_linear_within_a_bucket(share: float, expected: float) -> None:
    assert quantile({0.01: 50.0, 0.02: 100.0, math.inf: 100.0}, share) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_edge_is_that_edge() -> None:
    assert quantile({0.01: 1.0, math.inf: 100.0}, 0.99) == 0.01


def test_a_quantile_of_nothing_is_nan() -> None:
    assert math.isnan(quantile({}, 0.5))
    assert math.isnan(quantile({0.01: 0.0, math.inf: 0.0}, 0.5))
