"""The demo's own books: what was sent, what came back, and how long it took."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from devstack.demo.events import Outgoing
from devstack.demo.faults import FAULTS

RECENT = 20_000
"""Latencies kept for the live percentiles."""


class Ledger:
    """Matches every event sent with the predictions and dead letters that came back.

    Times are seconds of one monotonic clock, given by the caller.
    """

    def __init__(self) -> None:
        self.good = 0
        self.bad: Counter[str] = Counter()
        self.predictions = 0
        self.dead_letters = 0
        self.late = 0
        self.versions: Counter[str] = Counter()
        self.problems: list[str] = []
        self._sent_at: dict[str, float] = {}
        self._times_predicted: Counter[str] = Counter()
        self._bad_values: dict[bytes, str] = {}
        self._explained: set[bytes] = set()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._latencies: list[float] = []
        self.first_prediction_at: float | None = None
        self.last_event_id = ""

    def sent(self, record: Outgoing, at: float) -> None:
        """Note a record handed to the producer, before it can possibly come back."""
        if record.event_id is None:
            assert record.fault is not None
            self.bad[record.fault] += 1
            self._bad_values[record.value] = record.fault
        else:
            self.good += 1
            self._sent_at[record.event_id] = at
            self.last_event_id = record.event_id

    def predicted(self, event_id: str, version: str, label: str | None, at: float) -> None:
        """Note a visible prediction."""
        self.predictions += 1
        self.versions[version] += 1
        self.late += label == "late"
        sent_at = self._sent_at.get(event_id)
        if sent_at is None:
            self.problems.append(f"a prediction for {event_id}, which was never sent as a good event")
            return
        self._times_predicted[event_id] += 1
        if self._times_predicted[event_id] == 1:
            self._recent.append(at - sent_at)
            self._latencies.append(at - sent_at)
        if self.first_prediction_at is None:
            self.first_prediction_at = at

    def dead_lettered(self, value: bytes | None, reason: str) -> None:
        """Note a dead letter: it must be the very bytes of a bad event, its reason naming the fault."""
        self.dead_letters += 1
        fault = self._bad_values.get(value) if value is not None else None
        if fault is None:
            shown = (value or b"")[:120].decode(errors="replace")
            self.problems.append(f"a dead letter that is no bad event we sent ({reason}): {shown}")
            return
        assert value is not None
        self._explained.add(value)
        if FAULTS[fault][1] not in reason:
            self.problems.append(f"the dead letter of {fault!r} gives a reason that hides it: {reason!r}")

    @property
    def waiting(self) -> int:
        """Good events without a prediction yet."""
        return self.good - len(self._times_predicted)

    @property
    def repeated(self) -> int:
        """Events with more than one prediction."""
        return sum(times > 1 for times in self._times_predicted.values())

    @property
    def unexplained(self) -> int:
        """Bad events without a dead letter yet."""
        return len(self._bad_values) - len(self._explained)

    @property
    def complete(self) -> bool:
        """Whether everything sent has been answered."""
        return not self.waiting and not self.unexplained

    def missing(self, at_most: int = 3) -> list[str]:
        """Return the first few events sent that have no prediction."""
        unanswered = (event_id for event_id in self._sent_at if event_id not in self._times_predicted)
        return [event_id for event_id, _ in zip(unanswered, range(at_most), strict=False)]

    def recent_percentiles(self) -> tuple[float, float]:
        """Return p50 and p99 in milliseconds of the last predictions, NaN before the first."""
        return percentiles_ms(self._recent)

    def percentiles(self) -> tuple[float, float]:
        """Return p50 and p99 in milliseconds over the whole run, NaN before the first."""
        return percentiles_ms(self._latencies)


def percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the 50th and 99th percentile in milliseconds; NaN without values.

    Examples
    --------
    >>> percentiles_ms([0.010, 0.020, 0.030])
    (20.0, 29.8)
    """
    if not seconds:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return round(float(p50), 1), round(float(p99), 1)
