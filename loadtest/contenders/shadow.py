"""Driftline's shadow service beside an inference service, with a registry of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from devstack.part import Part
from devstack.ports import Ports
from devstack.redis_server import RedisServer
from loadtest.contenders.contender import Contender, own_path
from loadtest.contenders.driftline import driftline
from loadtest.contenders.running import START_SECONDS, STOP_SECONDS, Running
from loadtest.models import Model
from shared.registry import RedisRegistry

TOPICS = ("shadow-predictions", "labelled", "shadow-state", "shadow-labels-state")
WHO: dict[str, Any] = {"who": "loadtest", "why": "measured"}


def inference_beside_a_shadow() -> Contender:
    """Return the inference service with the trees, and with the topics that a shadow needs too."""
    inference = driftline("trees", "exactly-once")
    return replace(inference, topics=(*inference.topics, *TOPICS))


@asynccontextmanager
async def a_shadow(
    running: Running, redis: RedisServer, candidate: Model, events: int
) -> AsyncIterator[Part]:
    """Give a shadow of a running inference service, once it has done as many events."""
    job = running.job
    assert job.model is not None
    store, cache = job.folder / "store", job.folder / "cache"
    async with RedisRegistry(redis.url, str(store), cache, job.prefix) as registry:
        for model in (job.model, candidate):
            await registry.register(model.bundle, **WHO)
        name = f"loadtest-{job.model.name}"
        await registry.promote(name, "1", **WHO)
        await registry.set_candidate(name, "2", **WHO)
    ports = Ports()
    part = Part(
        "shadow",
        [sys.executable, "-m", "services.shadow"],
        job.folder,
        scratch=job.folder,
        environment=_settings(running, redis, store, cache, ports.reserve()) | own_path(),
    )
    part.launch()
    try:
        await shadow_has_done(running, part, events, START_SECONDS)
        yield part
    finally:
        part.stop(STOP_SECONDS)
        ports.release()


async def shadow_has_done(running: Running, part: Part, events: int, seconds: float) -> None:
    """Wait until the shadow has put so many events to its candidate."""

    async def done() -> bool:
        return await running.cluster.committed(f"{running.job.prefix}.shadow", running.job.events) >= events

    await running.cluster.wait(done, seconds, f"{events:,} events in the shadow{part.explain()}")


def _settings(running: Running, redis: RedisServer, store: Path, cache: Path, port: int) -> dict[str, str]:
    job = running.job
    return {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": job.bootstrap_servers,
        "DRIFTLINE_TOPIC_PREFIX": job.prefix,
        "DRIFTLINE_GROUP_PREFIX": job.prefix,
        "DRIFTLINE_REDIS_URL": redis.url,
        "DRIFTLINE_REDIS_PREFIX": job.prefix,
        "DRIFTLINE_BUNDLE_STORE": str(store),
        "DRIFTLINE_CACHE_DIR": str(cache),
        "DRIFTLINE_HTTP_PORT": str(port),
        "DRIFTLINE_SESSION_SECONDS": "120",  # it is stopped while the backlog is laid
    }
