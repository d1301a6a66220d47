"""What one run plays on: topics and a model under a prefix of its own, over servers that runs share."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from devstack.apache_kafka import ApacheKafka
from devstack.part import Part
from devstack.ports import Ports
from devstack.redis_server import RedisServer
from shared.bundle.truth import KpiSpec
from shared.drift import Baseline, fit_baseline
from shared.drift.prediction_channels import fit_predictions
from shared.kafka.topics import create_topics
from shared.registry import RedisRegistry
from shared.settings import ServiceSettings
from shared.topics import TopicNames
from tests.alert_oracle import FAILING
from tests.faults.answers import coefficients
from tests.faults.evidence import lines
from tests.faults.journal import Journal
from tests.faults.nursling import Nursling
from tests.faults.proxy import Proxy
from tests.faults.traffic import CANDIDATE, KPIS, MODEL
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import Client
from tests.webhooks import WebhookReceiver

PARTITIONS: Final = 3
SESSION: Final = 6.0
TRANSACTION: Final = 30.0
RESUMES_WITHIN: Final = SESSION + TRANSACTION + 15.0
"""The rules' limit: after a fault every partition moves again within so many seconds."""

STOPS_WITHIN: Final = 30.0
"""Seconds that a process may take from SIGTERM to its end."""

HOLD: Final = ":hold=0.3"
"""Widens the window in which a transaction is open, so that a stop falls into it."""

SERVICES: Final = ("inference", "shadow", "drift", "performance", "alerting")
"""Those that are asked for run together; what they read, the others or the traffic must write."""

EVENTS_PER_DAY: Final = 40_000.0

_NEVER: Final = "3600"
"""Idle seconds: nothing counts as late, however long a broker is away: an oracle knows what is due."""

_OF_SERVICE: Final[dict[str, dict[str, str]]] = {
    "drift": {"DRIFTLINE_IDLE_SECONDS": _NEVER},
    "performance": {
        "DRIFTLINE_IDLE_SECONDS": _NEVER,
        "DRIFTLINE_GRACE_SECONDS": "0",
        "DRIFTLINE_REPORT_SECONDS": "0.5",
        "DRIFTLINE_CHECKPOINT_SECONDS": "1",
    },
}
"""Settings on top of the common ones."""


@cache
def _known(service: str) -> frozenset[str]:
    """The variables that a service takes: it refuses others."""
    config = importlib.import_module(f"services.{service}.config")
    (fields,) = (
        made.model_fields
        for made in vars(config).values()
        if isinstance(made, type)
        and issubclass(made, ServiceSettings)
        and vars(made).get("service") == service
    )
    return frozenset(f"DRIFTLINE_{name.upper()}" for name in fields)


