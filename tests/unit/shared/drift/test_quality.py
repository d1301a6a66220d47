"""What the detector promises, on seeded streams: few false alarms, short delays, the right explanation."""

import math

import numpy as np
import pytest

from shared.drift import Detector, SlotCounter, channel_bets, fit_baseline

FEATURES = tuple(f"f{i}" for i in range(10))
A = 1e7


def detector_of(baseline, events_between_alarms=A):
    return Detector([channel_bets(c) for c in baseline.calibrated], events_between_alarms)


def alarms_of(baseline, columns, times=None, batch=4_096, events_between_alarms=A):
    detector, counter = detector_of(baseline, events_between_alarms), SlotCounter(baseline)
    events = len(next(iter(columns.values())))
    alarms = []
    for start in range(0, events, batch):
        part = slice(start, start + batch)
        slots = counter.add(
            {name: values[part] for name, values in columns.items()},
            times[part] if times is not None else None,
        )
        alarms += detector.update(slots)
    return alarms


def normal_columns(rng, rows):
    return {name: rng.normal(size=rows) for name in FEATURES}


@pytest.fixture(scope="module")
def ten_features():
    columns = normal_columns(np.random.default_rng(11), 100_000)
    return fit_baseline(columns, dict.fromkeys(FEATURES, "numeric"))


def test_no_alarm_on_two_hundred_thousand_stationary_events(ten_features):
    assert alarms_of(ten_features, normal_columns(np.random.default_rng(12), 200_000)) == []


def oracle_threshold(shift, channels):
    """Threshold of a CUSUM of log-likelihood ratios with A events between false alarms (Siegmund 1985)."""
    low, high = 1.0, 60.0
    for _ in range(80):
        x = (low + high) / 2
        low, high = (x, high) if (math.exp(x) - x - 1) / (shift**2 / 2) < A * channels else (low, x)
    return low - 1.166 * shift


def oracle_delay(drifted, before, shift, channels):
    """Delay of the CUSUM that knows the shift, with a share of the budget for each channel."""
    threshold, level = oracle_threshold(shift, channels), 0.0
    for i, value in enumerate(drifted.tolist()):
        level = max(0.0, level) + shift * value - shift**2 / 2
        if level >= threshold:
            return i + 1 - before
    raise AssertionError("the oracle missed the shift")


@pytest.mark.parametrize(("shift", "after", "tries"), [(0.25, 4_096, 30), (1.0, 512, 100)])
def test_delay_against_the_cusum_that_knows_the_shift(ten_features, shift, after, tries):
    before, delays, oracle = 2_048, [], []
    for seed in range(tries):
        columns = normal_columns(np.random.default_rng([13, seed]), before + after)
        columns["f3"][before:] += shift
        first = alarms_of(ten_features, columns)[0]
        assert (first.channel, first.change) == ("f3", "location")
        delays.append(first.event - before)
        oracle.append(oracle_delay(columns["f3"], before, shift, len(FEATURES)))
    assert np.mean(oracle) < np.mean(delays) <= 1.5 * np.mean(oracle)


@pytest.mark.parametrize(
    ("change", "values", "detail"),
    [
        ("scale", lambda rng: rng.normal(scale=1.6, size=4_000), "spread x1.8"),
        (
            "missing",
            lambda rng: np.where(rng.random(4_000) < 0.02, np.nan, rng.normal(size=4_000)),
            "missing 0.01",
        ),
        (
            "shape",
            lambda rng: rng.choice([-1.0, 1.0], 4_000) + rng.normal(scale=0.1, size=4_000),
            "[-1.28462, -1.02648) x1.3, most of all bins",
        ),
    ],
)
def test_the_change_is_explained_and_dated(ten_features, change, values, detail):
    rng, before = np.random.default_rng(14), 8_000
    columns = normal_columns(rng, before + 4_000)
    columns["f6"][before:] = values(rng)
    first = alarms_of(ten_features, columns)[0]
    assert (first.channel, first.change) == ("f6", change)
    assert first.detail == detail
    assert before < first.event < before + 1_600
    assert abs(first.change_point - before) <= 160
    assert first.evidence > math.log10(A) - 1


def heavy_tails(rng, rows):
    return rng.standard_t(3, rows) / math.sqrt(3)


def one_in_ten_in_kilometres(rng, rows, miles=3.0):
    values = rng.normal(size=rows)
    return np.where(rng.random(rows) < 0.1, (values + miles) * 1.609 - miles, values)


