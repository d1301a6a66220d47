"""What keeps an alert that fires from being delivered: a silence, or an alert that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.alerting.conditions import matches
from shared.alerting.rules import Inhibition
from shared.messages import Alert, Silence


def alert_labels(alert: Alert) -> dict[str, str]:
    """Return everything that an alert can be matched by.

    Examples
    --------
    >>> alert = Alert(alert_id="a", rule="drift", severity="warning", status="firing", summary="",
    ...               subject="drift", started_at=1, model="flights", labels={"team": "ml"})
    >>> alert_labels(alert)
    {'rule': 'drift', 'severity': 'warning', 'subject': 'drift', 'model': 'flights', 'team': 'ml'}
    """
    named = {"rule": alert.rule, "severity": alert.severity, "subject": alert.subject}
    for name in ("model", "model_version"):
        if (value := getattr(alert, name)) is not None:
            named[name] = value
    return named | alert.labels


def muted_by(
    alert: Alert,
    silences: Iterable[Silence],
    inhibitions: Sequence[Inhibition],
    firing: Iterable[Alert],
    now: int,
) -> str | None:
    """Return what mutes an alert, ``None`` where nothing does.

    An alert never mutes itself, and one that is silenced still mutes what it explains.

    Parameters
    ----------
    firing
        Every alert that fires.
    now
        Milliseconds since 1970: silences begin and end.
    """
    labels = alert_labels(alert)
    for silence in silences:
        if silence.starts_at <= now < silence.ends_at and matches(silence.match, labels):
            return f"silence {silence.silence_id}"
    relevant = [one for one in inhibitions if matches(one.mute, labels)]
    if not relevant:
        return None
    for other in firing:
        if other.alert_id == alert.alert_id:
            continue
        others = alert_labels(other)
        for inhibition in relevant:
            same = all(labels.get(name, "") == others.get(name, "") for name in inhibition.equal)
            if same and matches(inhibition.when, others):
                return f"alert {other.rule} of {other.subject}"
    return None
