"""Columns straight from the fetcher hold exactly what aiokafka's own records hold."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from devstack.apache_kafka import ApacheKafka
from shared.errors import ServiceError
from shared.kafka.batch import ColumnBatch
from shared.kafka.consumer import ColumnConsumer
from shared.kafka.records import Output
from tests.streams import create_topics, until

pytestmark = pytest.mark.kafka


async def fill(client: dict[str, object], topic: str) -> None:
    """Plain, keyless, empty, compressed, aborted and committed records, headers, null values."""
    producer = AIOKafkaProducer(**client, compression_type="lz4", linger_ms=5)
    async with producer:
        for i in range(300):
            await producer.send(
                topic,
                None if i % 50 == 7 else b"v%d" % i,
                key=b"k%d" % i,
                headers=[("h", b"%d" % i), ("h", b"again")] if i % 3 else None,
                partition=i % 2,
            )
        await producer.send(topic, b"", partition=0)
    async with AIOKafkaProducer(**client, transactional_id=f"{topic}-t") as transactional:
        for keep in (False, True, False):
            await transactional.begin_transaction()
            for i in range(20):
                await transactional.send(topic, b"%s%d" % (str(keep).encode(), i), partition=0)
            await (transactional.commit_transaction() if keep else transactional.abort_transaction())


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
async def test_columns_equal_records(kafka: ApacheKafka, topic_prefix: str, isolation: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}t"
    await create_topics(client, {topic: 2})
    await fill(client, topic)
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    plain = AIOKafkaConsumer(**client, isolation_level=isolation, auto_offset_reset="earliest")
    columns = ColumnConsumer(**client, isolation_level=isolation, auto_offset_reset="earliest")
    async with plain, columns:
        plain.assign(partitions)
        columns.assign(partitions)
        ends = await plain.end_offsets(partitions)
        expected, found = [], []
        deadline = time.monotonic() + 30
        for tp in partitions:
            while await plain.position(tp) < ends[tp]:
                assert time.monotonic() < deadline
                for records in (await plain.getmany(tp, timeout_ms=200)).values():
                    expected += [
                        (r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                        for r in records
                    ]
            while await columns.position(tp) < ends[tp]:
                assert time.monotonic() < deadline
                for part in await columns.getcolumns([tp], timeout=0.2, max_records=50):
                    rows = zip(
                        part.offsets, part.timestamps, part.keys, part.values, part.headers, strict=True
                    )
                    found += [(part.topic, part.partition, *row[:4], tuple(row[4])) for row in rows]
    assert len(expected) == (321 if isolation == "read_committed" else 361)
    assert found == expected


async def test_a_filled_batch_reads_back_as_it_went_in_and_splits_where_it_is_full(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}t"
    await create_topics(client, {topic: 1})
    values = [b"x" * 100 if i != 5 else b"y" * 3_000 for i in range(50)]
    keys = [b"%d" % i if i % 2 else None for i in range(50)]
    output = Output(topic, 0, keys, values, [[("h", b"%d" % i)] for i in range(50)])
    batches = 0
    async with AIOKafkaProducer(**client) as producer:
        position = 0
        while position < len(values):
            batch = ColumnBatch(1_000, transactional=False)
            position = batch.fill(output, position, 1_700_000_000_000)
            await (await producer.send_batch(batch, topic, partition=0))
            batches += 1
    assert batches > 5
    consumer = AIOKafkaConsumer(topic, **client, auto_offset_reset="earliest")
    async with consumer:
        read = [await consumer.getone() for _ in range(50)]
    assert [r.value for r in read] == values
    assert [r.key for r in read] == keys
    assert [r.headers for r in read] == [(("h", b"%d" % i),) for i in range(50)]
    assert {r.timestamp for r in read} == {1_700_000_000_000}


async def test_a_rebalance_that_does_not_end_is_not_waited_for(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await create_topics(client, {f"{topic_prefix}t": 1})
    consumer = ColumnConsumer(f"{topic_prefix}t", **client, group_id=f"{topic_prefix}g")
    async with consumer:
        consumer._subscription.begin_reassignment()
        tp = TopicPartition(f"{topic_prefix}t", 0)
        assert await asyncio.wait_for(consumer.getcolumns([tp], timeout=0.1, max_records=1), 20) == []


async def test_a_consumer_whose_group_task_has_ended_says_so(kafka: ApacheKafka, topic_prefix: str) -> None:
    """aiokafka would raise the same error at every call, or nothing at all, and never join again."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await create_topics(client, {f"{topic_prefix}t": 1})
    consumer = ColumnConsumer(f"{topic_prefix}t", **client, group_id=f"{topic_prefix}g")
    async with consumer:
        task = consumer._coordinator._coordination_task
        task.cancel()
        await asyncio.wait([task], timeout=20)
        with pytest.raises(ServiceError, match="left its group for good"):
            await consumer.getcolumns([], timeout=0.1, max_records=1)


async def test_who_has_no_partition_stays_in_the_group_and_takes_over(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    """aiokafka takes a consumer that does not poll for dead after its longest pause, five minutes."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}t"
    await create_topics(client, {topic: 1})

    def member() -> ColumnConsumer:
        return ColumnConsumer(
            topic,
            **client,
            group_id=f"{topic_prefix}g",
            max_poll_interval_ms=500,
            heartbeat_interval_ms=100,
            metadata_max_age_ms=1_000,
        )

    async def waits(*members: ColumnConsumer) -> None:
        await asyncio.gather(*(one.idle(0.05) for one in members))

    first, second = member(), member()
    async with second, first:

        async def divided() -> bool:
            await waits(first, second)
            return sorted(len(one.assignment()) for one in (first, second)) == [0, 1]

        await until(divided, what="one partition divided between two")
        idle, busy = sorted((first, second), key=lambda one: len(one.assignment()))
        until_then = time.monotonic() + 2.0  # four times the longest pause
        while time.monotonic() < until_then:
            await waits(idle, busy)
        await busy.stop()

        async def taken_over() -> bool:
            await waits(idle)
            return len(idle.assignment()) == 1

        await until(taken_over, what="the partition taken over")
