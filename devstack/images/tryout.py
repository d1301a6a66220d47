"""Runs an image as production would, against a real Kafka and Redis, and measures its start and its end."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from devstack.apache_kafka import ApacheKafka
from devstack.demo.champion import open_registry, publish
from devstack.demo.contract import MODEL
from devstack.demo.events import flight_events
from devstack.demo.flights import load_flights
from devstack.demo.model import prepare_model
from devstack.errors import DevstackError
from devstack.images.engine import Engine
from devstack.ports import Ports
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.topics import TopicNames

PARTITIONS = 3
EVENTS = 500
START_SECONDS = 90.0
STOP_SECONDS = 40.0
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one container.

    Attributes
    ----------
    ready
        Seconds from the command to the first 200 of ``/readyz``.
    drained
        Seconds from SIGTERM to the end.
    exit_code
        0 when it ended in order.
    answered
        Predictions to the events that were sent, for the inference service; else None.
    """

    ready: float
    drained: float
    exit_code: int
    answered: int | None = None


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


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """Start Kafka and Redis, make the topics and promote the demo's model."""
    with ApacheKafka() as kafka, RedisServer() as redis:
        client = {"bootstrap_servers": kafka.bootstrap_servers}
        await create_topics(client, TopicNames(), partitions=PARTITIONS)
        async with open_registry(redis.url, folder) as registry:
            await publish(registry, await asyncio.to_thread(lambda: prepare_model(load_flights())))
        yield Place(kafka, redis, folder)


async def try_image(engine: Engine, service: str, tag: str, here: Place) -> Tried:
    """Start a container, wait until it is ready, give it work, ask it to end.

    Raises
    ------
    DevstackError
        It did not become ready or did not end; the message has the end of its log.
    """
    ports = Ports()
    port = ports.reserve()
    name = f"driftline-{service}-{secrets.token_hex(3)}"
    log = here.folder / f"{name}.log"
    command = engine.run_command(
        tag,
        name,
        here.settings | {"DRIFTLINE_HTTP_PORT": str(port)},
        [f"{here.folder / 'bundles'}:/bundles:ro"],
    )
    began = time.monotonic()
    with log.open("wb") as out:
        container = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: ASYNC220 - returns at once
    try:
        await _until_ready(container, port, log, began + START_SECONDS)
        ready = time.monotonic() - began
        answered = await _answers(here) if service == "inference" else None
        asked = time.monotonic()
        await asyncio.to_thread(engine.signal, name, "TERM")
        code = await asyncio.to_thread(_end, container, log)
        return Tried(ready, time.monotonic() - asked, code, answered)
    finally:
        await asyncio.to_thread(engine.remove, name)
        container.kill()
        ports.release()


async def _until_ready(container: subprocess.Popen[bytes], port: int, log: Path, deadline: float) -> None:
    while not await asyncio.to_thread(_is_ready, port):
        if container.poll() is not None or time.monotonic() > deadline:
            state = "ended" if container.poll() is not None else "is not ready"
            raise DevstackError(f"the container {state}:\n{_tail(log)}")
        await asyncio.sleep(_POLL)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _end(container: subprocess.Popen[bytes], log: Path) -> int:
    try:
        return container.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DevstackError(f"still running {STOP_SECONDS:.0f} s after SIGTERM:\n{_tail(log)}") from error


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


async def _answers(here: Place) -> int:
    """Return how many of the first flights of 2013 get a prediction."""
    names, client = TopicNames(), {"bootstrap_servers": here.kafka.bootstrap_servers}
    async with AIOKafkaProducer(**client, enable_idempotence=True) as producer:
        for event in islice(flight_events(load_flights(), MODEL), EVENTS):
            await producer.send(names.events, event.value, key=event.key)
    async with AIOKafkaConsumer(
        names.predictions, **client, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        answered, deadline = 0, time.monotonic() + 30
        while answered < EVENTS and time.monotonic() < deadline:
            found = await consumer.getmany(timeout_ms=500)
            answered += sum(map(len, found.values()))
        return answered
