import doctest
import importlib

import pytest

from loadtest.paper import Measured, plan
from loadtest.plots import Plot, draw
from loadtest.scenarios.backlog import Sample, sliced
from loadtest.scenarios.everything import scenarios
from loadtest.scenarios.scaling import ScalingOptions, axes
from loadtest.summary import Spread, ratios

MODULES = ("events", "generator", "meter", "paper", "summary", "contenders.catalogue", "scenarios.backlog")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    failed, tried = doctest.testmod(importlib.import_module(f"loadtest.{name}"))
    assert tried > 0
    assert failed == 0


def test_the_spread_is_the_median_between_the_extremes():
    assert Spread.of([4.0, 1.0, 2.0, 3.0]) == Spread(median=2.5, low=1.0, high=4.0, rounds=4)


def test_ratios_pair_figures_of_the_same_round():
    # The second round ran on a machine twice as slow: the ratio does not move.
    assert ratios([6.0, 12.0], [3.0, 6.0]) == Spread(median=2.0, low=2.0, high=2.0, rounds=2)


def test_ratios_without_a_common_round_are_none():
    assert ratios([None, 1.0], [1.0, None]) is None


def test_a_short_remainder_joins_the_last_slice():
    samples = [Sample(second, second * 10, second * 0.1, 50.0) for second in range(8)]
    assert [s["until"] for s in sliced(samples, 3.0)] == [3, 7]


def test_all_runs_every_scenario():
    every = ["client-floor", "inference", "drift", "latency", "shadow", "performance", "scaling", "backlog"]
    assert list(scenarios(quick=True)) == every


def test_axes_of_scaling_meet_in_points_that_are_measured_once():
    every = [point for axis in axes(ScalingOptions()).values() for point in axis.values()]
    assert len(every) == 15
    assert len(set(every)) == 12
    assert {p.partitions for p in axes(ScalingOptions())["processes"].values()} == {12}


def test_a_plot_is_drawn_from_numbers_and_from_names(tmp_path):
    spread = Spread.of([1.0, 2.0, 4.0])
    draw(Plot("lines", "t", "us", {"a": [(1, spread), (10, spread)]}, "features"), tmp_path / "lines.svg")
    draw(Plot("bars", "t", "us", {"": [("logistic", spread), ("trees", spread)]}), tmp_path / "bars.svg")
    assert all((tmp_path / name).read_text().startswith("<?xml") for name in ("lines.svg", "bars.svg"))


def test_the_plan_asks_for_more_brokers_where_their_cpu_is_the_limit():
    measured = Measured(6.0, 300.0, 300.0, 200.0, 100_000.0, None, 150.0)
    found = plan(measured)
    # 300 us x a million = 300 cores busy, of 16 cores at 60 %: 31.25 brokers.
    assert found.brokers["CPU"] == pytest.approx(31.25)
    assert found.first_to_break == "CPU"
    assert ["brokers", "32"] in [row[:2] for row in found.rows]