TAILS = "heavier tails"
ABOVE, BELOW = "a part of the values far above", "a part of the values far below"
BOTH = "a part of the values far out on both sides"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (heavy_tails, [(128, "shape", TAILS), (208, "shape", TAILS), (176, "shape", TAILS)]),
        (
            one_in_ten_in_kilometres,
            [
                (128, "scale", "spread x3"),
                (160, "shape", ABOVE),
                (208, "shape", ABOVE),
            ],
        ),
        (
            lambda rng, rows: -one_in_ten_in_kilometres(rng, rows),
            [
                (128, "shape", BELOW),
                (160, "shape", BELOW),
                (208, "shape", BELOW),
            ],
        ),
        (
            lambda rng, rows: rng.normal(size=rows) * np.where(rng.random(rows) < 0.1, 3.0, 1.0),
            [(128, "scale", "spread x3"), (160, "shape", ABOVE), (288, "shape", BOTH)],
        ),
    ],
)
def test_heavy_tails_and_a_far_part_are_bet_on_by_name(ten_features, values, expected):
    before, found = 2_048, []
    for seed in range(3):
        rng = np.random.default_rng([21, seed])
        columns = normal_columns(rng, before + 2_048)
        columns["f6"][before:] = values(rng, 2_048)
        first = alarms_of(ten_features, columns)[0]
        assert first.channel == "f6"
        found.append((first.event - before, first.change, first.detail))
    assert found == expected


def test_bets_that_jump_weigh_more_where_rows_are_many_and_only_there(ten_features):
    bets = channel_bets(ten_features.calibrated[0])
    weight = dict(zip(bets.details, bets.weights, strict=True))
    assert bets.changes.count("shape") == 4
    assert weight["heavier tails"] == pytest.approx(3 * 0.8 * 0.1)
    assert weight[ABOVE] == weight[BELOW] == pytest.approx(10 * 0.8 * 0.075)
    assert weight["mean +0.16 sd"] == pytest.approx(0.8 * 0.46 / 12)
    assert weight["mean +1.28 sd"] == pytest.approx(4 * 0.8 * 0.46 / 12)
    columns = {"x": np.random.default_rng(22).normal(size=5_000)}
    short = channel_bets(fit_baseline(columns, {"x": "numeric"}).calibrated[0])
    assert "heavier tails" in short.details
    assert short.weights.sum() == pytest.approx(0.8)
    joint = channel_bets(next(c for c in ten_features.calibrated if c.joint))
    assert joint.weights.sum() == pytest.approx(0.8)


def test_values_beyond_all_of_training_have_a_bin_and_are_found_at_once(ten_features):
    channel = ten_features.channels[2]
    assert channel.counts[0] == channel.counts[-2] == 0
    assert channel.bin_names[0].startswith("below -")
    assert channel.bin_names[-2].startswith("above ")
    rng, before = np.random.default_rng(23), 2_048
    columns = normal_columns(rng, before + 4_096)
    columns["f2"][before:] = np.where(rng.random(4_096) < 0.02, 7.0, columns["f2"][before:])
    first = alarms_of(ten_features, columns)[0]
    assert (first.channel, first.change) == ("f2", "shape")
    assert before < first.event < before + 640


def test_an_unseen_category_is_found_and_named():
    rng = np.random.default_rng(15)
    airports = np.array(["EWR", "JFK", "LGA"])
    baseline = fit_baseline({"origin": airports[rng.integers(0, 3, 50_000)]}, {"origin": "categorical"})
    origins = airports[rng.integers(0, 3, 4_000)].tolist()
    origins[2_000:] = ["SWF" if rng.random() < 0.05 else origin for origin in origins[2_000:]]
    counter = SlotCounter(baseline)
    first = detector_of(baseline).update(counter.add({"origin": origins}))[0]
    assert (first.channel, first.change) == ("origin", "unseen")
    assert 2_000 < first.event < 2_200
    assert counter.unseen["origin"].most_common(1)[0][0] == "SWF"


def test_a_category_that_grows_is_named():
    rng = np.random.default_rng(16)
    airports = ["EWR", "JFK", "LGA"]
    baseline = fit_baseline(
        {"origin": rng.choice(airports, 50_000, p=[0.6, 0.3, 0.1])}, {"origin": "categorical"}
    )
    first = alarms_of(baseline, {"origin": rng.choice(airports, 4_000, p=[0.5, 0.25, 0.25]).tolist()})[0]
    assert first.change == "category"
    assert first.detail == "LGA x3"


