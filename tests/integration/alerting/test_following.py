"""Reading a topic outside any group: from before it exists, over nonsense, twice the same."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from devstack.apache_kafka import ApacheKafka
from services.alerting.exposition import follow
from services.alerting.exposition.reader import BACK_MS
from tests.streams import create_topics, produce, until

pytestmark = pytest.mark.kafka


async def test_a_topic_that_comes_later_is_read_and_nonsense_is_passed_over(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic, heard = f"{topic_prefix}later", []

    def take(_: bytes, value: bytes) -> None:
        heard.append(msgspec.json.decode(value))

    reading = asyncio.create_task(follow(client, topic, take))
    try:
        await asyncio.sleep(1)
        await create_topics(client, {topic: 2})  # it was not made by asking for it
        await produce(client, topic, [(0, b"1"), (1, b"{nonsense"), (1, b"2"), (0, None), (0, b"3")])
        await until(lambda: sorted(heard) == [1, 2, 3], what="every record that is one")
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def test_what_was_written_too_long_ago_is_left_out(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic, heard = f"{topic_prefix}old", []
    await create_topics(client, {topic: 1})
    producer = AIOKafkaProducer(**client)
    await producer.start()
    two_days_ago = int(1000 * time.time()) - 2 * BACK_MS
    await producer.send_and_wait(topic, b"1", timestamp_ms=two_days_ago)
    await producer.send_and_wait(topic, b"2")
    await producer.stop()
    reading = asyncio.create_task(
        follow(client, topic, lambda _, value: heard.append(value), back_ms=BACK_MS)
    )
    try:
        await until(lambda: b"2" in heard, what="the newer record")
        await produce(client, topic, [(0, b"3")])
        await until(lambda: b"3" in heard, what="the newest record")
        assert heard == [b"2", b"3"]
    finally:
        reading.cancel()
        await asyncio.wait([reading])
