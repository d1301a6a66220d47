"""Topics, a rules file and a receiver for one test of the alerting service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from devstack.apache_kafka import ApacheKafka
from shared.messages import Alert, Report, ServiceReport
from tests.reports import record
from tests.stage import SESSION_SECONDS
from tests.stage import Stage as BareStage
from tests.streams import read_all
from tests.webhooks import WebhookReceiver

RULE = {
    "name": "failing",
    "reports": "inference",
    "figure": "failure_ratio",
    "above": 0.05,
    "min_count": 100,
    "severity": "critical",
    "summary": "{model} fails on {value:percent}",
}


@dataclass
class Stage(BareStage):
    """Everything one alerting test plays on."""

    receiver: WebhookReceiver
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The service's consumer group."""
        return f"{self.settings['DRIFTLINE_GROUP_PREFIX']}.alerting"

    def write_rules(self, *rules: dict[str, Any], receivers: list[dict[str, Any]] | None = None) -> None:
        to = {"name": "hook", "url": self.receiver.url, "allow_http": True, "allow_private": True}
        self.document = {
            "defaults": False,
            "rules": list(rules or (RULE,)),
            "receivers": [to] if receivers is None else receivers,
        }
        (self.folder / "rules.yml").write_text(yaml.safe_dump(self.document))

    async def report(self, *reports: Report | ServiceReport, partition: int | None = None) -> None:
        """Write reports; one model's always in one partition."""
        producer = AIOKafkaProducer(**self.client, linger_ms=2)
        await producer.start()
        try:
            sends = []
            for one in reports:
                key, value = record(one)
                at = sum(one.model.encode()) % 3 if isinstance(one, Report) else 0
                sends.append(
                    await producer.send(
                        self.topics.reports, value, key=key, partition=at if partition is None else partition
                    )
                )
            for send in sends:
                await send
        finally:
            await producer.stop()

    async def alerts(self) -> list[Alert]:
        """Everything on the alerts topic, repetitions included."""
        found = await read_all(self.client, self.topics.alerts)
        return [msgspec.json.decode(r.value, type=Alert) for records in found.values() for r in records]

    async def state(self) -> dict[str, bytes]:
        """What the state topic holds, compacted."""
        found = await read_all(self.client, self.topics.state("alerting"))
        kept = {r.key.decode(): r.value for records in found.values() for r in records}
        return {key: value for key, value in kept.items() if value is not None}


@asynccontextmanager
async def staged(kafka: ApacheKafka, prefix: str, folder: Path, **settings: str) -> AsyncIterator[Stage]:
    """A stage on a broker, with its topics made."""
    settings |= {
        "DRIFTLINE_ALERT_RULES": str(folder / "rules.yml"),
        "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS,
        "DRIFTLINE_HEARTBEAT_SECONDS": "1",
    }
    async with WebhookReceiver() as receiver:
        made = await Stage.set_up(kafka, prefix, folder, settings=settings, receiver=receiver)
        made.write_rules()
        yield made


@pytest.fixture
async def stage(kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(kafka, topic_prefix, tmp_path) as made:
        yield made
