"""The drift detector for one stream of values, as a River detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from river.base import DriftDetector

from shared.drift.alarm import Alarm
from shared.drift.alternatives import channel_bets
from shared.drift.baseline import Baseline
from shared.drift.channel import Kind
from shared.drift.detector import Detector
from shared.drift.fitting import MIN_ROWS, fit_channel
from shared.drift.slots import SlotCounter


class ESRDrift(DriftDetector):
    """E-SR: mixture Shiryaev-Roberts e-detector against a baseline.

    It raises at most one false alarm per ``events_between_alarms`` values on average [1]_, however
    long it runs, and detects a change within about 1.5 times the delay of a CUSUM that knows what the
    change will be, the fastest there is [2]_ (docs/drift-detection.md has the table). Values are taken
    in slots of 16. The values it learns from are in the order of time: what they show of autocorrelation
    is priced in, and delays grow by as much. A stream that follows the hour needs a baseline with times
    (:func:`shared.drift.fit_baseline`): here a season is a change.

    Parameters
    ----------
    reference
        Training values, in the order of time. Without them the detector learns from the first
        ``cold_start`` values: then it cannot know whether those were normal.
    kind
        ``numeric``, ``categorical`` or ``boolean``.
    events_between_alarms
        A: mean number of values between false alarms.
    cold_start
        Values to learn from where there is no reference; 512 or more.

    Attributes
    ----------
    alarm
        The last alarm: kind of change, evidence, change point; None before the first.

    References
    ----------
    .. [1] Shin, J., Ramdas, A. and Rinaldo, A. (2022). E-detectors: a nonparametric framework for
       sequential change detection. arXiv:2203.03532.
    .. [2] Moustakides, G. V. (1986). Optimal stopping times for detecting changes in distributions.
       The Annals of Statistics 14(4), 1379-1387.

    Examples
    --------
    >>> import random
    >>> source = random.Random(12345)
    >>> values = [source.gauss(0, 1) for _ in range(6_000)] + [source.gauss(1, 1) for _ in range(500)]
    >>> drift = ESRDrift(cold_start=5_000)
    >>> for i, value in enumerate(values):
    ...     drift.update(value)
    ...     if drift.drift_detected:
    ...         print(f"{drift.alarm.change} at {i}, {drift.alarm.detail}")
    ...         break
    location at 6039, mean +1.28 sd
    """

    def __init__(
        self,
        reference: Sequence[Any] | None = None,
        kind: Kind = "numeric",
        events_between_alarms: float = 1e6,
        cold_start: int = 5_000,
    ) -> None:
        super().__init__()
        if cold_start < MIN_ROWS:
            raise ValueError(f"cold_start must be {MIN_ROWS} or more: fewer values are no baseline")
        self.reference = reference
        self.kind = kind
        self.events_between_alarms = events_between_alarms
        self.cold_start = cold_start
        self.alarm: Alarm | None = None
        self._learnt: list[Any] = []
        self._counter: SlotCounter | None = None
        self._detector: Detector | None = None
        if reference is not None:
            self._fit(reference)

    def update(self, x: Any) -> None:
        """Take one value of any type; ``drift_detected`` says whether it completed an alarm.

        Raises
        ------
        ValueError
            The values of the cold start cannot be a baseline; the message says why.
        """
        self._drift_detected = False
        if self._counter is None or self._detector is None:
            self._learnt.append(x)
            if len(self._learnt) >= self.cold_start:
                self._fit(self._learnt)
                self._learnt = []
            return
        alarms = self._detector.update(self._counter.add({"x": [x]}))
        if alarms:
            self.alarm = alarms[-1]
            self._drift_detected = True

    def _fit(self, values: Sequence[Any]) -> None:
        channel = fit_channel("x", self.kind, values, np.zeros(len(values)))
        if channel.reason is not None:
            raise ValueError(f"the values cannot be a baseline: {channel.reason}")
        self._counter = SlotCounter(Baseline(channels=(channel,)))
        self._detector = Detector([channel_bets(channel)], self.events_between_alarms)
