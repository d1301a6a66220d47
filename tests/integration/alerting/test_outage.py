"""A receiver that is down for ten minutes of real time: it misses nothing, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.alert_oracle import FAILING, oracle, stream
from tests.integration.alerting.conftest import Stage
from tests.integration.alerting.test_faults import told
from tests.processes import service
from tests.streams import until
from tests.webhooks import WebhookReceiver

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(1200)]

DOWN_SECONDS, SLICES = 600.0, 20
MOST_ATTEMPTS = 22
"""Of one notification in ten minutes: seven until the pause is a minute, then one every 30 to 60 s."""


async def test_down_for_ten_minutes(stage: Stage) -> None:
    async with WebhookReceiver() as gone:
        address = gone.url
    to = {"allow_http": True, "allow_private": True}
    receivers = [{"name": "good", "url": stage.receiver.url}, {"name": "gone", "url": address}]
    stage.write_rules(FAILING, receivers=[one | to for one in receivers])
    reports = stream(11, minutes=20)
    share = len(reports) // SLICES

    def lacking(receiver: WebhookReceiver, count: int) -> set[tuple[str, str, int]]:
        return set(oracle(reports[:count])) - told([one.notification().alert for one in receiver.taken])

    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        began = time.monotonic()
        for number in range(SLICES):
            await stage.report(*reports[number * share : (number + 1) * share])
            count = (number + 1) * share
            await until(lambda count=count: not lacking(stage.receiver, count), what="the good receiver")
            await asyncio.sleep(max(0.0, began + (number + 1) * DOWN_SECONDS / SLICES - time.monotonic()))
        failed = await alerting.metric('driftline_notifications_total{outcome="failed",receiver="gone"}')
        expected = oracle(reports)
        print(f"{len(expected)} notifications, {failed:.0f} attempts in {time.monotonic() - began:.0f} s")
        assert len(expected) <= failed * 2, "an end waits for its beginning, so about half of them are tried"
        assert failed <= MOST_ATTEMPTS * len(expected)
        back = WebhookReceiver(port=gone.port)
        async with back:
            await until(lambda: not lacking(back, len(reports)), seconds=150, what="everything that waited")
            print(f"all of it {time.monotonic() - began - DOWN_SECONDS:.0f} s after it came back")
            order = [(one.alert_id, one.status) for one in (r.notification().alert for r in back.taken)]
            for alert_id in {alert_id for alert_id, _ in order}:
                heard = [status for name, status in order if name == alert_id]
                assert heard[0] == "firing", alert_id
            assert back.repeated() == {}
            assert told([one.notification().alert for one in back.taken]) == set(expected)
