"""What an alert says: the worst of its group as its reason, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.alerting.conditions import Condition, fill
from shared.alerting.judging import Finding
from shared.alerting.states import Watch
from shared.alerting.vocabulary import Labels
from shared.messages import Alert

_SAID_ELSEWHERE = ("model", "model_version", "revision")
_NOTES = ("why", "change", "trouble", "not_ready")


def firing(
    condition: Condition,
    watch: Watch,
    breaches: Mapping[Any, tuple[Labels, Finding]],
    *,
    at: int,
    silent: int | None = None,
    matching: int | None = None,
) -> Alert:
    """Return the alert of a group in which a rule holds, or of which nothing has been heard.

    Parameters
    ----------
    breaches
        The things in which the rule holds.
    at
        When it began to fire.
    silent
        Milliseconds since anything was heard, of an absence.
    matching
        In how many things the rule holds; as many as there are breaches, unless given.
    """
    worst = _worst(condition, breaches)
    evidence: dict[str, Any] = {"silent": silent} if silent is not None else {}
    known = dict(watch.group)
    if worst is not None:
        known |= dict(worst[0])
        evidence = _evidence(condition, *worst, matching=matching or len(breaches))
    words = dict.fromkeys(_NOTES, "") | known | condition.rule.labels | evidence
    words |= {"rule": watch.rule, "severity": condition.rule.severity}
    group = dict(watch.group)
    narrower = ", ".join(value for name, value in watch.group if name not in _SAID_ELSEWHERE)
    return Alert(
        alert_id=watch.alert_id,
        rule=watch.rule,
        severity=condition.rule.severity,
        status="firing",
        summary=fill(condition.summary, words).strip("; "),
        subject=narrower or watch.rule,
        started_at=watch.since,
        changed_at=at,
        model=group.get("model"),
        model_version=group.get("model_version"),
        labels=group | condition.rule.labels,
        evidence=evidence,
        links={"runbook": condition.rule.runbook} if condition.rule.runbook else {},
        report=watch.report,
        traceparent=watch.traceparent,
    )


def resolved(watch: Watch, now: int, because: str) -> Alert:
    """Return the end of an alert that fired."""
    assert watch.alert is not None
    evidence = watch.alert.evidence | ({"resolved_because": because} if because else {})
    return msgspec.structs.replace(watch.alert, status="resolved", changed_at=now, evidence=evidence)


def _worst(
    condition: Condition, breaches: Mapping[Any, tuple[Labels, Finding]]
) -> tuple[Labels, Finding] | None:
    sign = 1 if condition.rule.below is not None else -1
    return min(
        breaches.values(),
        key=lambda found: (sign * found[1].value, -found[1].figures.get("alarm_evidence", 0.0), found[0]),
        default=None,
    )


def _evidence(condition: Condition, labels: Labels, finding: Finding, *, matching: int) -> dict[str, Any]:
    evidence: dict[str, Any] = {"value": finding.value, "threshold": condition.threshold}
    if finding.baseline is not None:
        evidence["baseline"] = finding.baseline
    narrower = {name: value for name, value in labels if name not in condition.group_by}
    return evidence | {"matching": matching} | narrower | finding.figures | finding.notes
