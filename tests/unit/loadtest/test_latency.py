import pytest

from loadtest.errors import LoadTestError
from loadtest.generator import Schedule
from loadtest.scenarios.latency import latencies


@pytest.fixture
def schedule():
    return Schedule(bootstrap_servers="", topic="", partitions=1, first=10, count=4, rate=100.0, seed=1)


def prediction(number):
    return b'{"event_id":"e%012d","model":"m"}' % number


def test_latency_counts_from_the_moment_an_event_was_due(schedule):
    # Due at 50.00, 50.01, 50.02 and 50.03 s; all visible at 50.5 s, as after a stall.
    arrivals = [(50.5, [prediction(number) for number in (10, 11, 12, 13)])]
    histogram = latencies(arrivals, schedule, 50.0, 0)
    assert histogram.get_total_count() == 4
    assert histogram.get_min_value() == pytest.approx(470_000, rel=1e-3)
    assert histogram.get_max_value() == pytest.approx(500_000, rel=1e-3)


def test_the_ramp_is_read_but_not_counted(schedule):
    arrivals = [(50.5, [prediction(10), prediction(11)]), (50.6, [prediction(12), prediction(13)])]
    histogram = latencies(arrivals, schedule, 50.0, 2)
    assert histogram.get_total_count() == 2
    assert histogram.get_min_value() == pytest.approx(570_000, rel=1e-3)


def test_an_event_answered_twice_voids_the_run(schedule):
    arrivals = [(50.5, [prediction(10)]), (50.6, [prediction(10)])]
    with pytest.raises(LoadTestError, match="event 0 was answered twice"):
        latencies(arrivals, schedule, 50.0, 0)