class Fleet:
    """Processes of the services, each of which can be hurt by itself."""

    def __init__(self, settings: dict[str, str], journal: Journal, nursery: Path | None = None) -> None:
        self._nursery = nursery
        self._settings = settings
        self._journal = journal
        self._ports = Ports()
        self._count = 0
        self.parts: dict[str, list[Part]] = {}
        self._told: set[str] = set()
        self._hung: list[str] = []

    def start(self, service: str, *, crash: str = "", **extra: str) -> Part:
        """Start one more process of a service.

        Parameters
        ----------
        crash
            A crash point, see :mod:`shared.pipeline.crash_points`.
        extra
            Settings that this process alone has.
        """
        self._count += 1
        name = f"{service}-{self._count}"
        folder = self._journal.folder / name
        environment = self._settings | _OF_SERVICE.get(service, {})
        environment["DRIFTLINE_HTTP_PORT"] = str(self._ports.reserve())
        environment["DRIFTLINE_JOIN_DIR"] = str(folder / "join")  # a disk of its own, empty at the start
        environment |= extra
        environment = {k: v for k, v in environment.items() if k in _known(service) or k[:6] == "FAULTS"}
        environment["FAULTS_CLOCK"] = str(folder / "clock")
        environment["FAULTS_BLOCK_SECONDS"] = str(SESSION + 4)
        if crash:
            environment["DRIFTLINE_CRASH_POINT"] = crash
        if self._nursery is not None:
            part: Part = Nursling(name, service, folder, self._nursery, environment)
        else:
            command = [sys.executable, "-m", "tests.faults.inside", service]
            part = Part(name, command, folder, environment=environment)
        part.launch()
        self.parts.setdefault(service, []).append(part)
        if ":1000000" not in crash and crash:
            self._told.add(name)
        self._journal.note("start", process=name, pid=part.pid, crash=crash)
        return part

    def alive(self, service: str) -> list[Part]:
        """Return the processes of a service that exist."""
        return [part for part in self.parts.get(service, []) if part.running]

    async def stop(self, part: Part) -> None:
        """SIGTERM, and SIGKILL to whoever is there half a minute later; that is a violation.

        Never blocks the proxies' loop.
        """
        self._journal.note("stop", process=part.name)
        self._told.add(part.name)
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(part.stop, STOPS_WITHIN)
        if asyncio.get_running_loop().time() - began >= STOPS_WITHIN:
            self._journal.note("did not stop", process=part.name)
            self._hung.append(part.name)

    async def kill(self, part: Part) -> None:
        """SIGKILL."""
        self._journal.note("kill", process=part.name)
        self._told.add(part.name)
        await asyncio.to_thread(part.kill)

    def is_doomed(self, part: Part) -> None:
        """Expect a process to end by itself."""
        self._told.add(part.name)

    def misbehaved(self) -> list[str]:
        """Return a sentence for every process that ended although nobody told it to, or did not when told."""
        parts = [part for parts in self.parts.values() for part in parts]
        return [
            *(f"{name} did not stop within {STOPS_WITHIN:g} s of SIGTERM" for name in self._hung),
            *(
                f"{part.name} ended by itself: see {part.log}"
                for part in parts
                if not part.running and part.name not in self._told
            ),
        ]

    def signal(self, part: Part, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        assert part.pid is not None
        self._journal.note("signal", process=part.name, signal=number.name)
        os.kill(part.pid, number)

    def shift_clock(self, part: Part, seconds: float) -> None:
        """Set the clock of one process forward or back."""
        self._journal.note("clock", process=part.name, seconds=seconds)
        (part.data_dir / "clock").write_text(str(seconds))

    def trace(self) -> None:
        """Have every process print where its tasks are."""
        for parts in self.parts.values():
            for part in parts:
                if part.running:
                    part.resume()
                    self.signal(part, signal.SIGUSR1)

    def close(self) -> None:
        """End every process."""
        for parts in self.parts.values():
            for part in parts:
                part.kill()
        self._ports.release()


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
    baseline: Baseline
    receiver: WebhookReceiver
    control: str = ""
    registry_lost: bool = False
    champions: list[str] = field(default_factory=list)
    versions: int = 0

    def candidate_was_gone(self) -> bool:
        """Whether the registry was emptied, or a shadow process says that it knew of no candidate."""
        parts = self.fleet.parts.get("shadow", [])
        return self.registry_lost or any(map(_knew_of_no_candidate, parts))

    def drawing(self, service: str) -> random.Random:
        """Return what draws the choices about one service, whatever happens beside it meanwhile."""
        return random.Random(f"{self.rng.random()} {service}")

    async def publish(self, *, corrupt: bool = False) -> str:
        """Register the next version of the model and make it champion; return its name."""
        self.versions += 1
        version = str(self.versions)
        await self._register(version)
        if corrupt:
            self.spoil(version)
        await self.registry.promote(MODEL, version, who="faults", why="test")
        self.journal.note("promoted", version=version, corrupt=corrupt)
        self.champions.append(version)
        return version

    def spoil(self, version: str) -> None:
        """Flip bytes of a version in the bundle store."""
        _spoil(self.journal.folder / "store", version)
        self.journal.note("spoilt", version=version)

    async def publish_candidate(self) -> None:
        """Register a version that is asked in the shadow."""
        await self._register(CANDIDATE)
        await self.registry.set_candidate(MODEL, CANDIDATE, who="faults", why="test")

    async def _register(self, version: str) -> None:
        kpis = tuple(
            KpiSpec(name=name, value=value, missing=0 if name == "sales" else None)
            for name, value in KPIS.items()
        )
        spec = numeric_spec(
            3,
            version=version,
            window=3600,
            quality_window=3600,
            events_per_day=EVENTS_PER_DAY,
            label_horizon=30 * 86_400,
            kpis=kpis,
        )
        folder = self.journal.folder / "bundles" / version
        bundle = write_bundle(folder, linear(3, *coefficients(version)), spec, self.baseline.encode())
        await self.registry.register(bundle.path, who="faults", why="test")


def _knew_of_no_candidate(part: Part) -> bool:
    changes = [line for line in lines(part.log) if line.get("event") == "candidates changed"]
    return any(not change["running"] and not change["absent"] for change in changes)


def _spoil(store: Path, version: str) -> None:
    """Flip bytes in the middle of the version's graph, as a bad disk does."""
    spoiled = 0
    for file in store.rglob("*.onnx"):
        if version in file.parts:
            raw = bytearray(file.read_bytes())
            middle = len(raw) // 2
            raw[middle : middle + 8] = b"\0" * 8
            file.write_bytes(raw)
            spoiled += 1
    assert spoiled, f"version {version} has no graph in {store}"


@cache
def fitted() -> Baseline:
    """Return the baseline of all versions: the features of the traffic, and scores as the first one gives."""
    rng = np.random.default_rng(1)
    columns = {f"f{i}": rng.normal(size=20_000) for i in range(3)}
    baseline = fit_baseline(columns, dict.fromkeys(columns, "numeric"))
    logits = 0.1 * columns["f0"] + 0.2 * columns["f1"] - 0.3 * columns["f2"] + 0.1
    scores = 1 / (1 + np.exp(-logits))
    classes = ["yes" if score >= 0.5 else "no" for score in scores.tolist()]
    return msgspec.structs.replace(baseline, predictions=fit_predictions(list(columns), scores, classes))


def _rules_file(folder: Path, receiver: WebhookReceiver) -> Path:
    """Write the one rule that the oracle knows, for the models of the planted reports."""
    hook = {"name": "hook", "url": receiver.url, "allow_http": True, "allow_private": True}
    rule = FAILING | {"where": {"model": "m?"}}
    file = folder / "rules.yml"
    file.write_text(json.dumps({"defaults": False, "rules": [rule], "receivers": [hook]}))
    return file


@asynccontextmanager
async def staged(
    kafka: ApacheKafka,
    redis: RedisServer,
    journal: Journal,
    *,
    seed: str,
    services: tuple[str, ...],
    control: str = "",
    nursery: Path | None = None,
) -> AsyncIterator[Stage]:
    """Topics, a first model and a fleet that has not been started yet; a nursery makes it start cheaply."""
    prefix = f"f{secrets.token_hex(3)}-"
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    names = TopicNames(prefix)
    await create_topics(client, names, partitions=PARTITIONS)
    store = journal.folder / "store"
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebhookReceiver())
        proxies = [await stack.enter_async_context(Proxy(node.port)) for node in kafka.nodes]
        settings = {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "DRIFTLINE_TOPIC_PREFIX": prefix,
            "DRIFTLINE_GROUP_PREFIX": f"{prefix}driftline",
            "DRIFTLINE_REDIS_URL": redis.url,
            "DRIFTLINE_REDIS_PREFIX": prefix,
            "DRIFTLINE_BUNDLE_STORE": str(store),
            "DRIFTLINE_CACHE_DIR": str(journal.folder / "cache"),
            "DRIFTLINE_REPORT_SECONDS": "1",
            "DRIFTLINE_MODELS": "demo",
            "DRIFTLINE_SESSION_SECONDS": str(SESSION),
            "DRIFTLINE_ALERT_RULES": str(_rules_file(journal.folder, receiver)),
            "FAULTS_ROUTES": json.dumps({str(proxy.target): proxy.port for proxy in proxies}),
        }
        if control:
            settings["FAULTS_CONTROL"] = control
        registry = await stack.enter_async_context(
            RedisRegistry(redis.url, str(store), journal.folder / "cache", prefix)
        )
        fleet = Fleet(settings, journal, nursery)
        stack.callback(fleet.close)
        stage = Stage(
            kafka,
            redis,
            client,
            names,
            registry,
            journal,
            fleet,
            proxies,
            random.Random(seed),
            services,
            fitted(),
            receiver,
            control,
        )
        await stage.publish()
        if "shadow" in services:
            await stage.publish_candidate()
        yield stage
