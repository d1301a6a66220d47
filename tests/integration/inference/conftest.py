"""A prefix's topics, bundles and registry, and the settings of a service over them."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.registry import RedisRegistry
from shared.topics import TopicNames
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import committed_offsets

PARTITIONS = 3


@dataclass
class Stage:
    """Everything one inference test plays on."""

    client: dict[str, Any]
    topics: TopicNames
    registry: RedisRegistry
    folder: Path
    settings: dict[str, str]
    sent: int = field(default=0)

    async def publish(self, version: str, *, name: str = "demo", bias: float = 0.0) -> None:
        """Register a version of a model and make it champion."""
        spec = numeric_spec(3, name=name, version=version, window=3600)
        bundle = write_bundle(self.folder / f"{name}-{version}", linear(3, [0.1, 0.2, -0.3], bias), spec)
        await self.registry.register(bundle.path, who=getpass.getuser(), why="test")
        await self.registry.promote(name, version, who=getpass.getuser(), why="test")

    async def committed(self) -> int:
        """Events the service has committed, over all partitions."""
        group = f"{self.settings['DRIFTLINE_GROUP_PREFIX']}.inference"
        return sum((await committed_offsets(self.client, group, self.topics.events)).values())

    def events(self, count: int) -> list[tuple[int, bytes]]:
        """The next ``count`` good events with their partitions, numbered over the whole test."""
        first, self.sent = self.sent, self.sent + count
        return [(i % PARTITIONS, good_event(f"e{i}")) for i in range(first, first + count)]


def good_event(event_id: str, **extra: Any) -> bytes:
    features = {"f0": 1.5, "f1": -2, "f2": 0}
    return msgspec.json.encode(
        {"event_id": event_id, "occurred_at": 1_700_000_000_000, "features": features} | extra
    )


@pytest.fixture
async def stage(
    kafka: ApacheKafka, redis_server: RedisServer, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    names = TopicNames(topic_prefix)
    await create_topics(client, names, partitions=PARTITIONS)
    store = str(tmp_path / "store")
    settings = {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "DRIFTLINE_TOPIC_PREFIX": topic_prefix,
        "DRIFTLINE_GROUP_PREFIX": f"{topic_prefix}driftline",
        "DRIFTLINE_REDIS_URL": redis_server.url,
        "DRIFTLINE_REDIS_PREFIX": topic_prefix,
        "DRIFTLINE_BUNDLE_STORE": store,
        "DRIFTLINE_CACHE_DIR": str(tmp_path / "cache"),
        "DRIFTLINE_REPORT_SECONDS": "1",
        "DRIFTLINE_MODELS": "demo",
    }
    async with RedisRegistry(redis_server.url, store, tmp_path / "cache", topic_prefix) as registry:
        yield Stage(client, names, registry, tmp_path, settings)
