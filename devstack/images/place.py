"""What images are tried against: an Apache Kafka and a Redis with the demo's model promoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.apache_kafka import ApacheKafka
from devstack.demo.champion import open_registry, publish
from devstack.demo.flights import load_flights
from devstack.demo.model import prepare_model
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.topics import TopicNames

PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """The servers that containers are tried against."""

    kafka: ApacheKafka
    redis: RedisServer
    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        """Return what every service is told."""
        return {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "DRIFTLINE_REDIS_URL": self.redis.url,
            "DRIFTLINE_BUNDLE_STORE": "/bundles",
            "DRIFTLINE_HTTP_HOST": "127.0.0.1",
        }

    @property
    def bundles(self) -> str:
        """Return the mount that shows a container the bundle store."""
        return f"{self.folder / 'bundles'}:/bundles:ro"

    @property
    def client(self) -> dict[str, Any]:
        """Return the arguments of every aiokafka client."""
        return {"bootstrap_servers": self.kafka.bootstrap_servers}

    async def create(self, names: TopicNames) -> None:
        """Create Driftline's topics under these names."""
        await create_topics(self.client, names, partitions=PARTITIONS)

    async def records(self, topic: str) -> int:
        """Return how many records a topic has."""
        async with AIOKafkaConsumer(**self.client) as consumer:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return sum((await consumer.end_offsets(partitions)).values())


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """Start Kafka and Redis, make the topics and promote the demo's model."""
    with ApacheKafka() as kafka, RedisServer() as redis:
        here = Place(kafka, redis, folder)
        await here.create(TopicNames())
        async with open_registry(redis.url, folder) as registry:
            await publish(registry, await asyncio.to_thread(lambda: prepare_model(load_flights())))
        yield here
