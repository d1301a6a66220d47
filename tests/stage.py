"""What a test of a service stands on: topics and groups of its own on the shared servers, and settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.messages import Report
from shared.registry import RedisRegistry
from shared.reports import LatestReports, decode_report
from shared.topics import TopicNames
from tests.streams import Client, committed_offsets, read_all

R = TypeVar("R", bound=Report)
S = TypeVar("S", bound="Stage")

SESSION_SECONDS = "6"
"""The shortest that the broker allows: how long the others wait for a process that was killed."""


@dataclass
class Stage:
    """The world of one test; each folder of tests adds what its service needs.

    Attributes
    ----------
    client
        Arguments of the test's own Kafka clients.
    folder
        The test's own, for bundles, caches and logs.
    settings
        The environment of a service.
    """

    client: Client
    topics: TopicNames
    folder: Path
    settings: dict[str, str]

    @classmethod
    async def set_up(
        cls: type[S],
        kafka: ApacheKafka,
        prefix: str,
        folder: Path,
        *,
        partitions: int = 3,
        settings: dict[str, str] | None = None,
        **more: object,
    ) -> S:
        """Make the topics, and return the stage; ``more`` are the fields that a kind of stage adds."""
        client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
        names = TopicNames(prefix)
        await create_topics(client, names, partitions=partitions)
        common = {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "DRIFTLINE_TOPIC_PREFIX": prefix,
            "DRIFTLINE_GROUP_PREFIX": f"{prefix}driftline",
            "DRIFTLINE_CACHE_DIR": str(folder / "cache"),
        }
        return cls(client, names, folder, common | (settings or {}), **more)

    def group(self, service: str) -> str:
        """Return the consumer group of a service."""
        return f"{self.settings['DRIFTLINE_GROUP_PREFIX']}.{service}"

    async def committed_of(self, service: str, topic: str) -> int:
        """Return how many records of a topic a service's group has done, over all partitions."""
        return sum((await committed_offsets(self.client, self.group(service), topic)).values())

    async def newest(self, kind: type[R]) -> list[R]:
        """Return the newest report of this kind under every key."""
        latest = LatestReports()
        for records in (await read_all(self.client, self.topics.reports)).values():
            for record in records:
                latest.take(decode_report(record.value))
        return [report for report in latest if isinstance(report, kind)]


def registry_settings(redis: RedisServer, prefix: str, folder: Path) -> dict[str, str]:
    """Return the settings of a registry of one test."""
    return {
        "DRIFTLINE_REDIS_URL": redis.url,
        "DRIFTLINE_REDIS_PREFIX": prefix,
        "DRIFTLINE_BUNDLE_STORE": str(folder / "store"),
    }


def open_registry(redis: RedisServer, prefix: str, folder: Path) -> RedisRegistry:
    """Return the same registry, for the test itself."""
    return RedisRegistry(redis.url, str(folder / "store"), folder / "cache", prefix)
