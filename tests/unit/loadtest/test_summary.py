import doctest
import importlib

import pytest

from loadtest.scenarios.backlog import Sample, sliced
from loadtest.scenarios.everything import scenarios
from loadtest.summary import Spread, ratios

MODULES = ("events", "generator", "meter", "summary", "contenders.catalogue", "scenarios.backlog")


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
    every = ["client-floor", "inference", "drift", "latency", "shadow", "backlog"]
    assert list(scenarios(quick=True)) == every
