"""Transactions written request by request: whole, in order, fenced, and refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from devstack.apache_kafka import ApacheKafka
from shared.kafka.batch import ColumnBatch
from shared.kafka.producing import Addressed, BatchTooLarge
from shared.kafka.records import Output
from shared.kafka.transactions import Transactions
from tests.streams import create_topics, read_all

pytestmark = pytest.mark.kafka


@asynccontextmanager
async def opened(client: dict[str, Any], name: str, topics: list[str]) -> AsyncIterator[Transactions]:
    async with AIOKafkaProducer(**client, transactional_id=name) as producer:
        for topic in topics:
            await producer.partitions_for(topic)
        yield Transactions(producer, name, request_timeout=10.0)


def batches(topic: str, partition: int, values: list[bytes], *, max_bytes: int = 1 << 18) -> list[Addressed]:
    output, made, position = Output(topic, partition, [None] * len(values), values), [], 0
    while position < len(values):
        batch = ColumnBatch(max_bytes, transactional=True)
        position = batch.fill(output, position, 1_700_000_000_000)
        made.append(Addressed(TopicPartition(topic, partition), batch))
    return made


async def write(transactions: Transactions, whole: list[Addressed], *, commit: bool = True) -> None:
    await transactions.begin({one.tp for one in whole})
    await transactions.produce(whole)
    await transactions.end(commit=commit)


async def test_one_after_another_without_a_pause(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    one, other = f"{topic_prefix}one", f"{topic_prefix}other"
    await create_topics(client, {one: 2, other: 1})
    expected: dict[tuple[str, int], list[bytes]] = {(one, 0): [], (one, 1): [], (other, 0): []}
    async with opened(client, f"{topic_prefix}id", [one, other]) as transactions:
        for number in range(30):
            commit, whole = number % 5 != 3, []
            for topic, partition in expected:
                values = [b"%d-%d " % (number, row) + b"x" * 200 for row in range(10 + number)]
                whole += batches(topic, partition, values, max_bytes=1_500)
                if commit:
                    expected[topic, partition] += values
            assert len(whole) >= 6, "each partition has several batches"
            await write(transactions, whole, commit=commit)
    for topic in (one, other):
        for partition, records in (await read_all(client, topic)).items():
            assert [record.value for record in records] == expected[topic, partition]


async def test_whoever_opens_the_id_fences_the_former_one(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic, name = f"{topic_prefix}t", f"{topic_prefix}id"
    await create_topics(client, {topic: 1})
    async with opened(client, name, [topic]) as former:
        await write(former, batches(topic, 0, [b"kept"]))
        await former.begin([TopicPartition(topic, 0)])
        await former.produce(batches(topic, 0, [b"given up"]))
        async with opened(client, name, [topic]) as owner:
            await write(owner, batches(topic, 0, [b"new"]))
            with pytest.raises(ProducerFenced):
                await former.end()
            with pytest.raises(ProducerFenced):
                await former.begin([TopicPartition(topic, 0)])
    assert [record.value for record in (await read_all(client, topic))[0]] == [b"kept", b"new"]


async def test_a_batch_too_large_for_its_topic_is_named(kafka: ApacheKafka, topic_prefix: str) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    topic = f"{topic_prefix}t"
    await create_topics(client, {topic: 1})
    async with opened(client, f"{topic_prefix}id", [topic]) as transactions:
        await transactions.begin([TopicPartition(topic, 0)])
        with pytest.raises(BatchTooLarge, match=f"a batch of 3 records for {topic}"):
            await transactions.produce(batches(topic, 0, [b"x" * 700_000] * 3, max_bytes=1 << 22))
        await transactions.end(commit=False)
