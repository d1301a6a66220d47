"""A notification as bytes, in each format that a receiver may want.

References
----------
Alertmanager API v2 (``POST /api/v2/alerts``), prometheus/alertmanager ``api/v2/openapi.yaml``;
CloudEvents 1.0.2, JSON event format in structured mode, and its distributed tracing extension;
Slack incoming webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import orjson

from shared.alerting.durations import spoken
from shared.alerting.muting import alert_labels
from shared.alerting.states import Delivery
from shared.messages import Alert
from shared.messages.common import Message

VERSION: Final = 1
"""Of Driftline's own format; only a breaking change raises it."""

HOLD_MS: Final = 5 * 60_000
"""So long an Alertmanager holds an alert that it is not told of again, as it is with Prometheus."""

_SIGNS: Final = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}


class Notification(Message, frozen=True, kw_only=True):
    """What is posted to a receiver in Driftline's own format.

    Attributes
    ----------
    version
        Of this format.
    idempotency_key
        The same however often this notification is sent: also in the header ``Idempotency-Key``.
    receiver
        Name of the receiver it is for.
    alert
        The alert, as it is on the ``alerts`` topic.
    """

    version: int
    idempotency_key: str
    receiver: str
    alert: Alert


def body(format_: str, delivery: Delivery, now: int) -> tuple[bytes, str]:
    """Return the bytes to post and their content type; ``now`` in epoch milliseconds."""
    if format_ == "alertmanager":
        return alertmanager([delivery.alert], now)
    return _FORMATS[format_](delivery)


def _driftline(delivery: Delivery) -> tuple[bytes, str]:
    notification = Notification(
        version=VERSION, idempotency_key=delivery.key, receiver=delivery.receiver, alert=delivery.alert
    )
    return msgspec.json.encode(notification), "application/json"


def _cloudevents(delivery: Delivery) -> tuple[bytes, str]:
    alert = delivery.alert
    event = {
        "specversion": "1.0",
        "id": delivery.key,
        "source": f"driftline/{alert.rule}",
        "type": f"driftline.alert.{alert.status}",
        "subject": alert.subject,
        "time": rfc3339(alert.changed_at or alert.started_at),
        "datacontenttype": "application/json",
        "data": msgspec.to_builtins(alert),
    }
    if alert.traceparent is not None:
        event["traceparent"] = alert.traceparent
    return orjson.dumps(event), "application/cloudevents+json; charset=utf-8"


def alertmanager(alerts: Sequence[Alert], now: int) -> tuple[bytes, str]:
    """Return alerts for an Alertmanager, and the content type.

    What fires ends a few minutes from ``now``: it must be posted again before.
    """
    return orjson.dumps([_for_alertmanager(alert, now) for alert in alerts]), "application/json"


def _for_alertmanager(alert: Alert, now: int) -> dict[str, Any]:
    ends = alert.changed_at if alert.status == "resolved" else now + HOLD_MS
    labels = {"alertname": alert.rule} | {_label(k): v for k, v in alert_labels(alert).items() if k != "rule"}
    one: dict[str, Any] = {
        "labels": labels | {"driftline_alert_id": alert.alert_id},
        "annotations": {"summary": alert.summary} | {_label(name): url for name, url in alert.links.items()},
        "startsAt": rfc3339(alert.started_at),
        "endsAt": rfc3339(max(ends, alert.started_at)),
    }
    if "runbook" in alert.links:
        one["generatorURL"] = alert.links["runbook"]
    return one


def _slack(delivery: Delivery) -> tuple[bytes, str]:
    alert = delivery.alert
    over = alert.status == "resolved"
    sign = ":white_check_mark:" if over else _SIGNS[alert.severity]
    head = f"{sign} *{_slack_text(alert.rule)}* {'resolved' if over else alert.severity}: "
    text = head + _slack_text(said(alert))
    if "runbook" in alert.links:
        text += f"\n<{_slack_text(alert.links['runbook'])}|what to do>"
    return orjson.dumps({"text": text}), "application/json"


def plain_text(alert: Alert) -> tuple[str, str]:
    """Return title and text of an alert for services that take nothing else.

    Examples
    --------
    >>> plain_text(Alert(alert_id="a", rule="drift", severity="warning", status="resolved",
    ...                  summary="dep_delay has drifted", subject="drift", started_at=1))
    ('resolved: drift', 'over; it was: dep_delay has drifted')
    """
    title = f"{'resolved' if alert.status == 'resolved' else alert.severity}: {alert.rule}"
    return title, "\n".join([said(alert), *alert.links.values()])


def said(alert: Alert) -> str:
    """Return what to tell a person: the end of an alert must not read like its beginning.

    Examples
    --------
    >>> said(Alert(alert_id="a", rule="lag", severity="warning", status="resolved", subject="drift",
    ...            summary="drift is 9 records behind", started_at=0, changed_at=720_000))
    'over after 12 min; it was: drift is 9 records behind'
    """
    if alert.status == "firing":
        return alert.summary
    lasted = alert.changed_at - alert.started_at
    after = f" after {spoken(lasted)}" if lasted > 0 else ""
    because = alert.evidence.get("resolved_because")
    return f"over{after}{f' ({because})' if because else ''}; it was: {alert.summary}"


def rfc3339(moment: int) -> str:
    """Return epoch milliseconds as RFC 3339.

    Examples
    --------
    >>> rfc3339(1357017300250)
    '2013-01-01T05:15:00.250Z'
    """
    text = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _label(name: str) -> str:
    """Return a name as a Prometheus label may be called."""
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return text if text and not text[0].isdigit() else f"_{text}"


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_FORMATS: Final[dict[str, Callable[[Delivery], tuple[bytes, str]]]] = {
    "driftline": _driftline,
    "cloudevents": _cloudevents,
    "slack": _slack,
}
