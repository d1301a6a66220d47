"""What one run plays on: topics and a model under a prefix of its own, over servers that runs share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.registry import RedisRegistry
from shared.topics import TopicNames
from tests.faults import versions
from tests.faults.fleet import Fleet, knew_of_no_candidate
from tests.faults.journal import Journal
from tests.faults.proxy import Proxy
from tests.faults.traffic import CANDIDATE, MODEL
from tests.streams import Client
from tests.webhooks import WebhookReceiver


@dataclass
class Stage:
    """One run's world.

    Attributes
    ----------
    kafka, redis
        The servers; shared with the runs before and after.
    client
        Arguments of the suite's own Kafka clients, which go to the brokers directly.
    proxies
        One per broker, between it and the services.
    rng
        Draws every choice of the run.
    """

    kafka: ApacheKafka
    redis: RedisServer
    client: Client
    topics: TopicNames
    registry: RedisRegistry
    journal: Journal
    fleet: Fleet
    proxies: list[Proxy]
    rng: random.Random
    services: tuple[str, ...]
    receiver: WebhookReceiver
    control: str = ""
    registry_lost: bool = False
    champions: list[str] = field(default_factory=list)
    last_version: int = 0

    def candidate_was_gone(self) -> bool:
        """Whether the registry was emptied, or a shadow process says that it knew of no candidate."""
        parts = self.fleet.parts.get("shadow", [])
        return self.registry_lost or any(map(knew_of_no_candidate, parts))

    def drawing(self, service: str) -> random.Random:
        """Return what draws the choices about one service, whatever happens beside it meanwhile."""
        return random.Random(f"{self.rng.random()} {service}")

    async def publish(self, *, corrupt: bool = False) -> str:
        """Register the next version of the model and make it champion; return its name."""
        self.last_version += 1
        version = str(self.last_version)
        await self._register(version)
        if corrupt:
            self.spoil(version)
        await self.registry.promote(MODEL, version, who="faults", why="test")
        self.journal.note("promoted", version=version, corrupt=corrupt)
        self.champions.append(version)
        return version

    def spoil(self, version: str) -> None:
        """Flip bytes of a version in the bundle store."""
        versions.spoil(self.journal.folder / "store", version)
        self.journal.note("spoilt", version=version)

    async def publish_candidate(self) -> None:
        """Register a version that is asked in the shadow."""
        await self._register(CANDIDATE)
        await self.registry.set_candidate(MODEL, CANDIDATE, who="faults", why="test")

    async def _register(self, version: str) -> None:
        folder = self.journal.folder / "bundles" / version
        await self.registry.register(versions.bundle_of(version, folder), who="faults", why="test")
