"""What retention deletes before it is read is counted and passed over; another log is never read on."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from prometheus_client import CollectorRegistry

from devstack.apache_kafka import ApacheKafka
from devstack.embedded_kafka import EmbeddedKafka
from shared.errors import ServiceError
from shared.metrics import PipelineMetrics
from shared.pipeline.pipeline import Pipeline
from tests.integration.pipeline.echo import Echo, options
from tests.streams import Client, committed_offsets, create_topics, produce, read_all, until

pytestmark = pytest.mark.kafka


class Run:
    """One life of the echo service; it reads on only while ``reading`` is set."""

    def __init__(self, client: Client, prefix: str, delivery: str = "exactly-once") -> None:
        self.collectors, self.reading = CollectorRegistry(), True
        self._client, self._prefix = client, prefix
        small = dataclasses.replace(options(client, prefix, delivery), partition_fetch_bytes=1_000)
        self.pipeline = Pipeline(
            Echo(f"{prefix}out"), small, PipelineMetrics(self.collectors), wants=lambda *_: self.reading
        )

    def lost(self) -> float:
        return self.collectors.get_sample_value(
            "driftline_records_lost_total", {"topic": f"{self._prefix}in"}
        ) or 0.0  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Run]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.pipeline.run(stop))
        try:
            yield self
        finally:
            stop.set()
            await task

    async def committed(self, offset: int) -> None:
        async def told() -> bool:
            found = await committed_offsets(self._client, f"{self._prefix}echo", f"{self._prefix}in")
            return found == {0: offset}

        await until(told, what=f"the group is told of {offset}")


async def delete_before(client: Client, topic: str, offset: int) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def begun(kafka: ApacheKafka, prefix: str) -> Client:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await create_topics(client, {f"{prefix}{name}": 1 for name in ("in", "out", "state")})
    return client


async def send(client: Client, prefix: str, first: int, count: int) -> None:
    """One record per batch, so that a fetch of 1,000 bytes brings a few."""
    for number in range(first, first + count):
        await produce(client, f"{prefix}in", [(0, b"%d" % number + b"." * 300)])


async def answered(client: Client, prefix: str) -> list[int]:
    return [int(record.value.rstrip(b".")) for record in (await read_all(client, f"{prefix}out"))[0]]


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
async def test_deleted_while_the_service_was_away(
    kafka: ApacheKafka, topic_prefix: str, delivery: str
) -> None:
    client = await begun(kafka, topic_prefix)
    await send(client, topic_prefix, 0, 3)
    async with Run(client, topic_prefix, delivery).running() as run:
        await run.committed(3)
    await send(client, topic_prefix, 3, 9)
    await delete_before(client, f"{topic_prefix}in", 10)
    async with Run(client, topic_prefix, delivery).running() as run:
        await run.committed(12)
        assert run.lost() == 7
    assert await answered(client, topic_prefix) == [0, 1, 2, 10, 11]


async def test_what_was_told_lost_is_not_counted_again(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = await begun(kafka, topic_prefix)
    await send(client, topic_prefix, 0, 4)
    async with Run(client, topic_prefix).running() as run:
        await run.committed(4)
    await send(client, topic_prefix, 4, 2)
    await delete_before(client, f"{topic_prefix}in", 6)
    async with Run(client, topic_prefix).running() as run:
        await run.committed(6)
        assert run.lost() == 2
    await send(client, topic_prefix, 6, 1)
    async with Run(client, topic_prefix).running() as run:
        await run.committed(7)
        assert run.lost() == 0
    assert await answered(client, topic_prefix) == [0, 1, 2, 3, 6]


async def test_deleted_under_a_service_that_is_behind(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = await begun(kafka, topic_prefix)
    await send(client, topic_prefix, 0, 1)
    async with Run(client, topic_prefix).running() as run:
        await run.committed(1)
        run.reading = False
        await send(client, topic_prefix, 1, 20)
        await delete_before(client, f"{topic_prefix}in", 19)
        run.reading = True
        await run.committed(21)
    got = await answered(client, topic_prefix)
    assert got[-2:] == [19, 20]
    assert run.lost() > 0
    assert got == sorted(set(got)), "once and in order"
    assert len(got) + run.lost() == 21, "every event is answered or counted as lost"


async def test_another_topic_of_the_same_name_is_not_read_on(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = await begun(kafka, topic_prefix)
    await send(client, topic_prefix, 0, 5)
    async with Run(client, topic_prefix).running() as run:
        await run.committed(5)
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.delete_topics([f"{topic_prefix}in"])
    await admin.close()
    await until(lambda: made_again(client, f"{topic_prefix}in"), what="the topic is made again")
    await send(client, topic_prefix, 100, 2)
    again = Run(client, topic_prefix)
    with pytest.raises(ServiceError, match=r"its end, which is 2 now") as caught:
        await asyncio.wait_for(again.pipeline.run(asyncio.Event()), 60)
    assert (caught.value.partition, caught.value.offset) == (0, 5)
    assert await answered(client, topic_prefix) == [0, 1, 2, 3, 4]


async def test_the_embedded_broker_whose_end_offsets_are_too_small_is_read_on(topic_prefix: str) -> None:
    with EmbeddedKafka() as server:
        client = {"bootstrap_servers": server.bootstrap_servers}
        await create_topics(client, {f"{topic_prefix}{name}": 1 for name in ("in", "out", "state")})
        got: list[int] = []
        async with (
            AIOKafkaProducer(**client, linger_ms=100) as producer,
            AIOKafkaConsumer(f"{topic_prefix}out", **client, auto_offset_reset="earliest") as consumer,
        ):
            for first in (0, 5):
                async with Run(client, topic_prefix, "at-least-once").running() as run:
                    await until(ready(run), what="the partition is open, at what is told as beyond the end")
                    # A batch of five: this broker tells the beginning of the last one, and one, as the end.
                    sent = [
                        await producer.send(f"{topic_prefix}in", b"%d" % n) for n in range(first, first + 5)
                    ]
                    await asyncio.gather(*sent)
                    async with asyncio.timeout(60):
                        while len(got) < first + 5:
                            got.append(int((await consumer.getone()).value))
                    assert run.lost() == 0
        assert got == list(range(10))


def ready(run: Run) -> Callable[[], Awaitable[bool]]:
    async def open_now() -> bool:
        return run.pipeline.ready

    return open_now


async def made_again(client: Client, topic: str) -> bool:
    await create_topics(client, {topic: 1})
    found: dict[str, Any] = {}
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        found = {each["topic"]: each for each in await admin.describe_topics()}
    finally:
        await admin.close()
    return topic in found and not found[topic]["error_code"] and bool(found[topic]["partitions"])
