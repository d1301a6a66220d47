"""From the report of a drift alarm to its webhook, with the built-in rules: under two seconds, measured."""

from __future__ import annotations

import asyncio
import statistics
import time

import msgspec
import pytest
import yaml

from tests.integration.alerting.conftest import Stage
from tests.processes import service
from tests.streams import until
from tests.unit.services.alerting.test_exposition import drift_report

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

ALARMS, MOST_SECONDS = 30, 2.0


async def test_a_drift_alarm_is_a_webhook_within_two_seconds(stage: Stage) -> None:
    to = {"name": "hook", "url": stage.receiver.url, "allow_http": True, "allow_private": True}
    (stage.folder / "rules.yml").write_text(yaml.safe_dump({"receivers": [to]}))
    seconds = []
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        for number in range(ALARMS):

            def told(model: str = f"m{number}") -> bool:
                return any(one.notification().alert.model == model for one in stage.receiver.taken)

            began = time.time()
            alarm = msgspec.structs.replace(
                drift_report(), model=f"m{number}", active=True, written_at=int(began * 1000)
            )
            await stage.report(alarm)
            await until(told, every=0.005, what=f"webhook {number}")
            seconds.append(time.time() - began)
            await asyncio.sleep(0.2)
    print(f"{ALARMS} alarms: median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s")
    assert max(seconds) < MOST_SECONDS
