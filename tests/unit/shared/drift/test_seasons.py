"""Categories whose shares follow the clock: no false alarm from the season, and drift found through it."""

import numpy as np
import pytest

from shared.drift import Detector, SlotCounter, channel_bets, fit_baseline
from shared.drift.figures import figures
from shared.drift.fitting import fit_channel
from shared.drift.share_table import ShareTable

A = 1e6
NAMES = np.array(["AA", "DL", "UA", "B6"])
ROWS = 120_000


def carriers(rng, times, shift=0.0):
    """Shares that swing with the hour; ``shift`` moves UA's odds at every hour."""
    hour = 2 * np.pi * times / 86_400
    logits = np.stack([np.sin(hour), np.cos(hour), np.full(len(times), shift), np.full(len(times), -1.0)])
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    return NAMES[(rng.random(len(times)) > np.cumsum(shares, axis=0)).sum(axis=0).clip(0, 3)]


def times_of(rows, first=0.0, gap=7.0):
    return first + np.arange(rows) * gap


@pytest.fixture(scope="module")
def baseline():
    times = times_of(ROWS)
    return fit_baseline({"c": carriers(np.random.default_rng(91), times)}, {"c": "categorical"}, times)


def alarms_of(baseline, values, times):
    detector = Detector([channel_bets(c) for c in baseline.calibrated], A)
    return detector.update(SlotCounter(baseline).add({"c": values}, times))


def test_the_season_is_followed_and_raises_no_alarm(baseline):
    channel = baseline.channels[0]
    assert (channel.reason, channel.cycle, channel.deff < 1.5) == (None, "hour-of-day", True)
    assert channel.effective_rows == pytest.approx(ROWS / 24, rel=0.4)
    alarms = []
    for seed in range(8):
        times = times_of(250_000, first=9e6 + 3_600 * seed)
        alarms += alarms_of(baseline, carriers(np.random.default_rng([92, seed]), times), times)
    assert len(alarms) <= 2  # two million events at one in a million


def test_without_times_the_same_stream_would_cry_wolf_if_its_rows_were_shuffled():
    times = times_of(ROWS)
    rng = np.random.default_rng(91)
    values = carriers(rng, times)
    hidden = fit_baseline({"c": rng.permutation(values)}, {"c": "categorical"})
    assert len(alarms_of(hidden, values, times)) > 50
    in_order = fit_baseline({"c": values}, {"c": "categorical"})  # the season counts as dependence
    assert not in_order.calibrated or alarms_of(in_order, values, times) == []


def test_drift_is_found_and_named_at_any_hour(baseline):
    for first in (9e6, 9e6 + 43_200):
        times = times_of(16_000, first)
        rng = np.random.default_rng(93)
        values = np.concatenate([carriers(rng, times[:8_000]), carriers(rng, times[8_000:], shift=1.0)])
        alarm = alarms_of(baseline, values, times)[0]
        assert 8_000 < alarm.event < 9_500
        assert alarm.change in ("category", "shape")
        assert "UA" in alarm.detail
        assert abs(alarm.change_point - 8_000) < 500


def test_an_unseen_category_is_found(baseline):
    times = times_of(4_000, 9e6)
    values = carriers(np.random.default_rng(94), times)
    values = np.where(np.arange(4_000) % 15 == 0, "ZZ", values)
    assert alarms_of(baseline, values, times)[0].change == "unseen"


def test_events_without_a_time_are_judged_by_the_overall_shares(baseline):
    times = times_of(100_000, 9e6)
    values = carriers(np.random.default_rng(95), times)
    np.random.default_rng(96).shuffle(values)
    counter = SlotCounter(baseline)
    slots = counter.add({"c": values}, [None] * 100_000)
    assert slots.counts.sum() == 200_000  # a bin and a cell each
    assert Detector([channel_bets(c) for c in baseline.calibrated], A).update(slots) == []
    with pytest.raises(ValueError, match="has a season: the events' times are needed"):
        counter.add({"c": values})


def test_figures_compare_with_the_hours_that_the_window_has(baseline):
    channel = baseline.channels[0]
    night = times_of(400, 9e6 - 9e6 % 86_400)
    counts = SlotCounter(baseline).add({"c": carriers(np.random.default_rng(97), night)}, night).counts
    whole = counts[:, 0].sum(axis=0)
    assert figures(channel, whole).psi < 0.06
    assert figures(channel, whole[: len(channel.counts)]).psi > 0.1


def test_a_detector_of_a_seasonal_channel_continues_from_its_snapshot(baseline):
    times = times_of(40_000, 9e6)
    values = carriers(np.random.default_rng(98), times, shift=0.3)
    bets = [channel_bets(c) for c in baseline.calibrated]
    whole, counter = Detector(bets, A), SlotCounter(baseline)
    expected = whole.update(counter.add({"c": values}, times))
    parts, counter, found = Detector(bets, A), SlotCounter(baseline), []
    for start in range(0, 40_000, 3_333):
        part = slice(start, start + 3_333)
        found += parts.update(counter.add({"c": values[part]}, times[part]))
        restarted = Detector(bets, A)
        restarted.restore(parts.snapshot())
        parts = restarted
    assert found == expected
    assert expected
    assert parts.snapshot() == whole.snapshot()


def test_a_season_without_enough_rows_is_a_reason():
    times = times_of(6_000, gap=60.0)
    by_day = (times // 43_200) % 2 == 0
    values = np.where(np.random.default_rng(4).random(6_000) < np.where(by_day, 0.9, 0.1), "day", "night")
    reason = fit_channel("x", "categorical", values, times).reason
    assert reason == "its season cannot be followed, and the rows show fewer than 8 rounds of it"


def test_a_table_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="takes 7 rows of equal length"):
        ShareTable(cycle="day-of-week", counts=((1, 2),) * 6)
    with pytest.raises(ValueError, match="counts of 0 or more"):
        ShareTable(cycle="day-of-week", counts=((1, -2),) * 7)
