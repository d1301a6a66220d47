"""A hundred thousand reports at once: few alerts, and memory that does not grow with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.alerting.conftest import Stage
from tests.processes import service
from tests.reports import inference, record
from tests.streams import until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(900)]

REPORTS, MODELS = 100_000, 400
RULE = {
    "name": "failing",
    "reports": "inference",
    "figure": "failure_ratio",
    "above": 0.05,
    "group_by": [],
    "summary": "{matching} models fail, {model} most of all: {value:percent}",
}


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def test_a_storm_makes_few_alerts_and_takes_no_memory(stage: Stage) -> None:
    stage.write_rules(RULE)
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        consumed = f'driftline_records_consumed_total{{topic="{stage.topics.reports}"}}'
        memory: list[float] = []
        async with AIOKafkaProducer(**stage.client, linger_ms=20) as producer:
            for first in range(0, REPORTS, REPORTS // 10):
                for n in range(first, first + REPORTS // 10):
                    key, value = record(inference(f"m{n % MODELS}", n // MODELS, failures=200))
                    await producer.send(stage.topics.reports, value, key=key, partition=n % MODELS % 3)
                await producer.flush()

                async def read(first: int = first) -> bool:
                    return await alerting.metric(consumed) >= first + REPORTS // 10

                await until(read, seconds=300, every=0.5, what=f"{first + REPORTS // 10} reports")
                assert alerting.part.pid is not None
                memory.append(resident_mib(alerting.part.pid))
        await asyncio.sleep(1)
        assert len({alert.alert_id for alert in await stage.alerts()}) == 1
        assert len(stage.receiver.taken) == 1
        kept = await stage.state()
        assert sum(key.startswith("reading/inference/") for key in kept) <= 3 * MODELS
        print(f"resident MiB after each tenth: {[round(one) for one in memory]}")
        assert memory[-1] - memory[2] < 30, memory
