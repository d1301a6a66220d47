"""The pipeline on a real Apache Kafka: everything once and in order, whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from prometheus_client import CollectorRegistry

from devstack.apache_kafka import ApacheKafka
from shared.errors import ServiceError
from shared.kafka.records import Records
from shared.metrics import PipelineMetrics
from shared.pipeline.pipeline import Pipeline
from shared.pipeline.state import state_key
from tests.integration.pipeline.echo import Echo, options
from tests.streams import ByPartition, committed_offsets, create_topics, produce, read_all, until

pytestmark = pytest.mark.kafka
PARTITIONS = 3


async def make_topics(client: dict[str, object], prefix: str) -> None:
    await create_topics(client, {f"{prefix}in": PARTITIONS, f"{prefix}out": PARTITIONS, f"{prefix}state": 3})


def values(found: ByPartition) -> dict[int, list[bytes]]:
    return {partition: [record.value for record in records] for partition, records in found.items()}


def numbered(count: int, first: int = 0) -> list[tuple[int, bytes]]:
    return [(i % PARTITIONS, b"%d" % i) for i in range(first, first + count)]


def by_partition(records: list[tuple[int, bytes]]) -> dict[int, list[bytes]]:
    return {p: [value for partition, value in records if partition == p] for p in range(PARTITIONS)}


@asynccontextmanager
async def running(
    step: Echo, client: dict[str, object], prefix: str, **kwargs: str
) -> AsyncIterator[Pipeline]:
    stop = asyncio.Event()
    pipeline = Pipeline(step, options(client, prefix, **kwargs), PipelineMetrics(CollectorRegistry()))
    task = asyncio.create_task(pipeline.run(stop))
    try:
        yield pipeline
    finally:
        stop.set()
        await task


async def all_committed(client: dict[str, object], prefix: str, count: int) -> bool:
    return sum((await committed_offsets(client, f"{prefix}echo", f"{prefix}in")).values()) == count


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
async def test_everything_once_and_in_order_over_a_restart(
    kafka: ApacheKafka, topic_prefix: str, delivery: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    sent = numbered(5_000)
    await produce(client, f"{topic_prefix}in", sent[:3_000], headers=[("traceparent", b"00-abc")])
    first, second = Echo(f"{topic_prefix}out"), Echo(f"{topic_prefix}out")
    async with running(first, client, topic_prefix, delivery=delivery) as pipeline:
        await until(lambda: all_committed(client, topic_prefix, 3_000), what="3,000 committed")
        assert pipeline.ready
    await produce(client, f"{topic_prefix}in", sent[3_000:])
    async with running(second, client, topic_prefix, delivery=delivery):
        await until(lambda: all_committed(client, topic_prefix, 5_000), what="5,000 committed")
    found = await read_all(client, f"{topic_prefix}out")
    assert values(found) == by_partition(sent)
    assert found[0][0].headers == (("traceparent", b"00-abc"),)
    assert found[0][0].key == b"k"
    assert sorted(first.opened) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert sorted(second.opened) == [(0, 1_000, 1_000), (1, 1_000, 1_000), (2, 1_000, 1_000)]


class Held(Echo):
    """Computes once it may."""

    def __init__(self, out: str) -> None:
        super().__init__(out)
        self.may = threading.Event()

    def compute(self, work: Sequence[Records]) -> None:
        assert self.may.wait(60)


async def test_a_partition_that_ends_in_an_aborted_transaction_is_caught_up_with(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    """Its markers come while the records before them are still encoded: nothing comes after to correct it."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    topic, step = f"{topic_prefix}in", Held(f"{topic_prefix}out")
    await produce(client, topic, [(0, b"1")])
    async with running(step, client, topic_prefix) as pipeline:

        def position() -> int:
            slot = pipeline._ownership.slots.get(TopicPartition(topic, 0)) if pipeline._ownership else None
            return slot.position if slot is not None else -1

        try:
            await until(lambda: position() == 1, what="the record to be taken")
            async with AIOKafkaProducer(**client, transactional_id=f"{topic_prefix}-t") as producer:
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"aborted", partition=0)
                await producer.abort_transaction()
            await until(lambda: position() == 3, what="the markers to be taken")
            assert pipeline.caught_up_at(topic, 0) is None, "the record is not encoded yet"
        finally:
            step.may.set()
        await until(lambda: pipeline.caught_up_at(topic, 0) is not None, what="the partition to be empty")
    assert values(await read_all(client, f"{topic_prefix}out"))[0] == [b"1"]


async def test_a_foreign_transaction_with_our_id_is_fenced_and_its_records_stay_invisible(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    zombie = AIOKafkaProducer(**client, transactional_id=f"{topic_prefix}echo.{topic_prefix}in.0")
    await zombie.start()
    await zombie.begin_transaction()
    await zombie.send_and_wait(f"{topic_prefix}out", b"zombie", partition=0)
    await produce(client, f"{topic_prefix}in", [(0, b"1"), (0, b"2")])
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix):
        await until(lambda: all_committed(client, topic_prefix, 2), what="2 committed")
    from aiokafka.errors import ProducerFenced

    with pytest.raises(ProducerFenced):
        await zombie.commit_transaction()
    await zombie.stop()
    assert values(await read_all(client, f"{topic_prefix}out"))[0] == [b"1", b"2"]
    raw = await read_all(client, f"{topic_prefix}out", isolation="read_uncommitted")
    assert [record.value for record in raw[0]] == [b"zombie", b"1", b"2"]


