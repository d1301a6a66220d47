"""Reports that a process lives, on a real Kafka."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from devstack.apache_kafka import ApacheKafka
from shared.heartbeat import Heartbeat
from shared.messages import ServiceReport
from shared.metrics import PipelineMetrics
from shared.reports import decode_report
from tests.streams import create_topics, read_all, until

pytestmark = pytest.mark.kafka


def client_of(kafka: ApacheKafka) -> dict[str, Any]:
    return {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}


async def service_reports(client: dict[str, Any], topic: str) -> list[ServiceReport]:
    found = await read_all(client, topic)
    reports = [decode_report(record.value) for records in found.values() for record in records]
    return sorted(
        (one for one in reports if isinstance(one, ServiceReport)),
        key=lambda one: (one.written_at, one.stopping),
    )


async def test_a_process_says_that_it_lives_how_it_fares_and_that_it_stops(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client, topic = client_of(kafka), f"{topic_prefix}reports"
    await create_topics(client, {topic: 3})
    collectors = CollectorRegistry()
    metrics = PipelineMetrics(collectors)
    metrics.lag.labels("events", 0).set(3)
    metrics.lag.labels("events", 1).set(12)
    metrics.dead_letters.labels("ProcessError").inc(2)
    metrics.consumed.labels("events").inc(40)
    metrics.partitions.set(2)
    trouble = {"m": "version 2: damaged"}
    async with Heartbeat(
        "drift", client, topic, collectors, every=0.1,
        not_ready=lambda: {"partitions": "not yet"}, model_trouble=lambda: trouble,
    ):  # fmt: skip

        async def three() -> bool:
            return len(await service_reports(client, topic)) >= 3

        await until(three, what="three reports")
    *running, last = await service_reports(client, topic)
    assert not any(report.stopping for report in running)
    assert last.stopping
    assert {report.instance for report in running} == {last.instance}
    assert (last.service, last.interval, last.partitions) == ("drift", 100, 2)
    assert last.lag == {"events": 12}
    assert last.consumed == {"events": 40}
    assert last.dead_letters == {"ProcessError": 2}
    assert last.prediction_failures == 2
    assert last.not_ready == {"partitions": "not yet"}
    assert last.model_trouble == trouble
    assert last.registry_up is None


async def test_a_topic_that_nobody_made_is_not_made_by_a_heartbeat(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client, topic = client_of(kafka), f"{topic_prefix}reports"
    async with Heartbeat("drift", client, topic, CollectorRegistry(), every=0.05):
        await asyncio.sleep(0.5)
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        assert topic not in await admin.list_topics()
    finally:
        await admin.close()


async def test_a_broker_that_is_away_holds_nothing_up_and_fails_nothing() -> None:
    client = {"bootstrap_servers": "127.0.0.1:9"}
    began = time.monotonic()
    async with Heartbeat("drift", client, "reports", CollectorRegistry(), every=0.05) as heartbeat:
        await asyncio.sleep(0.5)
        assert heartbeat._task is not None
        assert not heartbeat._task.done()
    assert time.monotonic() - began < 20
