"""All services with traffic, labels, drift and a candidate: what there is to watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np
import yaml
from aiokafka import AIOKafkaProducer

from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.bundle.truth import KpiSpec
from tests.integration.drift.conftest import fitted
from tests.integration.inference.conftest import PARTITIONS, Stage
from tests.models import linear, numeric_spec, write_bundle
from tests.processes import ServiceProcess, service
from tests.webhooks import WebhookReceiver

SERVICES = ("inference", "shadow", "drift", "performance", "alerting")
OF_INFERENCE = ("DRIFTLINE_MODELS", "DRIFTLINE_REPORT_SECONDS")
BATCH = 60
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01".encode()
ANN = {"who": "ann", "why": "test"}


@dataclass
class World:
    """Running services, and what feeds them."""

    stage: Stage
    receiver: WebhookReceiver
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    def settings(self, name: str) -> dict[str, str]:
        """The settings of one service: the default rules, reports every second."""
        common = {key: value for key, value in self.stage.settings.items() if key not in OF_INFERENCE}
        common |= {"DRIFTLINE_SESSION_SECONDS": "6", "DRIFTLINE_HEARTBEAT_SECONDS": "3"}
        if name == "alerting":
            to = {"name": "hook", "url": self.receiver.url, "allow_http": True, "allow_private": True}
            rules = self.stage.folder / "rules.yml"
            rules.write_text(yaml.safe_dump({"receivers": [to]}))
            return common | {"DRIFTLINE_ALERT_RULES": str(rules)}
        common["DRIFTLINE_REPORT_SECONDS"] = "1"
        if name == "drift":
            common["DRIFTLINE_IDLE_SECONDS"] = "1"
        if name == "performance":
            common |= {"DRIFTLINE_IDLE_SECONDS": "1", "DRIFTLINE_GRACE_SECONDS": "7"}
        return common

    async def publish(self) -> None:
        """A champion, and a candidate that refuses one event in a thousand that the champion takes."""
        baseline = fitted().encode()
        registry = self.stage.registry
        for version, highest in (("1", 1000.0), ("2", 3.2)):
            model = linear(3, [0.1, 0.2, -0.3], float(version) / 10)
            bundle = write_bundle(
                self.stage.folder / f"demo-{version}", model, spec_of(version, highest), baseline
            )
            await registry.register(bundle.path, **ANN)
        await registry.promote("demo", "1", **ANN)
        await registry.set_candidate("demo", "2", **ANN)

    async def traffic(self) -> None:
        """Events whose f1 has drifted, two in sixty bad ones, each with its label at once."""
        rng = np.random.default_rng(5)
        producer = AIOKafkaProducer(**self.stage.client, linger_ms=5)
        await producer.start()
        try:
            for batch in range(1_000_000):
                for number, event in enumerate([*events(rng, batch), b"{"]):
                    await producer.send(
                        self.stage.topics.events,
                        event,
                        key=b"k",
                        partition=number % PARTITIONS,
                        headers=[("traceparent", TRACEPARENT)],
                    )
                for label in [*labels(rng, batch), b"{"]:
                    await producer.send(
                        self.stage.topics.labels, label, key=b"k", headers=[("traceparent", TRACEPARENT)]
                    )
                await producer.flush()
                await asyncio.sleep(0.2)
        finally:
            await producer.stop()


def spec_of(version: str, highest: float) -> ModelSpec:
    """The contract of a version; ``highest`` is the largest f0 that it takes."""
    cost = KpiSpec(name="cost", value="-5 * fp - 20 * fn")
    spec = numeric_spec(
        3,
        version=version,
        window=3600,
        events_per_day=40_000.0,
        kpis=(cost,),
        label_horizon=20,
        quality_window=10,
    )
    first = FeatureSpec(name="f0", min=-1000, max=highest)
    return msgspec.structs.replace(spec, features=(first, *spec.features[1:]))


def events(rng: np.random.Generator, batch: int) -> Iterator[bytes]:
    for number, (f0, f1, f2) in enumerate(rng.normal((0, 3, 0), size=(BATCH, 3)).tolist()):
        features = {"f0": f0, "f1": f1, "f2": f2 if number else "bad"}
        yield msgspec.json.encode(
            {"event_id": f"e{batch}-{number}", "occurred_at": now(), "features": features}
        )


def labels(rng: np.random.Generator, batch: int) -> Iterator[bytes]:
    for number, truth in enumerate(rng.choice(["no", "yes"], size=BATCH).tolist()):
        yield msgspec.json.encode({"event_id": f"e{batch}-{number}", "label": truth, "observed_at": now()})

    old = now() - 15 * 86_400_000
    yield msgspec.json.encode({"event_id": f"nobody-{batch}", "label": "no", "observed_at": old})


def now() -> int:
    return int(time.time() * 1000)


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[World]:
    """Every service ready, and traffic until the end."""
    async with WebhookReceiver() as receiver, AsyncExitStack() as stack:
        world = World(stage, receiver)
        await world.publish()
        for name in SERVICES:
            world.services[name] = stack.enter_context(service(name, stage.folder, world.settings(name)))
        await asyncio.gather(*(process.ready(seconds=180) for process in world.services.values()))
        sending = asyncio.create_task(world.traffic())
        try:
            yield world
            assert not sending.done(), sending.exception()
        finally:
            sending.cancel()
            await asyncio.wait([sending])
