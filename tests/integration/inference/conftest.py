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
from shared.registry import RedisRegistry
from tests.models import linear, numeric_spec, write_bundle
from tests.stage import Stage as BareStage
from tests.stage import open_registry, registry_settings

PARTITIONS = 3


@dataclass
class Stage(BareStage):
    """Everything one inference test plays on."""

    registry: RedisRegistry
    sent: int = field(default=0)

    async def publish(self, version: str, *, name: str = "demo", bias: float = 0.0) -> None:
        """Register a version of a model and make it champion."""
        spec = numeric_spec(3, name=name, version=version, window=3600)
        bundle = write_bundle(self.folder / f"{name}-{version}", linear(3, [0.1, 0.2, -0.3], bias), spec)
        await self.registry.register(bundle.path, who=getpass.getuser(), why="test")
        await self.registry.promote(name, version, who=getpass.getuser(), why="test")

    async def committed(self) -> int:
        """Events the service has committed, over all partitions."""
        return await self.committed_of("inference", self.topics.events)

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
    extra = {"DRIFTLINE_REPORT_SECONDS": "1", "DRIFTLINE_MODELS": "demo"}
    settings = registry_settings(redis_server, topic_prefix, tmp_path) | extra
    async with open_registry(redis_server, topic_prefix, tmp_path) as registry:
        yield await Stage.set_up(kafka, topic_prefix, tmp_path, settings=settings, registry=registry)
