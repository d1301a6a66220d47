"""A prefix's topics and registry with a champion, and the shadow's settings over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.kafka.topics import create_topics
from shared.messages import ShadowReport
from shared.registry import RedisRegistry
from shared.reports import LatestReports, decode_report
from shared.topics import TopicNames
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import committed_offsets, read_all

PARTITIONS = 3
ANN = {"who": "ann", "why": "test"}


def spec_of(version: str) -> ModelSpec:
    """The contract of every version: three features, the carrier a segment."""
    carrier = FeatureSpec(name="f1", min=0, max=3)
    spec = numeric_spec(3, version=version, window=3600, segments=("f1",))
    return msgspec.structs.replace(spec, features=(spec.features[0], carrier, spec.features[2]))


@dataclass
class Stage:
    """Everything one shadow test plays on."""

    client: dict[str, Any]
    topics: TopicNames
    registry: RedisRegistry
    folder: Path
    settings: dict[str, str]
    sent: list[tuple[int, bytes]] = field(default_factory=list)

    async def publish(
        self, version: str, *, candidate: bool = False, graph: onnx.ModelProto | None = None
    ) -> None:
        """Register a version; make it champion, or a candidate."""
        graph = graph or linear(3, [0.1, 0.2, -0.3], float(version) / 10 - 0.1)
        bundle = write_bundle(self.folder / version, graph, spec_of(version))
        await self.registry.register(bundle.path, **ANN)
        if candidate:
            await self.registry.set_candidate("demo", version, **ANN)
        else:
            await self.registry.promote("demo", version, **ANN)

    async def committed(self, service: str, topic: str) -> int:
        """Records of a topic that a service's group has done, over all partitions."""
        group = f"{self.settings['DRIFTLINE_GROUP_PREFIX']}.{service}"
        return sum((await committed_offsets(self.client, group, topic)).values())

    async def reports(self, source: str | None = None) -> list[ShadowReport]:
        """The newest shadow report of every key whose source is this topic."""
        latest = LatestReports()
        for records in (await read_all(self.client, self.topics.reports)).values():
            for record in records:
                report = decode_report(record.value)
                if isinstance(report, ShadowReport):
                    latest.take(report)
        return [report for report in latest if report.source_topic == (source or self.topics.events)]


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
        "DRIFTLINE_REPORT_SECONDS": "0.5",
        "DRIFTLINE_SESSION_SECONDS": "6",
    }
    async with RedisRegistry(redis_server.url, store, tmp_path / "cache", topic_prefix) as registry:
        yield Stage(client, names, registry, tmp_path, settings)
