"""Posted to a real Alertmanager: it shows the alert, and takes its end."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from devstack.alertmanager import Alertmanager
from services.alerting.reminders import EVERY_SECONDS, Reminders
from shared.alerting.formats import HOLD_MS
from shared.alerting.posting import Poster
from shared.alerting.rules import Receiver
from shared.alerting.states import Delivery
from shared.messages import Alert
from tests.reports import T0
from tests.streams import until

pytestmark = pytest.mark.usefixtures("monitoring")

ALERT = Alert(
    alert_id="a1",
    rule="drift",
    severity="warning",
    status="firing",
    summary="dep_delay of flights has drifted",
    subject="drift",
    started_at=T0 - 60_000,
    changed_at=T0 - 30_000,
    model="flights",
    labels={"model": "flights", "team": "ml"},
    links={"runbook": "https://example.org/drift"},
)


async def test_an_alertmanager_takes_an_alert_once_and_its_end(tmp_path: Path) -> None:
    with Alertmanager(data_dir=tmp_path) as alertmanager:
        to = Receiver(
            name="am",
            format="alertmanager",
            url=f"{alertmanager.url}/api/v2/alerts",
            allow_http=True,
            allow_private=True,
        )
        async with Poster(to) as poster:
            for _ in range(2):  # at least once: the second is the same alert
                outcome = await poster.post(Delivery("k1", "am", ALERT, created_at=0))
                assert outcome.delivered, outcome

            async def shown() -> bool:
                return len(await asyncio.to_thread(alertmanager.alerts)) == 1

            await until(shown, what="the alert")
            (alert,) = await asyncio.to_thread(alertmanager.alerts)
            assert alert["labels"]["alertname"] == "drift"
            assert alert["labels"]["team"] == "ml"
            assert alert["annotations"]["summary"] == ALERT.summary
            assert alert["generatorURL"] == "https://example.org/drift"
            over = msgspec.structs.replace(ALERT, status="resolved", changed_at=T0 - 1_000)
            assert (await poster.post(Delivery("k2", "am", over, created_at=0))).delivered

            async def gone() -> bool:
                return await asyncio.to_thread(alertmanager.alerts) == []

            await until(gone, what="its end")


async def test_an_alertmanager_that_was_restarted_is_told_again_of_what_fires(tmp_path: Path) -> None:
    """It holds alerts in memory only: once posted, an alert was lost for as long as it fired."""
    standing = [ALERT, msgspec.structs.replace(ALERT, alert_id="a2", rule="lag", model="taxis")]

    async def fires(receiver: Receiver) -> list[Alert]:
        assert receiver.name == "am"
        return standing

    def receiver(of: Alertmanager) -> Receiver:
        url = f"{of.url}/api/v2/alerts"
        return Receiver(name="am", format="alertmanager", url=url, allow_http=True, allow_private=True)

    def rules(of: Alertmanager) -> set[str]:
        return {alert["labels"]["alertname"] for alert in of.alerts()}

    async def told_by_reminders(of: Alertmanager) -> None:
        assert await asyncio.to_thread(of.alerts) == []
        reminders = Reminders(receiver(of), fires, every=0.2)
        async with Poster(receiver(of)) as poster:

            async def known() -> bool:
                await reminders.turn(poster)
                return await asyncio.to_thread(rules, of) == {"drift", "lag"}

            await until(known, what="what fires")
        (alert, _) = await asyncio.to_thread(of.alerts)
        ends = datetime.fromisoformat(alert["endsAt"]).timestamp() - time.time()
        assert 120 < ends <= HOLD_MS / 1000, "it is held no longer than we live"

    for folder in ("first", "restarted"):
        with Alertmanager(data_dir=tmp_path / folder) as alertmanager:
            await told_by_reminders(alertmanager)
    assert HOLD_MS / 1000 >= 3 * EVERY_SECONDS
