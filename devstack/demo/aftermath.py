"""What becomes known later: the label and the delay of every flight, an hour of flight time after it left."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from devstack.demo.events import Outgoing
from shared.messages import Label, Outcome

DELAY_MS = 3_600_000
OUTCOME = "arrival_delay"

_encode = msgspec.json.Encoder().encode


class Followup(NamedTuple):
    """A label or an outcome to send."""

    topic: str
    key: bytes
    value: bytes


class Aftermath:
    """Holds back what came of each flight until flight time has gone on by an hour.

    Parameters
    ----------
    labels, outcomes
        Topics to send to.

    Attributes
    ----------
    labels_sent
        How many have been let go.
    """

    def __init__(self, labels: str, outcomes: str) -> None:
        self._labels, self._outcomes = labels, outcomes
        self._waiting: list[tuple[int, str, tuple[str, float]]] = []
        self.labels_sent = 0

    def after(self, record: Outgoing) -> Iterator[Followup]:
        """Note a record that is sent now, and yield what is known by its time."""
        if record.event_id is None or record.came_of_it is None:
            return
        known_at = record.occurred_at + DELAY_MS
        heapq.heappush(self._waiting, (known_at, record.event_id, record.came_of_it))
        while self._waiting[0][0] <= record.occurred_at:
            at, event_id, (label, delay) = heapq.heappop(self._waiting)
            self.labels_sent += 1
            key = event_id.encode()
            yield Followup(self._labels, key, _encode(Label(event_id=event_id, label=label, observed_at=at)))
            outcome = Outcome(kpi=OUTCOME, value=delay, observed_at=at, event_id=event_id)
            yield Followup(self._outcomes, key, _encode(outcome))
