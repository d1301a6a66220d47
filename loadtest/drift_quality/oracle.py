"""The CUSUM that knows what the values will be like after the change: as fast as can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from loadtest.drift_quality.streams import FEATURES, Floats

_LOW = 4.0
_PARALLEL, _STEPS, _BURN_IN = 4_000, 2_000, 200


def threshold(log_ratio: Callable[[Floats], Floats], events_between_alarms: float, seed: int = 0) -> float:
    """Return the CUSUM's threshold for a false-alarm budget that ten features share.

    The rate of false alarms falls as exp(-threshold); it is measured at a low threshold, where
    alarms are frequent, and extrapolated. Where a change cannot come about by chance at all (a missing value
    where there are none), the threshold is the one that is always safe, log(A d) (Lorden 1971).
    """
    rng = np.random.default_rng([7_001, seed])
    budget = np.log(events_between_alarms * FEATURES)
    level, alarms = np.zeros(_PARALLEL), 0
    for step in range(_STEPS):
        level = np.maximum(level, 0.0) + log_ratio(rng.normal(size=_PARALLEL))
        crossed = level >= _LOW
        alarms += int(crossed.sum()) if step >= _BURN_IN else 0
        level[crossed] = 0.0
    if alarms < 100:
        return float(budget)
    return float(_LOW + budget + np.log(alarms / (_PARALLEL * (_STEPS - _BURN_IN))))


def delay(gains: Floats, limit: float) -> int | None:
    """Return after how many values the CUSUM of these gains reaches its threshold, None where it does not.

    Examples
    --------
    >>> delay(np.array([-5.0, 2.0, 2.0, 2.0]), 3.5)
    3
    """
    total = np.cumsum(gains)
    lowest = np.minimum.accumulate(np.concatenate([[0.0], total[:-1]]))
    above = np.flatnonzero(total - lowest >= limit)
    return int(above[0]) + 1 if len(above) else None
