"""Notifications on their way: one queue per receiver, so that a slow one holds nobody else."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shared.alerting.conditions import matches
from shared.alerting.durations import milliseconds
from shared.alerting.muting import alert_labels
from shared.alerting.posting import Outcome
from shared.alerting.rules import Receiver
from shared.alerting.states import Delivery, delivery_key
from shared.messages import Alert, Redeliver

DELIVERY: Final = "delivery"
"""First part of a record's key."""

FIRST_BACKOFF_MS: Final = 500
LONGEST_BACKOFF_MS: Final = 60_000

MOST_DONE: Final = 2_000
"""Delivered ones that are remembered, so that a replay does not deliver them again."""

MOST_KEPT: Final = 20_000
"""Waiting and given-up ones of one receiver; past it the oldest that were given up go."""

_encode = msgspec.json.encode


class Outbox:
    """The queues of all receivers; pure, and drained into records like the engine.

    Parameters
    ----------
    receivers
        From the rules file.
    jitter
        Returns a number in [0, 1): receivers that were away are not met by all at once.
    """

    def __init__(self, receivers: Sequence[Receiver], *, jitter: random.Random | None = None) -> None:
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._all: dict[str, Delivery] = {}
        self._waiting: dict[str, dict[str, Delivery]] = {name: {} for name in self._receivers}
        self._dirty: dict[str, bytes | None] = {}

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out."""
        found = [
            msgspec.json.decode(value, type=Delivery)
            for key, value in records.items()
            if key.startswith(DELIVERY + "/")
        ]
        for delivery in sorted(found, key=lambda one: (one.created_at, one.alert.changed_at)):
            self._all[delivery.key] = delivery
            if delivery.state == "waiting" and delivery.receiver in self._waiting:
                self._waiting[delivery.receiver][delivery.key] = delivery

    def notify(self, alert: Alert, now: int) -> list[str]:
        """Put a notification into the queue of every receiver that wants it; return their names.

        One that is known already stays as it is: the same alert was found again, after a crash or in a
        replay.
        """
        labels = alert_labels(alert)
        wanted = [
            receiver.name
            for receiver in self._receivers.values()
            if matches(receiver.match, labels) and (alert.status == "firing" or receiver.send_resolved)
        ]
        for name in wanted:
            key = delivery_key(name, alert)
            if key not in self._all:
                delivery = Delivery(key, name, alert, created_at=now, next_at=now)
                self._all[key] = self._waiting[name][key] = delivery
                self._keep(delivery)
        self._prune()
        return wanted

    def redeliver(self, asked: Redeliver, now: int) -> int:
        """Queue again what was given up, or everything of one alert; return how many."""
        chosen = [
            delivery
            for delivery in self._all.values()
            if delivery.receiver in self._waiting
            and asked.receiver in (None, delivery.receiver)
            and (
                delivery.state == "given-up"
                if asked.alert_id is None
                else delivery.alert.alert_id == asked.alert_id
            )
        ]
        for delivery in chosen:
            delivery.state, delivery.attempts, delivery.next_at = "waiting", 0, now
            delivery.created_at, delivery.error = now, ""
            self._waiting[delivery.receiver][delivery.key] = delivery
            self._keep(delivery)
        return len(chosen)

    def due(self, receiver: str, now: int) -> Delivery | None:
        """Return what to try now: in order for each alert, so that nobody hears of its end first."""
        blocked: set[str] = set()
        for delivery in self._waiting[receiver].values():
            alert = delivery.alert.alert_id
            if alert not in blocked and delivery.next_at <= now:
                return delivery
            blocked.add(alert)
        return None

    def settle(self, delivery: Delivery, outcome: Outcome, now: int) -> None:
        """Note what became of an attempt: delivered, tried again later, or given up."""
        receiver = self._receivers[delivery.receiver]
        delivery.attempts += 1
        delivery.error = outcome.error
        too_old = now - delivery.created_at >= milliseconds(receiver.give_up_after)
        if outcome.delivered or not outcome.again or too_old:
            delivery.state = "delivered" if outcome.delivered else "given-up"
            delivery.done_at = now
            self._waiting[delivery.receiver].pop(delivery.key, None)
        else:
            delivery.next_at = now + self._pause(delivery.attempts, outcome.after)
        self._keep(delivery)

    def waiting(self, receiver: str) -> int:
        """Return how long a queue is."""
        return len(self._waiting[receiver])

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete."""
        dirty, self._dirty = self._dirty, {}
        return dirty

    def _pause(self, attempts: int, asked: float) -> int:
        """Return milliseconds to the next attempt: doubled each time, half of it by chance."""
        backoff = min(FIRST_BACKOFF_MS * 2 ** min(attempts - 1, 20), LONGEST_BACKOFF_MS)
        return max(int(backoff * (0.5 + 0.5 * self._jitter.random())), int(asked * 1000))

    def _keep(self, delivery: Delivery) -> None:
        self._dirty[f"{DELIVERY}/{delivery.key}"] = _encode(delivery)

    def _prune(self) -> None:
        if len(self._all) <= MOST_DONE:
            return
        done = [one for one in self._all.values() if one.state == "delivered"]
        surplus = sorted(done, key=lambda one: one.done_at)[: max(0, len(done) - MOST_DONE)]
        if len(self._all) - len(surplus) > MOST_KEPT:
            given_up = [one for one in self._all.values() if one.state == "given-up"]
            surplus += sorted(given_up, key=lambda one: one.done_at)[
                : len(self._all) - len(surplus) - MOST_KEPT
            ]
        for delivery in surplus:
            del self._all[delivery.key]
            self._dirty[f"{DELIVERY}/{delivery.key}"] = None
