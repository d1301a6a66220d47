"""The real Apache Kafka that the other tests stand on."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from devstack.apache_kafka import ApacheKafka
from devstack.errors import DevstackError
from devstack.ports import Ports
from devstack.security import Security

pytestmark = pytest.mark.kafka


async def create(kafka: ApacheKafka, topic: str) -> list[int]:
    """Create a topic of one partition with the cluster's replication; return the replicas."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **kafka.client_settings())
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, -1)])
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


async def test_a_transaction_commits_and_aborts(kafka: ApacheKafka, topic_prefix: str) -> None:
    topic = f"{topic_prefix}transactions"
    await create(kafka, topic)
    await commit_one_and_abort_one(kafka, topic)
    assert await read(kafka, topic) == [b"committed"]


async def test_topics_are_not_created_by_themselves(kafka: ApacheKafka, topic_prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    (described,) = await admin.describe_topics([f"{topic_prefix}unknown"])
    names = await admin.list_topics()
    await admin.close()
    assert described["error_code"] == 3
    assert f"{topic_prefix}unknown" not in names


class TestSecurity:
    """One broker per kind of security, for all the tests of the kind."""

    @pytest.fixture(scope="class", params=[kind for kind in get_args(Security) if kind != "plaintext"])
    def secured(self, request: pytest.FixtureRequest) -> Iterator[ApacheKafka]:
        with ApacheKafka(security=request.param) as kafka:
            yield kafka

    async def test_a_transaction_goes_through(self, secured: ApacheKafka) -> None:
        await create(secured, "secured")
        await commit_one_and_abort_one(secured, "secured")
        assert await read(secured, "secured") == [b"committed"]

    async def test_an_unknown_authority_is_refused_by_the_client(self, secured: ApacheKafka) -> None:
        settings = secured.client_settings() | {"ssl_context": ssl.create_default_context()}
        with pytest.raises(KafkaConnectionError):
            await self.connect(secured, settings)

    async def test_a_plaintext_client_is_refused(self, secured: ApacheKafka) -> None:
        with pytest.raises(KafkaError):
            await self.connect(secured, {"security_protocol": "PLAINTEXT"})

    async def test_a_wrong_password_is_refused(self, secured: ApacheKafka) -> None:
        if secured.security != "sasl_tls":
            pytest.skip("there is no password without SASL")
        with pytest.raises(KafkaError):
            await self.connect(secured, secured.client_settings() | {"sasl_plain_password": "wrong"})

    async def connect(self, kafka: ApacheKafka, settings: dict[str, object]) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=3_000, **settings
        )
        try:
            await producer.start()
        finally:
            await producer.stop()


@pytest.mark.slow
async def test_a_node_keeps_its_data_and_ports_over_every_fault(tmp_path: Path) -> None:
    with ApacheKafka(data_dir=tmp_path) as kafka:
        node, before = kafka.nodes[0], kafka.bootstrap_servers
        await create(kafka, "kept")
        await send(kafka, "kept", b"1")
        node.kill()
        assert (node.running, node.known_brokers()) == (False, frozenset())
        node.start()
        await send(kafka, "kept", b"2")
        node.stop()
        assert not node.running
        node.start()
        await send(kafka, "kept", b"3")
        node.suspend()
        assert (node.running, node.known_brokers()) == (True, frozenset())
        node.resume()
        await send(kafka, "kept", b"4")
        assert kafka.bootstrap_servers == before
    with ApacheKafka(data_dir=tmp_path) as kafka:
        assert await read(kafka, "kept") == [b"1", b"2", b"3", b"4"]


@pytest.mark.slow
async def test_three_nodes_lose_nothing_with_one_killed() -> None:
    with ApacheKafka(nodes=3) as kafka:
        assert await create(kafka, "replicated") == [1, 2, 3]
        await send(kafka, "replicated", b"before")
        for node in kafka.nodes:
            node.kill()
            await send(kafka, "replicated", b"without %d" % node.node_id)
            node.start()
            kafka.wait_ready()
        assert await read(kafka, "replicated") == [b"before", b"without 1", b"without 2", b"without 3"]


def test_a_taken_port_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        reserve, offers = Ports.reserve, iter([taken])
        monkeypatch.setattr(Ports, "reserve", lambda self: next(offers, None) or reserve(self))
        with ApacheKafka() as kafka:
            assert kafka.nodes[0].port != taken
            assert kafka.nodes[0].known_brokers() == {1}


def test_a_wrong_property_fails_the_start_with_the_reason() -> None:
    began = time.monotonic()
    with (
        pytest.raises(DevstackError, match=r"num\.io\.threads") as caught,
        ApacheKafka(settings={"num.io.threads": "many"}),
    ):
        pass
    assert "Kafka node 1 could not be formatted" in str(caught.value)
    assert time.monotonic() - began < 60


def test_two_nodes_are_refused() -> None:
    with pytest.raises(DevstackError, match="nodes: Apache Kafka runs here with 1 or 3 nodes, not 2"):
        ApacheKafka(nodes=2)
