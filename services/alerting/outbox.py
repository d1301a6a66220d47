"""Notifications on their way: one queue per receiver, so that a slow one holds nobody else."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import msgspec

from shared.alerting.conditions import matches
from shared.alerting.durations import milliseconds
from shared.alerting.muting import alert_labels
from shared.alerting.posting import LONGEST_WAIT, Outcome
from shared.alerting.rules import Receiver
from shared.alerting.states import Delivery, delivery_key
from shared.errors import ProcessError
from shared.messages import Alert, Redeliver

DELIVERY: Final = "delivery"
"""First part of a record's key."""

FIRST_BACKOFF_MS: Final = 500
LONGEST_BACKOFF_MS: Final = 60_000
LONGEST_PAUSE_MS: Final = max(LONGEST_BACKOFF_MS, int(LONGEST_WAIT * 1000))

MOST_DONE: Final = 2_000
"""Delivered and given-up ones that are remembered, so that a replay of reports does not repeat them."""

MOST_WAITING: Final = 10_000
"""Waiting ones of one receiver; past it the oldest is given up."""

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
        self._ends: dict[tuple[str, str], Delivery] = {}
        self._waiting: dict[str, dict[str, Delivery]] = {name: {} for name in self._receivers}
        self._done: dict[str, Delivery] = {}
        self._given_up: list[Delivery] = []
        self._dirty: dict[str, bytes | None] = {}

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out."""
        found = [
            msgspec.json.decode(value, type=Delivery)
            for key, value in records.items()
            if key.startswith(DELIVERY + "/")
        ]
        began: dict[tuple[str, str], int] = {}
        for one in found:  # a clock that was ahead or behind must not put an end before its beginning
            began[_whose(one)] = min(began.get(_whose(one), one.created_at), one.created_at)
        for delivery in sorted(found, key=lambda one: (began[_whose(one)], *_age(one))):
            self._add(delivery)
            if delivery.state == "waiting" and delivery.receiver in self._waiting:
                self._waiting[delivery.receiver][delivery.key] = delivery
        done = [delivery for delivery in self._all.values() if delivery.state != "waiting"]
        self._done = {delivery.key: delivery for delivery in sorted(done, key=lambda one: one.done_at)}

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
                self._add(delivery)
                self._waiting[name][key] = delivery
                self._keep(delivery)
                self._crowded(name, now)
        return wanted

    def redeliver(self, asked: Redeliver, now: int, standing: Collection[str]) -> int:
        """Queue again what was given up, what one alert delivered, or one notification; return how many.

        A beginning goes out only if the alert stands, or if its end follows: whoever heard the end drops it
        when it comes again under its key, and would take the alert for one that fires.
        Of one alert, what was given up is left to its dead letter, so that it is not sent twice.

        Parameters
        ----------
        standing
            Ids of the alerts that fire.

        Raises
        ------
        ProcessError
            The notification is for a receiver that the rules file does not name.
        """
        chosen = {delivery.key: delivery for delivery in self._asked_for(asked, now)}
        again = dict[str, Delivery]()
        for key, delivery in chosen.items():
            end = self._end_of(delivery)
            if end is not None and (end.state != "delivered" or end.key in chosen):
                again |= {key: delivery, end.key: end}
            elif end is None and (delivery.alert.status == "resolved" or delivery.alert.alert_id in standing):
                again[key] = delivery
        for delivery in sorted(again.values(), key=_age):
            self._again(delivery, now)
        return len(again.keys() & chosen)

    def due(self, receiver: str, now: int) -> Delivery | None:
        """Return what to try now: in order for each alert, so that nobody hears of its end first."""
        blocked: set[str] = set()
        for delivery in self._waiting[receiver].values():
            alert = delivery.alert.alert_id
            if alert not in blocked and _is_due(delivery, now):
                return delivery
            blocked.add(alert)
        return None

    def settle(self, delivery: Delivery, outcome: Outcome, now: int) -> None:
        """Note what became of an attempt: delivered, tried again later, or given up."""
        receiver = self._receivers[delivery.receiver]
        delivery.attempts += 1
        delivery.error = outcome.error
        too_old = now - delivery.created_at >= milliseconds(receiver.give_up_after)
        if outcome.delivered:
            self._finish(delivery, "delivered", now)
        elif not outcome.again or too_old:
            self._finish(delivery, "given-up", now)
        else:
            delivery.next_at = now + self._pause(delivery.attempts, outcome.after)
            self._keep(delivery)

    def waiting(self, receiver: str) -> int:
        """Return how long a queue is."""
        return len(self._waiting[receiver])

    def given_up(self) -> list[Delivery]:
        """Return what was given up since the last call: each becomes a dead letter."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete."""
        dirty, self._dirty = self._dirty, {}
        return dirty

    def _pause(self, attempts: int, asked: float) -> int:
        """Return milliseconds to the next attempt: doubled each time, half of it by chance."""
        backoff = min(FIRST_BACKOFF_MS * 2 ** min(attempts - 1, 20), LONGEST_BACKOFF_MS)
        return max(int(backoff * (0.5 + 0.5 * self._jitter.random())), int(asked * 1000))

    def _asked_for(self, asked: Redeliver, now: int) -> list[Delivery]:
        if asked.alert is not None:
            return [self._one(asked.receiver or "", asked.alert, now)]
        return [
            delivery
            for delivery in self._all.values()
            if delivery.receiver in self._waiting
            and asked.receiver in (None, delivery.receiver)
            and (
                delivery.state == "given-up"
                if asked.alert_id is None
                else delivery.state != "given-up" and delivery.alert.alert_id == asked.alert_id
            )
        ]

    def _one(self, receiver: str, alert: Alert, now: int) -> Delivery:
        if receiver not in self._receivers:
            known = ", ".join(self._receivers) or "none"
            raise ProcessError(f"no receiver is called {receiver!r}; there are: {known}", field="receiver")
        key = delivery_key(receiver, alert)
        return self._all.get(key) or Delivery(key, receiver, alert, created_at=now)

    def _end_of(self, delivery: Delivery) -> Delivery | None:
        """Return the end of the alert whose beginning this is, as far as the receiver was to hear it."""
        end = self._ends.get((delivery.receiver, delivery.alert.alert_id))
        later = end is not None and end.alert.changed_at >= delivery.alert.changed_at
        return end if later and delivery.alert.status == "firing" else None

    def _add(self, delivery: Delivery) -> None:
        self._all[delivery.key] = delivery
        if delivery.alert.status == "resolved":
            self._ends[delivery.receiver, delivery.alert.alert_id] = delivery

    def _again(self, delivery: Delivery, now: int) -> None:
        delivery.state, delivery.attempts, delivery.next_at = "waiting", 0, now
        delivery.created_at, delivery.error = now, ""
        self._add(delivery)
        self._done.pop(delivery.key, None)
        waiting = self._waiting[delivery.receiver]
        waiting.pop(delivery.key, None)  # to the end of the queue, also where it waits already
        waiting[delivery.key] = delivery
        self._keep(delivery)

    def _finish(self, delivery: Delivery, state: Literal["delivered", "given-up"], now: int) -> None:
        delivery.state, delivery.done_at = state, now
        self._waiting[delivery.receiver].pop(delivery.key, None)
        self._done[delivery.key] = delivery
        if state == "given-up":
            self._given_up.append(delivery)
        self._keep(delivery)
        self._prune()

    def _keep(self, delivery: Delivery) -> None:
        self._dirty[f"{DELIVERY}/{delivery.key}"] = _encode(delivery)

    def _crowded(self, receiver: str, now: int) -> None:
        """Give up the oldest of a queue that is too long: memory is bounded, and its letter is kept."""
        waiting = self._waiting[receiver]
        while len(waiting) > MOST_WAITING:
            oldest = next(iter(waiting.values()))
            oldest.error = f"more than {MOST_WAITING} notifications wait; before: {oldest.error or 'nothing'}"
            self._finish(oldest, "given-up", now)

    def _prune(self) -> None:
        while len(self._done) > MOST_DONE:
            oldest = next(iter(self._done))
            gone = self._all.pop(oldest)
            del self._done[oldest]
            whose = gone.receiver, gone.alert.alert_id
            if self._ends.get(whose) is gone:
                del self._ends[whose]
            self._dirty[f"{DELIVERY}/{oldest}"] = None


def _is_due(delivery: Delivery, now: int) -> bool:
    """Return whether to try now: nobody waits before the first attempt, nor longer than any pause is.

    A moment that is further away was noted by a clock that was ahead, perhaps another machine's.
    """
    left = delivery.next_at - now
    return left <= 0 or delivery.attempts == 0 or left > LONGEST_PAUSE_MS


def _whose(delivery: Delivery) -> tuple[str, str]:
    return delivery.receiver, delivery.alert.alert_id


def _age(delivery: Delivery) -> tuple[int, str]:
    return delivery.alert.changed_at, delivery.alert.status  # "firing" before "resolved"