def autoregressive(rng, rows, coefficient):
    noise = rng.normal(size=rows).tolist()
    level, values = 0.0, []
    for shock in noise:
        level = coefficient * level + math.sqrt(1 - coefficient**2) * shock
        values.append(level)
    return np.array(values)


def test_autocorrelation_is_measured_and_raises_no_alarm():
    series = autoregressive(np.random.default_rng(17), 300_000, 0.7)
    baseline = fit_baseline({"x": series[:100_000]}, {"x": "numeric"}, np.arange(100_000) * 0.01)
    channel = baseline.channels[0]
    assert channel.phases is None
    assert channel.deff == pytest.approx(1.7 / 0.3, rel=0.3)  # (1 + r) / (1 - r)
    assert alarms_of(baseline, {"x": series[100_000:]}, events_between_alarms=1e6) == []
    in_their_order = fit_baseline({"x": series[:100_000]}, {"x": "numeric"})
    assert not in_their_order.ordered
    assert in_their_order.channels[0].deff == channel.deff
    assert alarms_of(in_their_order, {"x": series[100_000:]}, events_between_alarms=1e6) == []
    shuffled = np.random.default_rng(1).permutation(series[:100_000])
    hidden = fit_baseline({"x": shuffled}, {"x": "numeric"})
    assert len(alarms_of(hidden, {"x": series[100_000:]}, events_between_alarms=1e6)) > 100


def test_a_season_is_taken_out_and_a_shift_on_top_of_it_is_found():
    rng = np.random.default_rng(18)
    times = np.arange(200_000) * 60.0
    values = rng.normal(size=len(times)) + 0.5 * np.sin(2 * np.pi * times / 86_400)
    fit, fresh = slice(0, 100_000), slice(100_000, 200_000)
    baseline = fit_baseline({"x": values[fit]}, {"x": "numeric"}, times[fit])
    channel = baseline.channels[0]
    assert channel.phases is not None
    assert channel.calibrated
    assert channel.deff < 1.6
    assert alarms_of(baseline, {"x": values[fresh]}, times[fresh], events_between_alarms=1e6) == []
    shifted = alarms_of(baseline, {"x": values[fresh] + 0.5}, times[fresh], events_between_alarms=1e6)
    assert shifted[0].change == "location"
    assert shifted[0].event < 400
    untimed = fit_baseline({"x": values[fit]}, {"x": "numeric"})
    assert alarms_of(untimed, {"x": values[fresh]}, events_between_alarms=1e6) == []
    hidden = fit_baseline({"x": rng.permutation(values[fit])}, {"x": "numeric"})
    assert len(alarms_of(hidden, {"x": values[fresh]}, events_between_alarms=1e6)) > 100


def test_rows_whose_dependence_cannot_be_measured_are_no_baseline():
    """A random walk of 510 rows would look independent: there are not eight blocks of 64 in it."""
    for rows in (510, 512, 2_000):
        walk = np.cumsum(np.random.default_rng(rows).normal(size=rows))
        for times in (None, np.arange(rows) * 60.0):
            (channel,) = fit_baseline({"x": walk}, {"x": "numeric"}, times).channels
            assert not channel.calibrated, (rows, channel.deff)


def test_a_flood_of_unusable_values_is_missing_and_never_a_crash(ten_features):
    flood = [float("nan"), float("inf"), -float("inf"), None, "many", [], {}, 10**400, 1e308, b"x"] * 200
    columns = dict.fromkeys(FEATURES, flood)
    first = alarms_of(ten_features, columns)[0]
    assert first.change == "missing"
    assert first.event <= 32


def test_a_feature_that_vanishes_is_missing(ten_features):
    columns = normal_columns(np.random.default_rng(19), 640)
    del columns["f2"]
    first = alarms_of(ten_features, columns)[0]
    assert (first.channel, first.change) == ("f2", "missing")
    assert first.event <= 64


def test_rare_categories_that_training_missed_raise_no_false_alarm():
    shares = 1 / np.arange(1, 3_001) ** 1.1
    shares /= shares.sum()
    names = np.array([f"c{i}" for i in range(3_000)])
    alarms = []
    for seed in range(6):
        rng = np.random.default_rng([20, seed])
        baseline = fit_baseline({"x": names[rng.choice(3_000, 20_000, p=shares)]}, {"x": "categorical"})
        assert baseline.channels[0].singletons > 500
        alarms += alarms_of(baseline, {"x": names[rng.choice(3_000, 100_000, p=shares)]})
    assert alarms == []
