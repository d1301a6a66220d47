"""The rate that the budget is translated by: no wrong clock moves it, and it follows the stream for ever."""

from __future__ import annotations

import numpy as np
import pytest

from shared.drift import Baseline, Detector, SlotCounter, channel_bets, fit_baseline
from shared.drift.label_given_score import LabelCounter, fit_labels, label_bets
from shared.drift.stream.budget import MONTH_MS, Rate, share_of
from shared.drift.stream.time_spread import MOST_BUCKETS, TimeSpread

DAY = 86_400_000
START = 1_700_000_000_000


def measured(rate: Rate) -> float:
    assert rate.per_30_days is not None
    return rate.per_30_days


@pytest.mark.parametrize("wrong", [0, -2_000_000_000_000, START + 80 * 365 * DAY])
@pytest.mark.parametrize("every", [0, 40])
def test_events_of_a_clock_that_was_never_set_do_not_change_the_rate(wrong: int, every: int) -> None:
    """A quiet partition's slots hold one event each; one among the first 256, or one in forty for ever."""
    rate = Rate()
    for minute in range(3 * 1_440):
        strange = minute == 100 or (every and minute % every == 7)
        rate.take(wrong if strange else START + 60_000 * minute, 1)
        if minute >= 255:
            assert measured(rate) == pytest.approx(30 * 1_440, rel=0.05), minute


def test_the_rate_of_a_stream_that_changes_is_found_again_every_30_days() -> None:
    """A tenfold rise is noticed once two months' events have come; a fall when 30 days are over."""
    rate, changes = Rate(), []
    now, each = START, 60_000
    for days, step in ((70, 600_000), (70, 60_000), (100, 600_000)):
        end = now + days * DAY
        each = step
        while now < end:
            if rate.take(now, 16):
                changes.append((round((now - START) / DAY, 1), round(measured(rate) / 16)))
            now += each
        assert measured(rate) == pytest.approx(16 * MONTH_MS / each, rel=0.06)
    late = [(day, slots) for day, slots in changes if 70 < day < 84]
    assert late, changes
    assert late[0][0] < 80, "not at the end of the 30 days"


def test_a_month_of_nights_and_days_gives_the_mean_rate() -> None:
    rng = np.random.default_rng(3)
    hours = np.arange(24 * 40)
    counts = rng.poisson(np.where(hours % 24 < 7, 2, 40))
    rate = Rate()
    for hour, count in zip(hours.tolist(), counts.tolist(), strict=True):
        for i in range(count):
            rate.take(START + hour * 3_600_000 + i * 3_600_000 // max(count, 1), 16)
    assert measured(rate) == pytest.approx(16 * counts[: 24 * 30].sum(), rel=0.05)


def test_a_spread_is_bounded_whatever_comes_and_the_middle_stays_exact() -> None:
    rng = np.random.default_rng(4)
    spread = TimeSpread()
    for i in range(50_000):
        strange = rng.random() < 0.03
        spread.add(int(rng.integers(0, 4 * START)) if strange else START + 1_000 * i, 1)
        assert len(spread.buckets) <= MOST_BUCKETS
    assert spread.events == sum(spread.buckets.values()) == 50_000
    assert spread.milliseconds == pytest.approx(50_000_000, rel=0.08)


def test_detectors_of_separate_streams_keep_one_budget_together() -> None:
    """600,000 stationary events, as many labels, A = 10,000: 60 false alarms are allowed in all.

    Features have four of five channels, label given score the fifth. With a whole budget of its own, as
    it once had, it alone would use up most of that.
    """
    rng = np.random.default_rng(1)
    events, between, each = 600_000, 1e4, 20_000
    scores = rng.beta(1, 2, 200_000)
    meaning = fit_labels(scores, rng.random(200_000) < scores)
    names = [f"x{i}" for i in range(4)]
    fitted = fit_baseline({name: rng.normal(size=50_000) for name in names}, dict.fromkeys(names, "numeric"))
    fitted = Baseline(channels=fitted.channels)
    features = Detector([channel_bets(channel) for channel in fitted.channels], share_of(between, 4, 5))
    label = Detector([label_bets(meaning)], share_of(between, 1, 5))
    greedy = Detector([label_bets(meaning)], between)
    counter, labels = SlotCounter(fitted), LabelCounter()
    of_features = of_label = too_many = 0
    for _ in range(events // each):
        of_features += len(features.update(counter.add({name: rng.normal(size=each) for name in names})))
        scores = rng.beta(1, 2, each)
        slots = labels.add(scores, (rng.random(each) < scores).astype(int))
        of_label += len(label.update(slots))
        too_many += len(greedy.update(slots))
    assert 5 < of_features + of_label <= events / between
    assert too_many > 3 * of_label, "a whole budget would be used"
