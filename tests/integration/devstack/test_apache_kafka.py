"""The real Apache Kafka that the other tests stand on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from devstack.apache_kafka import ApacheKafka
from devstack.errors import DevstackError
from devstack.ports import Ports
from tests.integration.devstack.topics import commit_one_and_abort_one, create, read, send

pytestmark = pytest.mark.kafka


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
    with (
        pytest.raises(DevstackError, match=r"num\.io\.threads") as caught,
        ApacheKafka(settings={"num.io.threads": "many"}),
    ):
        pass
    assert "Kafka node 1 could not be formatted" in str(caught.value)


def test_two_nodes_are_refused() -> None:
    with pytest.raises(DevstackError, match="nodes: Apache Kafka runs here with 1 or 3 nodes, not 2"):
        ApacheKafka(nodes=2)
