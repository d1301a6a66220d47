"""What the demo may rely on with the embedded broker, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownError

from devstack.embedded_kafka import EmbeddedKafka


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as server:
        yield server


async def create(server: EmbeddedKafka, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    await admin.start()
    answer = await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()
    assert answer.topic_errors == [(topic, 0, None)]


async def test_headers_key_and_timestamp_come_back(embedded: EmbeddedKafka, topic_prefix: str) -> None:
    topic = f"{topic_prefix}headers"
    await create(embedded, topic)
    headers = [("traceparent", b"00-ab"), ("empty", b""), ("traceparent", b"again")]
    async with AIOKafkaProducer(
        bootstrap_servers=embedded.bootstrap_servers, enable_idempotence=False
    ) as producer:
        await producer.send_and_wait(
            topic, b"value", key=b"key", headers=headers, timestamp_ms=1_700_000_000_123
        )
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=embedded.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    assert (record.key, record.value, record.timestamp, record.offset, record.headers) == (
        b"key",
        b"value",
        1_700_000_000_123,
        0,
        tuple(headers),
    )


async def test_batches_take_consecutive_offsets_and_the_fetch_tells_the_end(
    embedded: EmbeddedKafka, topic_prefix: str
) -> None:
    partition = TopicPartition(f"{topic_prefix}batches", 0)
    await create(embedded, partition.topic)
    async with AIOKafkaProducer(
        bootstrap_servers=embedded.bootstrap_servers, enable_idempotence=False
    ) as producer:
        for _ in range(3):
            batch = producer.create_batch()
            for number in range(100):
                batch.append(key=None, value=b"%d" % number, timestamp=None)
            batch.close()
            await (await producer.send_batch(batch, partition.topic, partition=0))
    async with AIOKafkaConsumer(
        bootstrap_servers=embedded.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([partition])
        records = [await consumer.getone() for _ in range(300)]
        # The end comes from the fetch: end_offsets() is short by the last batch's length less one.
        assert consumer.highwater(partition) == 300
    assert [record.offset for record in records] == list(range(300))
    assert [record.value for record in records] == [b"%d" % number for number in range(100)] * 3


@pytest.mark.parametrize("settings", [{"transactional_id": "t"}, {"enable_idempotence": True}])
async def test_there_are_no_transactions_and_no_idempotence(
    embedded: EmbeddedKafka, settings: dict[str, object]
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=embedded.bootstrap_servers, **settings)
    try:
        with pytest.raises(UnknownError):
            await producer.start()
    finally:
        await producer.stop()