async def test_a_record_that_no_topic_takes_stops_the_service_and_is_named(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await create_topics(client, {f"{topic_prefix}in": 1, f"{topic_prefix}state": 1})
    await create_topics(client, {f"{topic_prefix}out": 1}, **{"max.message.bytes": "5000"})
    await produce(client, f"{topic_prefix}in", [(0, b"%d" % i) for i in range(20)])
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix):
        await until(lambda: all_committed(client, topic_prefix, 20), what="20 committed")
    await produce(client, f"{topic_prefix}in", [(0, b"fits"), (0, b"." * 9_000), (0, b"fits too")])
    pipeline = Pipeline(
        Echo(f"{topic_prefix}out"), options(client, topic_prefix), PipelineMetrics(CollectorRegistry())
    )
    with pytest.raises(ServiceError, match=rf"{topic_prefix}out does not take.*in\[0\] offset 20") as caught:
        await asyncio.wait_for(pipeline.run(asyncio.Event()), 60)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (f"{topic_prefix}in", 0, 20)
    assert len((await read_all(client, f"{topic_prefix}out"))[0]) == 20


async def test_a_group_divided_before_the_broker_names_the_partitions_is_divided_again(
    kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    await produce(client, f"{topic_prefix}in", numbered(30))
    assign, divisions = RoundRobinPartitionAssignor.assign, []

    def just_awake(cluster: ClusterMetadata, members: Any) -> Any:
        divisions.append(1)
        if len(divisions) == 1:
            cluster._partitions.pop(f"{topic_prefix}in")
        return assign(cluster, members)

    monkeypatch.setattr(RoundRobinPartitionAssignor, "assign", just_awake)
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix):
        await until(lambda: all_committed(client, topic_prefix, 30), seconds=30, what="30 committed")
    assert len(divisions) > 1, "the group was never divided without partitions: the test tests nothing"


@pytest.mark.parametrize("damaged", [b"", b"no snapshot", b"\x82\xabnext_offset"])
async def test_a_state_that_cannot_be_read_stops_the_service_and_is_named(
    kafka: ApacheKafka, topic_prefix: str, damaged: bytes
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await create_topics(client, {f"{topic_prefix}{name}": 1 for name in ("in", "out", "state")})
    async with AIOKafkaProducer(**client) as producer:
        await producer.send_and_wait(
            f"{topic_prefix}state", damaged, key=state_key(f"{topic_prefix}in", 0), partition=0
        )
    pipeline = Pipeline(
        Echo(f"{topic_prefix}out"), options(client, topic_prefix), PipelineMetrics(CollectorRegistry())
    )
    with pytest.raises(ServiceError, match=rf"the state in {topic_prefix}state .* cannot be read") as caught:
        await asyncio.wait_for(pipeline.run(asyncio.Event()), 60)
    assert (caught.value.topic, caught.value.partition) == (f"{topic_prefix}in", 0)


async def test_state_that_contradicts_the_offsets_stops_the_service(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    await produce(client, f"{topic_prefix}in", numbered(30))
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix):
        await until(lambda: all_committed(client, topic_prefix, 30), what="30 committed")
    await _reset_offsets(client, f"{topic_prefix}echo", f"{topic_prefix}in")
    pipeline = Pipeline(
        Echo(f"{topic_prefix}out"), options(client, topic_prefix), PipelineMetrics(CollectorRegistry())
    )
    with pytest.raises(ServiceError, match=r"ends at offset 10, but the group .* was set to 4"):
        await asyncio.wait_for(pipeline.run(asyncio.Event()), 30)


async def test_a_broker_that_keeps_no_metadata_has_our_own_offset_without_its_mark(
    kafka: ApacheKafka, topic_prefix: str
) -> None:
    """As the embedded one does: a process that was killed had published less than its state holds."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    await produce(client, f"{topic_prefix}in", numbered(30))
    delivery = "at-least-once"
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix, delivery=delivery):
        await until(lambda: all_committed(client, topic_prefix, 30), what="30 committed")
    await _reset_offsets(client, f"{topic_prefix}echo", f"{topic_prefix}in")
    await produce(client, f"{topic_prefix}in", numbered(30))
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix, delivery=delivery):
        await until(lambda: all_committed(client, topic_prefix, 60), what="60 committed")
    answers = await read_all(client, f"{topic_prefix}out")
    assert sum(map(len, answers.values())) == 60, "nothing is read again from the offset that has no mark"


async def _reset_offsets(client: dict[str, object], group: str, topic: str) -> None:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(**client, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
    await consumer.commit({TopicPartition(topic, p): 4 for p in range(PARTITIONS)})
    await consumer.stop()
