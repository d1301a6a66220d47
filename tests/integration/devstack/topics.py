"""Creates, writes and reads topics of any cluster of devstack, whatever its security."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.apache_kafka import ApacheKafka


async def create(kafka: ApacheKafka, topic: str) -> list[int]:
    """Create a topic of one partition replicated to every node; return the replicas."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **kafka.client_settings())
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, len(kafka.nodes))])
        assert answer.topic_errors == [(topic, 0, None)]
        while True:
            (described,) = await admin.describe_topics([topic])
            if described["error_code"] == 0 and described["partitions"]:
                return sorted(described["partitions"][0]["replicas"])
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def send(kafka: ApacheKafka, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, acks="all", **kafka.client_settings()
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def read(kafka: ApacheKafka, topic: str) -> list[bytes]:
    """Return every committed value of the topic."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **kafka.client_settings(),
    ) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            batches = await consumer.getmany(timeout_ms=200)
            values += [record.value for records in batches.values() for record in records]
        return values


async def commit_one_and_abort_one(kafka: ApacheKafka, topic: str) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic, **kafka.client_settings()
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"committed")
        await producer.commit_transaction()
