from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from devstack.embedded_kafka import EmbeddedKafka
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.topics import TopicNames
from tests.integration.cli.conftest import Cli
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import until

pytestmark = pytest.mark.kafka


@pytest.fixture
def ready(cli: Cli, redis_server: RedisServer, tmp_path: Path) -> Cli:
    """The command line with a registry of its own, in which demo 1 is champion."""
    registry = {
        "DRIFTLINE_REDIS_URL": redis_server.url,
        "DRIFTLINE_BUNDLE_STORE": str(tmp_path / "store"),
        "DRIFTLINE_REDIS_PREFIX": cli.topics.prefix,
    }
    ready = dataclasses.replace(cli, extra=registry)
    bundle = write_bundle(
        tmp_path / "demo-1", linear(3, [0.1, 0.2, -0.3]), numeric_spec(3, name="demo", version="1")
    )
    ready("models", "register", str(bundle.path), "--why", "test")
    ready("models", "promote", "demo", "1", "--why", "test")
    return ready


def checks(cli: Cli, *arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(cli("doctor", "--json", *arguments, code=code)[0])}


def test_all_is_well(ready: Cli) -> None:
    found = checks(ready, "--broker-clock")
    assert {name: check["status"] for name, check in found.items()} == dict.fromkeys(
        [
            "broker",
            "topics",
            "partitions",
            "dead letters",
            "delivery",
            "broker's clock",
            "Redis",
            "Redis's clock",
            "registry",
            "model demo",
        ],
        "ok",
    )
    table, _ = ready("doctor")
    assert "9 checks passed, 0 failed" in table
    left = ready("topics", "list")[0]
    assert "doctor-" not in left


def test_a_damaged_bundle_and_a_model_without_champion(ready: Cli, tmp_path: Path) -> None:
    spec = numeric_spec(3, name="new", version="7")
    bundle = write_bundle(tmp_path / "new-7", linear(3, [0.1, 0.2, -0.3]), spec)
    ready("models", "register", str(bundle.path), "--why", "test")
    (graph,) = (tmp_path / "store" / "demo" / "1").glob("*.onnx")
    graph.write_bytes(b"x" + graph.read_bytes()[1:])
    found = checks(ready, code=1)
    assert found["model new"]["todo"] == "driftline models promote new 7 --why WHY"
    assert "model.onnx" in found["model demo"]["found"]
    assert "driftline models register BUNDLE" in found["model demo"]["todo"]


def test_missing_topics(cli: Cli) -> None:
    found = checks(cli, "--no-registry", "--topic-prefix", "nowhere-", code=1)
    assert found["topics"]["todo"] == "driftline topics create --topic-prefix nowhere-"
    assert found["delivery"]["status"] == "unknown"


def test_partitions_and_dead_letters_that_do_not_fit(cli: Cli) -> None:
    names = cli.topics

    async def spoil() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=cli.servers)
        await admin.start()
        try:
            await admin.create_partitions({names.predictions: NewPartitions(total_count=5)})
            configs = {"retention.ms": "1000", "max.message.bytes": "2000", "cleanup.policy": "compact"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, names.dead_letters, configs)])

            async def visible() -> bool:
                (topic,) = await admin.describe_topics([names.predictions])
                return len(topic["partitions"]) == 5

            await until(visible, what="the new partitions")
        finally:
            await admin.close()

    asyncio.run(spoil())
    found = checks(cli, "--no-registry", code=1)
    assert found["partitions"]["found"] == f"{names.events} has 3, {names.predictions} 5"
    assert found["dead letters"]["todo"] == (
        f"kafka-configs.sh --bootstrap-server {cli.servers} --entity-type topics "
        f"--entity-name {names.dead_letters} "
        "--alter --add-config max.message.bytes=8388608,retention.ms=604800000,cleanup.policy=delete"
    )


def test_records_that_may_be_stamped_in_the_future(cli: Cli) -> None:
    name, key, far = cli.topics.events, "message.timestamp.after.max.ms", str(1 << 60)
    topic = ConfigResource(ConfigResourceType.TOPIC, name)

    async def spoil() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=cli.servers)
        await admin.start()
        try:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {key: far})])

            async def visible() -> bool:
                (response,) = await admin.describe_configs([topic])
                return {entry[0]: entry[1] for entry in response.resources[0][4]}[key] == far

            await until(visible, what="the new setting")
        finally:
            await admin.close()

    asyncio.run(spoil())
    found = checks(cli, "--no-registry", code=1)[f"timestamps of {name}"]
    assert found["status"] == "failed"
    assert found["todo"].endswith(f"--entity-name {name} --alter --add-config {key}=3600000")


def test_clocks_apart_fail(ready: Cli) -> None:
    found = checks(ready, "--most-skew", "0", "--broker-clock", code=1)
    assert {name for name, check in found.items() if check["status"] == "failed"} <= {
        "Redis's clock",
        "broker's clock",
    }
    assert "set-ntp true" in next(c["todo"] for c in found.values() if c["status"] == "failed")


@pytest.mark.parametrize(
    "url", ["redis://:hunter22@127.0.0.1:1/0", "unix:///nowhere/r.sock?password=hunter22"]
)
def test_nobody_answers_and_no_password_is_shown(cli: Cli, url: str) -> None:
    away = ["--bootstrap-servers", "127.0.0.1:1", "--redis-url", url]
    out, err = cli("doctor", *away, code=1)
    assert "127.0.0.1:1 cannot be reached" in out
    assert "hunter22" not in out + err
    found = checks(cli, *away, code=1)
    assert [found[name]["status"] for name in ("broker", "topics", "delivery", "Redis", "registry")] == [
        "failed",
        "unknown",
        "unknown",
        "failed",
        "unknown",
    ]


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as server:
        yield server


def test_a_broker_without_transactions(embedded: EmbeddedKafka) -> None:
    names = TopicNames("t-")
    asyncio.run(create_topics({"bootstrap_servers": embedded.bootstrap_servers}, names, partitions=2))
    cli = Cli(embedded.bootstrap_servers, names)
    found = checks(cli, "--no-registry", "--broker-clock", code=1)
    assert found["delivery"]["status"] == "failed"
    assert found["broker's clock"]["status"] == "unknown"
    assert checks(cli, "--no-registry", "--delivery", "at-least-once")["delivery"]["status"] == "ok"
