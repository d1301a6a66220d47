"""What alerting remembers: one struct per kind of record of its state topic."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from shared.alerting.vocabulary import Labels, Part
from shared.messages import Alert, Source

Status = Literal["pending", "firing"]


class Reading(msgspec.Struct, omit_defaults=True):
    """What is kept of one report.

    Attributes
    ----------
    key
        Kind, model or service, subject or instance, window, topic and partition.
    age
        Grows with every report of the key.
    written_at
        When the report was written.
    parts
        By vocabulary.
    interval
        Of a service: milliseconds until its next report.
    """

    key: tuple[str, str, str, int, str, int]
    age: tuple[int, bool, int]
    written_at: int
    parts: dict[str, list[Part]]
    interval: int = 0


class Origin(NamedTuple):
    """Where a report lies, and its ``traceparent`` where it carries one."""

    report: Source
    traceparent: str | None = None


class Watch(msgspec.Struct, omit_defaults=True):
    """An alert that is pending or fires.

    Attributes
    ----------
    rule, group
        What it is for.
    alert_id
        From the window in which the trouble began.
    since
        When the condition began to hold, in the time of the reports.
    fired_at
        When it began to fire; 0 while it is pending.
    clear_since
        Since when the condition no longer holds, where the rule keeps firing a while; else 0.
    alert
        What was said of it last; absent while it is pending. While its ``muted_by`` is set, receivers were
        not told of this and are once nothing mutes it.
    told
        The things of the group that it has named, where its rule says it again for new ones.
    notified
        Whether receivers were ever told of it: who heard of it hears its end too.
    report, traceparent
        The report that it began with: none of an absence, and none where an older version kept it.
    """

    rule: str
    group: Labels
    alert_id: str
    since: int
    fired_at: int = 0
    clear_since: int = 0
    alert: Alert | None = None
    told: list[Labels] = []
    notified: bool = False
    report: Source | None = None
    traceparent: str | None = None

    @property
    def status(self) -> Status:
        """Whether it fires yet."""
        return "firing" if self.fired_at else "pending"


class Memory(msgspec.Struct, omit_defaults=True):
    """What a rule needs of the past of one thing.

    Attributes
    ----------
    points
        ``(written_at, figure)`` for a rate, ``(window start, figure)`` for a baseline; in order.
    """

    points: list[tuple[int, float]] = []


class Delivery(msgspec.Struct, omit_defaults=True):
    """One notification on its way to one receiver.

    Attributes
    ----------
    key
        Idempotency key: the same however often the notification is sent.
    receiver
        Its name.
    alert
        What it says.
    state
        ``waiting``, ``delivered`` or ``given-up``.
    attempts
        So far.
    created_at, next_at
        When it was put into the queue, and when it is tried next, milliseconds since 1970.
    done_at
        When it was delivered or given up.
    error
        Why the last attempt failed.
    """

    key: str
    receiver: str
    alert: Alert
    created_at: int
    state: Literal["waiting", "delivered", "given-up"] = "waiting"
    attempts: int = 0
    next_at: int = 0
    done_at: int = 0
    error: str = ""


def alert_id(rule: str, group: Labels, window: int) -> str:
    """Return the id of an alert: the same whenever and wherever the same trouble is found.

    Examples
    --------
    >>> alert_id("drift", (("model", "flights"),), 1357016400000)
    '934bda884659ae16eccff88e'
    """
    return _digest(["alert", rule, [list(label) for label in group], window])


def delivery_key(receiver: str, alert: Alert) -> str:
    """Return the idempotency key of a notification to one receiver.

    ``changed_at`` is part of it: an alert that fires again in the window it was resolved in has the same
    id, and is news all the same.
    """
    return _digest(["delivery", receiver, alert.alert_id, alert.status, alert.changed_at])


def record_key(kind: str, *parts: str) -> str:
    """Return the key of a record of the state.

    Examples
    --------
    >>> record_key("watch", "drift", "model=a/b")
    'watch/drift/model=a%2Fb'
    """
    return "/".join([kind, *(part.replace("/", "%2F") for part in parts)])


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]
