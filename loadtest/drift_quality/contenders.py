"""Detectors that run in this process: Driftline's, and River's at their defaults, one per feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from river import drift

from loadtest.drift_quality.changes import DRIFTED
from loadtest.drift_quality.streams import NAMES, Floats, Piece
from shared.drift import Alarm, Baseline, Detector, SlotCounter, channel_bets, fit_baseline

BATCH = 4_096
WARM_UP = 10_000
KSWIN_WARM_UP = 500


class Contender(Protocol):
    """A detector of drift in ten features, fresh from its training data."""

    def false_alarms(self, piece: Piece) -> int:
        """Return how many alarms the next events raise."""

    def delay(self, before: Piece, after: Piece) -> int | None:
        """Return after how many events of ``after`` the drifted feature alarms, None where it does not."""


class Driftline:
    """The e-SR detector against a baseline of the training data."""

    def __init__(self, baseline: Baseline, events_between_alarms: float) -> None:
        self._baseline = baseline
        self._bets = [channel_bets(channel) for channel in baseline.calibrated]
        self._budget = events_between_alarms
        self._begin()

    def _begin(self) -> None:
        self._detector, self._counter = Detector(self._bets, self._budget), SlotCounter(self._baseline)

    def false_alarms(self, piece: Piece) -> int:
        """Return how many alarms the next events raise."""
        return sum(1 for _ in self._alarms(piece))

    def delay(self, before: Piece, after: Piece) -> int | None:
        """Return the delay in events; a joint channel's alarm counts, for the feature moved in it."""
        self._begin()
        list(self._alarms(before))
        for alarm in self._alarms(after):
            if alarm.channel == NAMES[DRIFTED] or alarm.channel.startswith("joint"):
                return alarm.event - len(before.times)
        return None

    def _alarms(self, piece: Piece) -> Iterator[Alarm]:
        for start in range(0, len(piece.times), BATCH):
            part = slice(start, start + BATCH)
            columns = {name: values[part] for name, values in piece.columns().items()}
            yield from self._detector.update(self._counter.add(columns, piece.times[part]))


def driftline(training: Piece, events_between_alarms: float) -> Driftline:
    """Return Driftline's detector, its baseline fitted from the training data."""
    kinds: dict[str, Any] = dict.fromkeys(NAMES, "numeric")
    return Driftline(fit_baseline(training.columns(), kinds, training.times), events_between_alarms)


class River:
    """One of River's detectors per feature; each is shown the last training values first.

    Those are 10,000, or for KSWIN, which remembers 100, the last 500.
    """

    def __init__(self, make: Callable[[], Any], training: Piece) -> None:
        self._make = make
        self._last = training.values[:, -(KSWIN_WARM_UP if make is _kswin else WARM_UP) :]
        self._detectors: list[Any] = []

    def false_alarms(self, piece: Piece) -> int:
        """Return how many alarms the next events raise, all features together."""
        if not self._detectors:
            self._detectors = [self._warm(feature) for feature in range(len(NAMES))]
        return sum(len(_feed(d, v)) for d, v in zip(self._detectors, piece.values, strict=True))

    def delay(self, before: Piece, after: Piece) -> int | None:
        """Return the delay in events."""
        detector = self._warm(DRIFTED)
        _feed(detector, before.values[DRIFTED])
        alarms = _feed(detector, after.values[DRIFTED], first=True)
        return alarms[0] + 1 if alarms else None

    def _warm(self, feature: int) -> Any:
        detector = self._make()
        _feed(detector, self._last[feature])
        return detector


def _feed(detector: Any, values: Floats, *, first: bool = False) -> list[int]:
    """Return where a detector alarmed; a missing value is passed over."""
    alarms = []
    for i, value in enumerate(values.tolist()):
        if np.isnan(value):
            continue
        detector.update(value)
        if detector.drift_detected:
            alarms.append(i)
            if first:
                break
    return alarms


def _kswin() -> Any:
    return drift.KSWIN(seed=1)


RIVER: dict[str, Callable[[], Any]] = {
    "River ADWIN": drift.ADWIN,
    "River PageHinkley": drift.PageHinkley,
    "River KSWIN": _kswin,
}
