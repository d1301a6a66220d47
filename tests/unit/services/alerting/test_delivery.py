"""The task of one receiver: what it is reminded of, and what not."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.alerting.delivery import deliver
from services.alerting.metrics import AlertingMetrics
from services.alerting.outbox import Outbox
from services.alerting.reminders import Reminders
from shared.alerting.rules import Receiver
from shared.messages import Alert
from tests.streams import until
from tests.webhooks import WebhookReceiver

ALERT = Alert(
    alert_id="a",
    rule="drift",
    severity="warning",
    status="firing",
    summary="s",
    subject="drift",
    started_at=1,
)


class Idle:
    """A duty with nothing to deliver, while something fires."""

    def __init__(self, receiver: Receiver) -> None:
        self.alerting = SimpleNamespace(outbox=Outbox((receiver,)))
        self.woken = asyncio.Event()
        self.asked: list[str] = []

    async def due(self, _: str) -> None:
        self.asked.append("due")

    async def standing(self, _: Receiver) -> list[Alert]:
        self.asked.append("standing")
        return [ALERT]


def receiver(kind: Any, url: str = "https://example.org/") -> Receiver:
    return Receiver(name="r", format=kind, url=url, allow_http=True, allow_private=True)


async def test_an_alertmanager_is_reminded_between_two_deliveries() -> None:
    async with WebhookReceiver() as server:
        to = receiver("alertmanager", server.url)
        duty: Any = Idle(to)
        task = asyncio.create_task(deliver(to, duty, AlertingMetrics(CollectorRegistry())))
        try:
            await until(lambda: len(duty.asked) >= 4, what="a few turns")
        finally:
            task.cancel()
            await asyncio.wait([task])
    (request,) = server.requests
    (alert,) = json.loads(request.body)
    assert alert["labels"]["alertname"] == "drift"
    assert "Idempotency-Key" not in request.headers, "it is no notification"
    assert duty.asked.count("standing") == 1, "once a minute"


@pytest.mark.parametrize("kind", ["driftline", "slack", "cloudevents", "apprise"])
async def test_others_keep_what_they_were_told(kind: str) -> None:
    to = receiver(kind)
    duty: Any = Idle(to)
    poster: Any = None
    await Reminders(to, duty.standing).turn(poster)
    assert duty.asked == []


async def test_a_reminder_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with WebhookReceiver(answers=[500]) as server:
        to = receiver("alertmanager", server.url)
        duty: Any = Idle(to)
        task = asyncio.create_task(deliver(to, duty, AlertingMetrics(CollectorRegistry())))
        try:
            await until(lambda: "due" in duty.asked, what="the turn after it")
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert "Alertmanager was not reminded" in caplog.text
