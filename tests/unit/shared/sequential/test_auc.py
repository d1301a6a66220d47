"""Areas against scikit-learn on the same rows; the asymptotic sequence by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from shared.sequential import BinnedScores, auc, auc_difference

BINS = np.linspace(0, 1, 65)[1:-1]
LOOKS = (20, 50, 100, 200, 350, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000)
"""From far too few labels on: what is asymptotic is looked at where it might not hold yet."""


def binned(scores: np.ndarray, labels: np.ndarray) -> BinnedScores:
    which = np.searchsorted(BINS, scores, side="right")
    return BinnedScores(
        tuple(np.bincount(which[labels], minlength=64).tolist()),
        tuple(np.bincount(which[~labels], minlength=64).tolist()),
    )


def test_the_area_is_that_of_the_binned_scores_exactly():
    rng = np.random.default_rng(1)
    labels = rng.random(5_000) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.2 * labels, 0.15), 0, 1)
    coarse = np.searchsorted(BINS, scores, side="right")
    assert math.isclose(auc(binned(scores, labels)), roc_auc_score(labels, coarse), abs_tol=1e-12)
    assert abs(auc(binned(scores, labels)) - roc_auc_score(labels, scores)) < 0.001


def test_one_class_alone_has_no_area_and_decides_nothing():
    assert math.isnan(auc(BinnedScores((0, 0), (5, 5))))
    found = auc_difference(BinnedScores((0, 0), (5, 5)), BinnedScores((0, 0), (9, 1)), 0.05)
    assert (found.lower, found.upper, found.exact) == (-1.0, 1.0, False)


def test_equal_models_are_almost_never_told_apart():
    crossed = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        labels = rng.random(LOOKS[-1]) < 0.25
        one, other = (np.clip(rng.normal(0.3 + 0.2 * labels, 0.2), 0, 1) for _ in range(2))
        for n in LOOKS:
            found = auc_difference(binned(one[:n], labels[:n]), binned(other[:n], labels[:n]), 0.05)
            if found.above(0) or found.below(0):
                crossed += 1
                break
    assert crossed / 80 <= 0.05


def test_a_better_model_is_found():
    rng = np.random.default_rng(5)
    labels = rng.random(20_000) < 0.25
    worse = np.clip(rng.normal(0.3 + 0.1 * labels, 0.2), 0, 1)
    better = np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0, 1)
    found = auc_difference(binned(worse, labels), binned(better, labels), 0.05)
    assert found.above(0.1)
    assert found.lower < roc_auc_score(labels, better) - roc_auc_score(labels, worse) < found.upper


def test_perfect_separation_is_no_proof_from_few_labels():
    found = auc_difference(BinnedScores((3, 3), (3, 3)), BinnedScores((0, 6), (6, 0)), 0.05)
    assert found.estimate == 0.5
    assert not found.above(0)


def joint(one: np.ndarray, other: np.ndarray, labels: np.ndarray) -> tuple[list, list]:
    coarse = np.linspace(0, 1, 17)[1:-1]
    pairs = np.column_stack([np.searchsorted(coarse, s, side="right") for s in (one, other)])
    found = []
    for rows in (pairs[labels], pairs[~labels]):
        unique, counts = np.unique(rows, axis=0, return_counts=True)
        found.append([(int(a), int(b), int(c)) for (a, b), c in zip(unique, counts, strict=True)])
    return found[0], found[1]


def correlated(
    rng: np.random.Generator, n: int, positive: float = 0.25
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = rng.random(n) < positive
    common = rng.normal(0.3 + 0.2 * labels, 0.2)
    return labels, *(np.clip(common + rng.normal(0, 0.05, n), 0, 1) for _ in range(2))


def test_joint_counts_tell_how_the_areas_vary_together():
    """The spread of the difference over 150 samples of two correlated models is the one that is stated."""
    rng = np.random.default_rng(2)
    differences, widths, without = [], [], []
    for _ in range(150):
        labels, one, other = correlated(rng, 3_000)
        pair = (binned(one, labels), binned(other, labels))
        found = auc_difference(*pair, 0.05, joint(one, other, labels))
        differences.append(found.estimate)
        widths.append(found.upper - found.lower)
        without.append(auc_difference(*pair, 0.05).upper - auc_difference(*pair, 0.05).lower)
    # The sequence is about 3.3 standard errors to either side at 3,000 labels.
    assert 5 < np.median(widths) / np.std(differences) < 9
    assert np.median(widths) < 0.35 * np.median(without)


@pytest.mark.parametrize("positive", [0.25, 0.03])
def test_correlated_equal_models_are_almost_never_told_apart(positive):
    """Neither are they with few positives."""
    crossed = 0
    for seed in range(60):
        labels, one, other = correlated(np.random.default_rng(seed), LOOKS[-1], positive)
        for n in LOOKS:
            cut = labels[:n], one[:n], other[:n]
            pair = (binned(cut[1], cut[0]), binned(cut[2], cut[0]))
            found = auc_difference(*pair, 0.05, joint(cut[1], cut[2], cut[0]))
            if found.above(0) or found.below(0):
                crossed += 1
                break
    assert crossed / 60 <= 0.05
