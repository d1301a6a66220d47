"""Rows spread over a long time: a fair sample, and what it says about dependence."""

from __future__ import annotations

import numpy as np
import pytest

from shared.drift.cold_start import ColdStart
from shared.drift.fitting import SEASON_UNFOLLOWED, fit_baseline
from shared.drift.long_start import first_effects, fit_spread
from shared.drift.rhythm import span_of, unseen_rhythm, without_rhythm
from shared.drift.row_sample import RowSample

DAY = 86_400.0
KINDS = {"x": "numeric", "c": "categorical"}


def sampled(order, keys, rows, columns):
    sample = RowSample(KINDS, {"x": 1.7e9}, rows=rows)
    for part in np.array_split(order, 13):
        wanted = sample.wanted(keys[part])
        sample.pass_over(int((~wanted).sum()))
        some = part[wanted]
        sample.add(keys[some], some.tolist(), {n: [v[i] for i in some.tolist()] for n, v in columns.items()})
        restored = RowSample(KINDS, {"x": 1.7e9}, rows=rows)
        restored.restore(sample.snapshot())
        assert restored.snapshot() == sample.snapshot()
        sample = restored
    return sample


def test_a_sample_is_the_same_in_any_order_and_every_row_as_likely():
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**63, 20_000).astype(np.uint64)
    columns = {"x": (1.7e9 + np.arange(20_000.0)).tolist(), "c": ["a", None] * 10_000}
    one = sampled(np.arange(20_000), keys, 1_000, columns)
    two = sampled(rng.permutation(20_000), keys, 1_000, columns)
    assert one.snapshot() == two.snapshot()
    assert (one.seen, len(one)) == (20_000, 1_000)
    expected = np.sort(np.argsort(keys)[:1_000])
    assert one.times().tolist() == expected.tolist()
    assert one.columns()["x"].tolist() == (1.7e9 + expected).tolist()  # to the unit: kept as a difference
    assert one.columns()["c"] == [columns["c"][i] for i in expected.tolist()]
    assert 450 < (expected < 10_000).sum() < 550


def test_a_sample_of_other_columns_is_refused():
    with pytest.raises(ValueError, match="not a sample"):
        RowSample(KINDS, {}).restore(b"x")
    with pytest.raises(ValueError, match="other columns"):
        RowSample(KINDS, {}).restore(RowSample({"x": "numeric", "d": "boolean"}, {}).snapshot())


def spread(x, c=None, *, each=200.0, effect=1.0, days=14):
    rows = len(x)
    columns = {"x": x, "c": ["a", "b"] * (rows // 2) if c is None else c}
    times = np.linspace(0, days * DAY, rows)
    effects = {"x": effect, "c": 1.0}
    return fit_spread(columns, KINDS, times, (), effects=effects, each=each)


def test_how_neighbours_resemble_each_other_is_known_from_the_first_events():
    rng = np.random.default_rng(4)
    x = spread(rng.normal(size=16_000), effect=6.0).channels[0]
    assert (x.calibrated, x.deff) == (True, 6.0)
    unknown = fit_spread(
        {"x": rng.normal(size=4_000)}, {"x": "numeric"}, np.arange(4_000.0), (), effects={}, each=2.0
    )
    assert unknown.channels[0].reason == "its first events could not show how its values depend on each other"


def test_rows_that_resemble_each_other_far_apart_stand_for_all_between_them():
    rng = np.random.default_rng(5)
    wander = np.repeat(rng.normal(size=250), 64)  # for an hour and a third each
    x = spread(rng.normal(size=16_000) + 0.4 * wander).channels[0]
    assert x.deff > 500
    assert x.reason is not None
    assert "are worth" in x.reason
    assert spread(rng.normal(size=16_000) + 0.4 * wander, each=1.0).channels[0].calibrated


def test_joint_channels_go_with_the_features_that_they_are_of():
    rng = np.random.default_rng(6)
    shared = rng.normal(size=16_000)
    columns = {"x": shared + rng.normal(size=16_000), "y": shared + rng.normal(size=16_000)}
    kinds, times = {"x": "numeric", "y": "numeric"}, np.linspace(0, 14 * DAY, 16_000)
    both = fit_spread(columns, kinds, times, (), effects={"x": 3.0, "y": 1.0}, each=50.0)
    assert both.joint is not None
    assert {channel.deff for channel in both.joint.channels} == {3.0}
    assert fit_spread(columns, kinds, times, (), effects={"x": 3.0}, each=50.0).joint is None


def test_the_first_events_dependence_is_known_though_their_season_could_not_be_followed():
    rng, times = np.random.default_rng(7), np.linspace(0, 1.2 * DAY, 5_000)
    season = 2 * np.sin(2 * np.pi * times / DAY)
    cold = ColdStart({"x": "numeric", "gone": "numeric", "c": "categorical"}, rows=5_000)
    late = rng.random(5_000) < 0.5 + 0.4 * np.sin(2 * np.pi * times / DAY)
    cold.add({"x": rng.normal(size=5_000) + season, "c": np.where(late, "a", "b").tolist()}, times)
    first = cold.baseline()
    assert [channel.reason for channel in first.channels] == [
        SEASON_UNFOLLOWED, "every training value is missing or not usable", SEASON_UNFOLLOWED,
    ]  # fmt: skip
    effects = cold.effects(first)
    assert set(effects) == {"x", "c"}
    assert max(effects.values()) < 2
    ordered = {"x": rng.normal(size=5_000), "c": ["a", "b"] * 2_500}
    fitted = fit_baseline(ordered, KINDS, times)
    assert first_effects(fitted, ordered, times)["x"] == fitted.channels[0].deff


def test_a_numeric_season_without_rows_for_a_table_is_not_passed_over():
    rng, times = np.random.default_rng(8), np.linspace(0, 4 * DAY, 5_000)
    values = rng.normal(size=5_000) + 0.3 * np.sin(2 * np.pi * times / DAY)
    (channel,) = fit_baseline({"x": values}, {"x": "numeric"}, times).channels
    assert channel.reason == SEASON_UNFOLLOWED
    times = np.linspace(0, 40 * DAY, 5_000)  # the same, but seen forty times: dependence like any other
    values = rng.normal(size=5_000) + 0.5 * np.sin(2 * np.pi * times / DAY)
    (channel,) = fit_baseline({"x": values}, {"x": "numeric"}, times).channels
    assert channel.calibrated
    assert channel.deff > 1.5


def test_two_rounds_of_the_longest_rhythm_must_be_seen():
    assert unseen_rhythm("week", 13.5 * DAY) is None
    assert "span 12.0 days: 2 weeks" in unseen_rhythm("week", 12 * DAY)
    assert "span 36.0 hours: 2 days" not in unseen_rhythm("day", 1.5 * DAY)
    assert "span 1.5 days: 2 days" in unseen_rhythm("day", 1.5 * DAY)
    assert "have no times" in unseen_rhythm("day", None)
    assert span_of(np.empty(0)) == 0.0


def test_a_baseline_without_its_rhythm_keeps_bins_and_its_own_reasons():
    rng = np.random.default_rng(9)
    columns = {"x": rng.normal(size=2_000), "y": rng.normal(size=2_000), "still": np.zeros(2_000)}
    fitted = fit_baseline(columns, dict.fromkeys(columns, "numeric"))
    bare = without_rhythm(fitted, "too short")
    assert fitted.joint is not None
    assert bare.joint is None
    assert [c.reason for c in bare.channels[:2]] == ["too short"] * 2
    assert bare.channels[2].reason == fitted.channels[2].reason
    assert bare.channels[0].counts == fitted.channels[0].counts
