"""Talking to a real Kafka in tests: create, fill, read to the end, compare."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError

Client = dict[str, Any]
ByPartition = dict[int, list[ConsumerRecord]]


async def create_topics(client: Client, topics: Mapping[str, int], **configs: str) -> None:
    """Create topics with so many partitions each.

    They keep everything: tests write records of 2023, which the broker would throw away at its next look.
    """
    kept = {"retention.ms": "-1"} | configs
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, count, 1, topic_configs=kept) for name, count in topics.items()]
        )
    finally:
        await admin.close()


async def produce(
    client: Client,
    topic: str,
    records: Iterable[tuple[int, bytes | None]],
    *,
    headers: list[tuple[str, bytes]] | None = None,
    key: bytes | None = b"k",
    **options: Any,
) -> None:
    """Produce ``(partition, value)`` records in order and wait for all of them."""
    producer = AIOKafkaProducer(**client, linger_ms=5, enable_idempotence=True, **options)
    await producer.start()
    try:
        sends = [
            await producer.send(topic, value, key=key, partition=partition, headers=headers)
            for partition, value in records
        ]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()


async def read_all(client: Client, topic: str, *, isolation: str = "read_committed") -> ByPartition:
    """Everything in a topic now, by partition, in order."""
    consumer = AIOKafkaConsumer(
        **client, isolation_level=isolation, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        await consumer._client._wait_on_metadata(topic)
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        begin = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
        found: ByPartition = {tp.partition: [] for tp in partitions}
        for tp in partitions:
            consumer.seek(tp, begin[tp])
        deadline = time.monotonic() + 60
        for tp in partitions:
            while await consumer.position(tp) < end[tp]:
                assert time.monotonic() < deadline, f"{tp} could not be read to its end {end[tp]}"
                for at, records in (await consumer.getmany(timeout_ms=100)).items():
                    found[at.partition] += records
        return found
    finally:
        await consumer.stop()


async def first_offsets(client: Client, topic: str, partitions: int) -> dict[int, int]:
    """The first offset that is still there, by partition."""
    consumer = AIOKafkaConsumer(**client)
    await consumer.start()
    try:
        begin = await consumer.beginning_offsets([TopicPartition(topic, p) for p in range(partitions)])
        return {tp.partition: offset for tp, offset in begin.items()}
    finally:
        await consumer.stop()


async def committed_offsets(client: Client, group: str, topic: str) -> dict[int, int]:
    """The group's committed offset by partition."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:
        return {}  # the broker has not made its offsets topic yet
    else:
        return {tp.partition: meta.offset for tp, meta in offsets.items() if tp.topic == topic}
    finally:
        await admin.close()


async def until(
    condition: Callable[[], Awaitable[bool] | bool],
    *,
    seconds: float = 60,
    every: float = 0.1,
    what: str = "",
) -> None:
    """Wait until a condition holds; fail with ``what`` was awaited."""
    deadline = time.monotonic() + seconds
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        await asyncio.sleep(every)


async def leader_of(client: Client, topic: str, partition: int) -> int | None:
    """The broker that leads a partition, -1 while none does, None while nobody knows."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        cluster = await admin._client.fetch_all_metadata()
        leader: int | None = cluster.leader_for_partition(TopicPartition(topic, partition))
    finally:
        await admin.close()
    return leader
