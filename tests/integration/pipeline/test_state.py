"""Reading state back while others write theirs beside it."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from devstack.apache_kafka import ApacheKafka
from shared.pipeline.state import Snapshot, StateReader, snapshot_output
from tests.streams import create_topics

pytestmark = pytest.mark.kafka


async def put(producer: AIOKafkaProducer, topic: str, tp: TopicPartition, snapshot: Snapshot) -> None:
    output = snapshot_output(topic, tp, snapshot)
    await producer.send_and_wait(topic, output.values[0], key=output.keys[0], partition=0)


async def test_a_neighbours_open_transaction_does_not_hide_our_newest_state(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    """Events and predictions of one number share a changelog partition, and each has its own transactions."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}state"
    await create_topics(client, {topic: 1})
    mine, other = TopicPartition("events", 0), TopicPartition("predictions", 0)
    async with (
        AIOKafkaProducer(**client, transactional_id=f"{topic_prefix}mine") as ours,
        AIOKafkaProducer(**client, transactional_id=f"{topic_prefix}other") as neighbour,
    ):
        async with ours.transaction():
            await put(ours, topic, mine, Snapshot(10, b"old"))
        await neighbour.begin_transaction()
        await put(neighbour, topic, other, Snapshot(99, b"open"))
        async with ours.transaction():
            await put(ours, topic, mine, Snapshot(20, b"new"))
        reading = asyncio.create_task(StateReader(client, topic).last(mine))
        done, _ = await asyncio.wait([reading], timeout=1.0)
        assert not done, f"did not wait for the neighbour: {reading.result()}"
        await neighbour.abort_transaction()
        assert await asyncio.wait_for(reading, 30) == Snapshot(20, b"new")
        assert await StateReader(client, topic).last(other) is None


async def test_the_newest_state_is_found_however_far_back_it_lies(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}state"
    await create_topics(client, {topic: 1})
    mine, other = TopicPartition("events", 0), TopicPartition("predictions", 0)
    async with AIOKafkaProducer(**client, linger_ms=5) as producer:
        await put(producer, topic, mine, Snapshot(7, b"seven"))
        output = snapshot_output(topic, other, Snapshot(1, b"x"))
        sends = [
            await producer.send(topic, output.values[0], key=output.keys[0], partition=0)
            for _ in range(2_000)
        ]
        await asyncio.gather(*sends)
    assert await StateReader(client, topic).last(mine) == Snapshot(7, b"seven")
    assert await StateReader(client, topic).last(other) == Snapshot(1, b"x")
    assert await StateReader(client, topic).last(TopicPartition("labels", 0)) is None
