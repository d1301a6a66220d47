"""Streams without drift, endless and seeded: what every false alarm is counted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]

Seed = int | list[int]

FEATURES = 10
NAMES = tuple(f"f{i}" for i in range(FEATURES))
BASELINE_ROWS = 100_000
AUTOCORRELATION = 0.7
SEASON = 0.5
GAP_SECONDS = 60.0
DAY = 86_400.0


@dataclass(slots=True)
class Piece:
    """Consecutive events.

    Attributes
    ----------
    values
        Shape ``(features, n)``; NaN is missing.
    times
        Seconds since 1970 UTC, shape ``(n,)``.
    """

    values: Floats
    times: Floats

    def columns(self) -> dict[str, Floats]:
        """Return the values by feature name."""
        return dict(zip(NAMES, self.values, strict=True))


class Stream:
    """A stream that can be taken piece by piece; the same seed gives the same events.

    Parameters
    ----------
    draw
        Called with the generator, the number of events and their times; returns the values.
    """

    def __init__(self, draw: Callable[[np.random.Generator, Floats], Floats], seed: Seed) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(seed)
        self._next = 0

    def take(self, events: int) -> Piece:
        """Return the next events."""
        times = np.arange(self._next, self._next + events, dtype=np.float64) * GAP_SECONDS
        self._next += events
        return Piece(self._draw(self._rng, times), times)


def stationary(seed: Seed) -> Stream:
    """Return ten independent standard normal features."""
    return Stream(lambda rng, times: rng.normal(size=(FEATURES, len(times))), seed)


def autocorrelated(seed: Seed) -> Stream:
    """Return ten AR(1) features with coefficient 0.7, standard normal each."""
    level = np.zeros((FEATURES, 1))

    def draw(rng: np.random.Generator, times: Floats) -> Floats:
        shocks = rng.normal(size=(FEATURES, len(times))) * np.sqrt(1 - AUTOCORRELATION**2)
        values, level[:] = lfilter([1.0], [1.0, -AUTOCORRELATION], shocks, zi=level)
        return np.asarray(values)

    return Stream(draw, seed)


def seasonal(seed: Seed) -> Stream:
    """Return ten normal features whose mean swings by half a standard deviation in a day of 1,440 events."""

    def draw(rng: np.random.Generator, times: Floats) -> Floats:
        swing: Floats = SEASON * np.sin(2 * np.pi * times / DAY)
        return rng.normal(size=(FEATURES, len(times))) + swing

    return Stream(draw, seed)


def shuffled_flights(seed: Seed) -> Stream:
    """Return flights of 2013 drawn at random: real distributions and relations, no drift by construction."""
    rows = flight_values()
    return Stream(lambda rng, times: rows[:, rng.integers(0, rows.shape[1], len(times))], seed)


@cache
def flight_values() -> Floats:
    """Return ten numeric features of every flight of 2013, shape ``(10, 327346)``."""
    from devstack.demo.flights import load_flights

    names = [
        "dep_delay",
        "distance",
        "hour",
        "day_of_week",
        "temp",
        "dewp",
        "humid",
        "wind_speed",
        "pressure",
    ]
    frame: Any = load_flights()[[*names, "visib"]]
    return np.ascontiguousarray(frame.to_numpy(np.float64).T)


STREAMS: dict[str, Callable[[Seed], Stream]] = {
    "stationary": stationary,
    "AR(1) 0.7": autocorrelated,
    "daily season": seasonal,
    "shuffled flights": shuffled_flights,
}
