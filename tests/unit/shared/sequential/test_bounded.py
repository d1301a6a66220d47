"""The promise itself, by simulation: looked at all the time, the interval errs at most alpha of the time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shared.sequential import PairedSums, difference
from shared.sequential.bounded import log_evidence
from shared.sequential.losses import CLIP, LOSS_BOUNDS

ALPHA = 0.05
RUNS, STEPS, LOOK_EVERY = 1_000, 3_000, 10


def no_difference(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Differences with mean zero in [-1, 1], runs by steps, of six very different kinds."""
    shape = (RUNS, STEPS)
    if kind == "wins":  # win, tie or loss
        return rng.choice([-1.0, 0.0, 1.0], size=shape, p=[0.1, 0.8, 0.1])
    if kind == "rare":  # skewed: a small gain mostly, a large loss now and then
        return np.where(rng.random(shape) < 0.02, -0.98, 0.02)
    if kind == "mirrored":  # a small loss mostly, a large gain now and then
        return np.where(rng.random(shape) < 0.02, 0.98, -0.02)
    if kind in ("brier", "log loss"):  # two models, equally far from the truth that decides the label
        truth = rng.beta(1, 4, shape)
        label = rng.random(shape) < truth
        shift = rng.normal(0, 0.05, shape)
        one, other = np.clip(truth + shift, 0, 1), np.clip(truth - shift, 0, 1)
        swap = rng.random(shape) < 0.5
        if kind == "brier":
            return np.where(swap, -1, 1) * ((one - label) ** 2 - (other - label) ** 2)
        right = [np.clip(np.where(label, score, 1 - score), CLIP, 1 - CLIP) for score in (one, other)]
        return np.where(swap, -1, 1) * (np.log(right[1]) - np.log(right[0])) / LOSS_BOUNDS["log_loss"]
    # Dependent: the size of the next difference follows the last ones (bursts), its sign is fair.
    burst = np.abs(np.sin(np.cumsum(rng.normal(0, 0.1, shape), axis=1)))
    return rng.choice([-1.0, 1.0], size=shape) * burst


def looks(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = np.arange(1, STEPS + 1)[LOOK_EVERY - 1 :: LOOK_EVERY]
    total = np.cumsum(differences, axis=1)[:, LOOK_EVERY - 1 :: LOOK_EVERY]
    squares = np.cumsum(differences**2, axis=1)[:, LOOK_EVERY - 1 :: LOOK_EVERY]
    return n, total, squares


@pytest.mark.parametrize("kind", ["wins", "rare", "mirrored", "brier", "log loss", "bursts"])
def test_under_no_difference_the_chance_of_ever_crossing_stays_below_alpha(kind):
    _, total, squares = looks(no_difference(kind, np.random.default_rng(20130101)))
    goal = math.log(2 / ALPHA)  # what `difference` asks of either side
    crossed = (log_evidence(total, squares) >= goal) | (log_evidence(-total, squares) >= goal)
    assert crossed.any(axis=1).mean() <= ALPHA


def test_an_interval_made_to_be_looked_at_once_fails_this_very_test():
    """The negative control: with 300 looks, the textbook interval errs far more than it says."""
    n, total, squares = looks(no_difference("wins", np.random.default_rng(20130101)))
    deviation = np.sqrt(squares / n - (total / n) ** 2)
    with np.errstate(invalid="ignore"):
        crossed = np.abs(total / n) > 1.96 * deviation / np.sqrt(n)
    assert crossed[:, 20:].any(axis=1).mean() > 5 * ALPHA


@pytest.mark.parametrize("mean", [-0.3, 0.05, 0.6])
def test_the_true_mean_stays_inside_wherever_it_lies(mean):
    rng = np.random.default_rng(7)
    half = min(1 - abs(mean), 0.4)
    differences = rng.uniform(mean - half, mean + half, (200, STEPS))
    n, total, squares = looks(differences)
    missed = 0
    for run in range(200):
        at = [difference(PairedSums(int(k), t, s), 1.0, ALPHA)
              for k, t, s in zip(n[::40], total[run, ::40], squares[run, ::40], strict=True)]  # fmt: skip
        missed += any(i.lower > mean or i.upper < mean for i in at)
    assert missed / 200 <= ALPHA


def test_a_difference_is_found_and_with_which_delay():
    """Power, so that a sequence that never decides anything cannot pass: mean 0.05, sd 0.44, 4,000 pairs."""
    rng = np.random.default_rng(3)
    wins = rng.choice([-1.0, 0.0, 1.0], size=(400, 4_000), p=[0.075, 0.8, 0.125])
    total, squares = wins.cumsum(axis=1)[:, 9::10], (wins**2).cumsum(axis=1)[:, 9::10]
    crossed = log_evidence(total, squares) >= math.log(2 / ALPHA)
    assert crossed.any(axis=1).mean() > 0.98
    first = np.where(crossed.any(axis=1), 10 * (crossed.argmax(axis=1) + 1), 4_000)
    assert 800 < np.median(first) < 2_000  # a test with one look and the same alpha needs about 800


def test_sums_merge_in_any_order_and_cut():
    rng = np.random.default_rng(11)
    values = rng.integers(-8, 9, 900) / 8  # exact in binary, so that sums are equal in every order
    whole = PairedSums(900, float(values.sum()), float((values**2).sum()))
    parts = [PairedSums(len(p), float(p.sum()), float((p**2).sum())) for p in np.array_split(values, 13)]
    merged = PairedSums()
    for part in reversed(parts):
        merged += part
    assert merged == whole
    assert difference(merged, 1.0, ALPHA) == difference(whole, 1.0, ALPHA)


def test_bounds_scale_and_signs_mirror():
    sums = PairedSums(500, 20.0, 30.0)
    plain, mirrored = difference(sums, 1.0, ALPHA), difference(-sums, 1.0, ALPHA)
    assert (plain.lower, plain.upper) == (-mirrored.upper, -mirrored.lower)
    seven = difference(PairedSums(500, 140.0, 30.0 * 49), 7.0, ALPHA)
    assert seven.lower == pytest.approx(7 * plain.lower)
    assert seven.exact


def test_nothing_is_known_before_the_first_pair():
    nothing = difference(PairedSums(), 6.9, ALPHA)
    assert (nothing.lower, nothing.upper) == (-6.9, 6.9)
    assert not nothing.above(-100)
    assert not nothing.below(100)


@pytest.mark.parametrize("sums", [PairedSums(10, 11.0, 5.0), PairedSums(10, 0.0, 10.5)])
def test_sums_that_break_the_bound_are_refused(sums):
    with pytest.raises(ValueError, match="not the sums of differences within 1"):
        difference(sums, 1.0, ALPHA)


@pytest.mark.parametrize("n", [1, 10, 10**6, 10**10])
def test_the_width_stays_within_three_times_the_textbook_one(n):
    found = difference(PairedSums(n, 0.0, 0.2 * n), 1.0, ALPHA)
    textbook = 1.96 * math.sqrt(0.2 / n)
    if n >= 1_000:
        assert found.upper < 3 * textbook
    assert found.upper <= 1.0
