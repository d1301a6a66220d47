"""KAFKA-20734 itself, on three real brokers: a transaction ends while a partition has no leader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.apache_kafka import ApacheKafka
from shared.kafka.stopping import cut_off
from tests.integration.pipeline.echo import Echo, options
from tests.integration.pipeline.test_pipeline import all_committed, by_partition, numbered, running, values
from tests.streams import Client, leader_of, produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.faults]
LONELY = 3


@pytest.fixture
def cluster() -> Iterator[ApacheKafka]:
    with ApacheKafka(nodes=3) as server:
        yield server


async def make_topics(client: Client, prefix: str) -> None:
    """``out`` has its only copy on broker 3, everything else three copies."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        alone = NewTopic(f"{prefix}out", -1, -1, replica_assignments={p: [LONELY] for p in range(3)})
        alone.topic_configs["min.insync.replicas"] = "1"
        await admin.create_topics(
            [alone, NewTopic(f"{prefix}in", 3, 3), NewTopic(f"{prefix}state", 3, 3)], timeout_ms=15_000
        )
    finally:
        await admin.close()


async def test_records_of_an_aborted_transaction_stay_invisible_although_no_marker_could_be_written(
    cluster: ApacheKafka, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": cluster.bootstrap_servers, **cluster.client_settings()}
    await make_topics(client, topic_prefix)
    sent = numbered(90)
    await produce(client, f"{topic_prefix}in", sent)
    former = AIOKafkaProducer(
        **client, transactional_id=options(client, topic_prefix).transactional_id(f"{topic_prefix}in", 0)
    )
    await former.start()
    await former.begin_transaction()
    for number in range(10):
        await former.send_and_wait(f"{topic_prefix}out", b"%d" % (3 * number), key=b"k", partition=0)
    await asyncio.to_thread(cluster.nodes[LONELY - 1].kill)

    async def leaderless() -> bool:
        return await leader_of(client, f"{topic_prefix}out", 0) == -1

    await until(leaderless, what="the partition to lose its only leader")
    await cut_off(former)
    ending = AIOKafkaProducer(
        **client, transactional_id=options(client, topic_prefix).transactional_id(f"{topic_prefix}in", 0)
    )
    await ending.start()  # aborts the transaction, and finds nobody to tell
    await cut_off(ending)
    await asyncio.to_thread(cluster.nodes[LONELY - 1].start)
    async with running(Echo(f"{topic_prefix}out"), client, topic_prefix):
        await until(lambda: all_committed(client, topic_prefix, len(sent)), what="everything committed")
    assert values(await read_all(client, f"{topic_prefix}out")) == by_partition(sent)
