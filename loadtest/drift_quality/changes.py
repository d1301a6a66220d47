"""Kinds of drift in one of ten standard normal features, and the law of each for the CUSUM that knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from loadtest.drift_quality.streams import Floats

DRIFTED = 3
RAMP = 20_000
MISSING = 0.02
KILOMETRES, STRUCK, MILES = 1.609, 0.1, 3.0
NEVER = 1e-5
"""Share of missing values that the knowing CUSUM allows for before the change: training had none."""
_HEAVY = 1 / np.sqrt(3)


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of drift.

    Attributes
    ----------
    name
        For the table.
    apply
        Values of the feature after the change, from standard normal ones.
    log_ratio
        Log-likelihood ratio of each value, after against before.
    """

    name: str
    apply: Callable[[Floats, np.random.Generator], Floats]
    log_ratio: Callable[[Floats], Floats]


def _mean(shift: float) -> Change:
    return Change(
        f"mean {shift:+g} sd", lambda z, rng: z + shift, lambda x: np.asarray(shift * x - shift**2 / 2)
    )


def _spread(scale: float) -> Change:
    return Change(
        f"spread x{scale:g}",
        lambda z, rng: z * scale,
        lambda x: np.asarray(x**2 / 2 * (1 - 1 / scale**2) - np.log(scale)),
    )


def _missing(z: Floats, rng: np.random.Generator) -> Floats:
    return np.where(rng.random(len(z)) < MISSING, np.nan, z)


def _missing_ratio(x: Floats) -> Floats:
    gone, there = np.log(MISSING / NEVER), np.log((1 - MISSING) / (1 - NEVER))
    return np.asarray(np.where(np.isnan(x), gone, there), np.float64)


def _heavy(z: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(rng.standard_t(3, size=len(z)) * _HEAVY)


def _heavy_ratio(x: Floats) -> Floats:
    return np.asarray(t.logpdf(x, 3, scale=_HEAVY) - norm.logpdf(x))


def _kilometres(z: Floats, rng: np.random.Generator) -> Floats:
    return np.where(rng.random(len(z)) < STRUCK, (z + MILES) * KILOMETRES - MILES, z)


def _kilometres_ratio(x: Floats) -> Floats:
    mixed = (1 - STRUCK) * norm.pdf(x) + STRUCK * norm.pdf(x, MILES * (KILOMETRES - 1), KILOMETRES)
    return np.asarray(np.log(mixed) - norm.logpdf(x))


def _ramp(z: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(z + 0.5 * np.minimum(np.arange(len(z)) / RAMP, 1.0))


CHANGES: tuple[Change, ...] = (
    _mean(0.1),
    _mean(0.25),
    _mean(1.0),
    _spread(1.2),
    _spread(0.7),
    Change("missing, none to 2 %", _missing, _missing_ratio),
    Change("heavy tails (t, 3 degrees)", _heavy, _heavy_ratio),
    Change("one in ten in kilometres", _kilometres, _kilometres_ratio),
    Change("mean rising to +0.5 sd in 20,000", _ramp, _mean(0.25).log_ratio),
)
"""The knowing CUSUM of the ramp waits for +0.25 sd: which level it has reached, it cannot know."""
