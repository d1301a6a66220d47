import numpy as np
import pytest

from shared.drift import Baseline, SlotCounter, fit_baseline
from shared.drift.describe import describe
from shared.drift.summary import CategoricalColumn, NumericColumn


def test_a_window_in_figures_is_near_what_its_values_say():
    rng = np.random.default_rng(81)
    channel = fit_baseline({"x": rng.gamma(3, 2, 50_000)}, {"x": "numeric"}).channels[0]
    values = rng.gamma(4, 2, 16_000)
    values[::10] = np.nan
    counter = SlotCounter(Baseline(channels=(channel,)))
    counts = counter.add({"x": values}).counts.sum(axis=0)[0]
    found, usable = describe(channel, counts), values[~np.isnan(values)]
    assert (found.events, found.missing) == (16_000, pytest.approx(0.1))
    assert found.mean == pytest.approx(usable.mean(), rel=0.02)
    assert found.sd == pytest.approx(usable.std(), rel=0.08)
    assert found.quantiles == pytest.approx(np.quantile(usable, (0.05, 0.25, 0.5, 0.75, 0.95)), rel=0.05)


def test_top_categories_and_empty_windows():
    channel = fit_baseline({"x": ["a"] * 600 + ["b"] * 400}, {"x": "categorical"}).channels[0]
    assert describe(channel, [10, 30, 0, 60, 0]).top == (("<unseen>", 0.6), ("b", 0.3), ("a", 0.1))
    with pytest.raises(ValueError, match="no events"):
        describe(channel, [0] * 5)
    numeric = fit_baseline({"x": np.arange(1000.0)}, {"x": "numeric"}).channels[0]
    assert describe(numeric, [*[0] * (len(numeric.counts) - 1), 7]).mean is None
    with pytest.raises(ValueError, match="no bins"):
        describe(fit_baseline({"x": [1.0] * 9}, {"x": "numeric"}).channels[0])


def test_river_summaries_agree_with_numpy():
    values = np.random.default_rng(82).normal(3, 2, 5_000)
    column = NumericColumn()
    for part in np.split(values, 10):
        column.update(part)
    column.update(["x", None])
    found = column.summary()
    assert (found.values, found.missing) == (5_000, 2)
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert found.quantiles == pytest.approx(np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)), abs=0.1)
    assert sum(count for _, _, count in found.histogram) == 5_000
    assert NumericColumn().summary().mean is None
    categories = CategoricalColumn()
    categories.update(["a", "b", "a", None, 4.0])
    assert categories.top() == [("a", 2), ("b", 1), ("4", 1)]
