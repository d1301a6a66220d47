"""What a history would have raised, and how long a change takes, against what the detector itself says."""

import numpy as np
import pytest

from shared.drift import Detector, SlotCounter, channel_bets, fit_baseline
from shared.drift.shifts import parse_shift, shifted
from shared.drift.simulate import replay_history, try_shift
from shared.errors import ValidationError

KINDS = {"delay": "numeric", "origin": "categorical", "late": "boolean"}
A = 1e6


def history(rows, seed):
    rng = np.random.default_rng(seed)
    return {
        "delay": rng.normal(10, 4, rows),
        "origin": rng.choice(["JFK", "EWR", "LGA"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "late": rng.choice([True, False], rows).tolist(),
    }


@pytest.fixture(scope="module")
def baseline():
    return fit_baseline(history(50_000, 1), KINDS)


def test_a_history_is_replayed_as_the_detector_would_see_it(baseline):
    columns = history(40_000, 2)
    columns["delay"][20_000:30_000] += 4
    outcome = replay_history(baseline, columns, None, A)
    expected = Detector([channel_bets(c) for c in baseline.calibrated], A).update(
        SlotCounter(baseline).add(columns)
    )
    assert list(outcome.alarms) == expected
    assert outcome.events == 40_000
    assert [t.status for t in outcome.transitions] == ["raised", "cleared"]
    assert replay_history(baseline, history(40_000, 3), None, A).alarms == ()


@pytest.mark.parametrize(
    ("text", "most", "named"),
    [
        ("delay=+0.5sd", 400, "delay: location, mean +0.64 sd"),
        ("delay=-2", 400, "delay: location, mean -0.64 sd"),
        ("delay=x1.6", 100, "delay: location"),
        ("delay=spread x2", 150, "delay: scale, spread x1.8"),
        ("delay=5%missing", 150, "delay: missing, missing 0.01"),
        ("origin=5%unseen", 150, "origin: unseen, unseen 0.01"),
        ("origin:LGA=x1.5", 600, "origin: category, LGA x1.5"),
        ("origin:LGA=x0.5", 1_200, "origin: category, LGA x0.6"),
    ],
)
def test_a_change_is_found_at_every_place(baseline, text, most, named):
    trial = try_shift(
        baseline, history(30_000, 4), None, parse_shift(text), events_between_alarms=A, places=6
    )
    assert (len(trial.delays), trial.missed, trial.before) == (6, 0, 0)
    assert 0 < trial.delays[0] <= trial.delays[-1] <= most
    assert trial.named.startswith(named.split(",")[0])


def test_a_change_below_the_floor_is_missed_and_says_so(baseline):
    trial = try_shift(
        baseline, history(30_000, 5), None, parse_shift("delay=+0.01sd"), events_between_alarms=A, places=3
    )
    assert (trial.delays, trial.missed, trial.named) == ((), 3, "")


def test_category_shares_are_multiplied():
    rng = np.random.default_rng(6)
    values = ["a"] * 2_000 + ["b"] * 6_000 + ["c"] * 2_000
    for ratio in (0.5, 2.0):
        after = shifted(parse_shift(f"x:a=x{ratio}"), values, (0, 1), rng)
        assert np.mean(after == "a") == pytest.approx(0.2 * ratio, abs=0.02)
        assert np.sum(after == "b") / np.sum(after == "c") == pytest.approx(3, rel=0.1)
    with pytest.raises(ValidationError, match="share of 20%"):
        shifted(parse_shift("x:a=x5"), values, (0, 1), rng)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("delay", "is no change"),
        ("delay=bigger", "is no change"),
        ("=+1sd", "is no change"),
        ("delay=+1.2.3sd", "is no change"),
    ],
)
def test_what_is_no_change_is_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        parse_shift(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=+1sd", "there is no feature 'speed'"),
        ("origin=+1sd", "origin is categorical, and such a change is not"),
        ("delay=5%unseen", "delay is numeric, and such a change is not"),
        ("flat=+1sd", "flat is not watched: every training value is 3"),
    ],
)
def test_what_cannot_be_tried_is_refused(text, message):
    columns = {**history(6_000, 7), "flat": np.full(6_000, 3.0)}
    baseline = fit_baseline(columns, {**KINDS, "flat": "numeric"})
    with pytest.raises(ValidationError, match=message):
        try_shift(baseline, columns, None, parse_shift(text), events_between_alarms=A)
    short = {name: values[:100] for name, values in columns.items()}
    with pytest.raises(ValidationError, match="4096 are needed"):
        try_shift(baseline, short, None, parse_shift("delay=+1sd"), events_between_alarms=A)


def test_nothing_to_watch_is_refused():
    flat = fit_baseline({"x": np.full(1_000, 3.0)}, {"x": "numeric"})
    with pytest.raises(ValidationError, match="no channel of the baseline can be watched"):
        replay_history(flat, {"x": np.full(1_000, 3.0)}, None, A)


def test_a_category_that_never_occurs_is_refused_and_not_called_missed(baseline):
    columns = history(10_000, 8)
    with pytest.raises(ValidationError, match=r"origin is never 'JKF' in the history; did you mean 'JFK'\?"):
        try_shift(baseline, columns, None, parse_shift("origin:JKF=x1.5"), events_between_alarms=A)
    with pytest.raises(ValidationError, match="never 'ZZZ' in the history"):
        try_shift(baseline, columns, None, parse_shift("origin:ZZZ=x1.5"), events_between_alarms=A)


@pytest.mark.parametrize("text", ["delay=150%missing", "origin=0%unseen"])
def test_a_share_of_more_than_all_or_of_nothing_is_refused(text):
    with pytest.raises(ValidationError, match="above 0 % and is 100 % at most"):
        parse_shift(text)
