"""The alerting service: the alerts of an oracle and no others, delivered under one key each."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.alerting.states import Watch
from shared.messages import Alert
from tests.alert_oracle import FAILING, oracle
from tests.faults.rules.found import Found
from tests.faults.stage import Stage
from tests.streams import read_all
from tests.webhooks import WebhookReceiver

Told = set[tuple[str, str, int]]


def alerting(found: Found, receiver: WebhookReceiver) -> list[str]:
    """Return what the alerting service has done wrong; twice is once, under the same id and key."""
    expected = set(oracle(found.planted()))
    published = [one for one in found.all(found.topics.alerts, Alert) if one.rule == FAILING["name"]]
    delivered = [(one.key, one.notification().alert) for one in receiver.taken]
    problems = [
        *_sets("alerts", _told(published), expected),
        *_sets("webhook", _told(alert for _, alert in delivered), expected),
    ]
    keys: dict[tuple[str, str, int], set[str]] = {}
    for key, alert in delivered:
        keys.setdefault((alert.alert_id, alert.status, alert.changed_at), set()).add(key)
    problems += [
        f"webhook: {what} came under {len(mine)} keys" for what, mine in keys.items() if len(mine) > 1
    ]
    first = list(dict.fromkeys((a.alert_id, a.changed_at, a.status) for a in published))
    by_id: dict[str, list[tuple[int, str]]] = {}
    for alert_id, at, status in first:
        by_id.setdefault(alert_id, []).append((at, status))
    problems += [
        f"alerts: {name} out of order: {said}" for name, said in by_id.items() if said != sorted(said)
    ]
    return problems


def _told(alerts: Iterable[Alert]) -> Told:
    return {(alert.alert_id, alert.status, alert.changed_at) for alert in alerts}


def _sets(name: str, found: Told, expected: Told) -> list[str]:
    missing, foreign = expected - found, found - expected
    return [
        *([f"{name}: {len(missing)} of {len(expected)} missing, such as {min(missing)}"] if missing else []),
        *([f"{name}: {len(foreign)} that should not be, such as {min(foreign)}"] if foreign else []),
    ]


async def alert_state(stage: Stage, found: Found) -> list[str]:
    """What the state topic holds as firing is what the oracle leaves firing."""
    firing: set[str] = set()
    for alert_id, status, _ in oracle(found.planted()):
        (firing.add if status == "firing" else firing.discard)(alert_id)
    kept: dict[bytes, bytes] = {}
    for records in (await read_all(stage.client, stage.topics.state("alerting"))).values():
        for record in records:
            kept[record.key] = record.value
    held = set()
    for key, value in kept.items():
        if value and key.startswith(b"watch/"):
            watch = msgspec.json.decode(value, type=Watch)
            if watch.alert is not None:
                held.add(watch.alert.alert_id)
    if held == firing:
        return []
    return [f"alerting-state: {len(held - firing)} fire that should not, {len(firing - held)} do not"]
