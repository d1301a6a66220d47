"""Alerts, and what people tell the alerting service to do about them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shared.messages.common import FeatureValue, Message
from shared.messages.scoring import Source

Severity = Literal["info", "warning", "critical"]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Alert(Message, frozen=True, kw_only=True):
    """A rule that fired or resolved; ``alert_id`` is the same however often it is sent.

    Attributes
    ----------
    alert_id
        Hash of the rule, the model, the subject and the window in which the trouble began.
    rule
        Name of the rule.
    subject
        What the alert is about, beside the model: a service, a feature; the rule's name where there
        is nothing narrower.
    summary
        The reason, as a sentence for a person.
    started_at
        When the trouble began, in the time of the reports.
    changed_at
        When it began to fire or was resolved: with the id and the status, what tells two
        notifications apart.
    labels
        Labels of the group that the alert is for, and those that the rule adds.
    evidence
        The figures behind it: value, threshold, the worst of the group, how many.
    links
        ``runbook`` among them, where the rule has one.
    muted_by
        The silence or the rule that keeps it from being delivered; absent where nothing does.
    report
        Place of the report that the trouble began with; absent where it began with silence.
    traceparent
        W3C trace context of that report: drift's log line of the alarm, the alert, its notifications and
        their log lines are in one trace. Absent where the report carried none.
    """

    alert_id: str
    rule: str
    severity: Severity
    status: Literal["firing", "resolved"]
    summary: str
    subject: str
    started_at: int
    changed_at: int = 0
    model: str | None = None
    model_version: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    evidence: dict[str, FeatureValue] = msgspec.field(default_factory=dict)
    links: dict[str, str] = msgspec.field(default_factory=dict)
    muted_by: str | None = None
    report: Source | None = None
    traceparent: str | None = None


class AlertCommand(Message, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What a person asks of the alerting service.

    Attributes
    ----------
    who
        Who asked.
    at
        When, milliseconds since 1970.
    """

    who: str
    at: int


class Silence(AlertCommand, frozen=True, kw_only=True, tag="silence"):
    """Deliver no alert whose labels match, until it ends.

    Attributes
    ----------
    silence_id
        Its name; a second one of the same name replaces it.
    match
        Pattern by label (``rule``, ``severity`` and the alert's own), with ``*`` and ``?``.
    starts_at, ends_at
        Milliseconds since 1970; an end in the past lifts it.
    why
        The reason, for whoever wonders.
    """

    silence_id: Id
    match: Annotated[dict[str, str], msgspec.Meta(min_length=1)]
    starts_at: int
    ends_at: int
    why: str = ""


class Redeliver(AlertCommand, frozen=True, kw_only=True, tag="redeliver"):
    """Send a notification again.

    Attributes
    ----------
    receiver
        Only to this receiver; absent for all.
    alert_id
        Only of this alert, what was delivered; absent for every notification that was given up.
    alert
        This very notification, to ``receiver``: what a dead letter of one that was given up holds, so that
        replaying the letter sends it again, whatever the alerting service still knows of it.
    """

    receiver: str | None = None
    alert_id: str | None = None
    alert: Alert | None = None
