"""Runs images as production would, against a real Kafka and Redis: their start, their work and their end."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from devstack.demo.contract import MODEL
from devstack.demo.events import flight_events
from devstack.demo.flights import load_flights
from devstack.errors import DevstackError
from devstack.images.container import Container, container
from devstack.images.engine import Engine
from devstack.images.place import Place
from devstack.ports import Ports
from shared.topics import TopicNames

EVENTS = 500
FLIGHTS = 1_000
START_SECONDS = 90.0
PYTHON = "/usr/bin/python3.11"
NOBODY = 65532
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one image: a sentence, whether all was well, and the seconds until a service was ready."""

    sentence: str
    well: bool = True
    ready: float | None = None


async def look_inside(engine: Engine, tag: str, package: str, here: Place) -> Tried:
    """Import every module of the image's package in it, and look whose it is and what can be written."""
    async with container(
        engine, tag, here.folder, {}, entrypoint=PYTHON, arguments=("/app/inside.py", "look", package)
    ) as looking:
        if await looking.ended(START_SECONDS):
            raise DevstackError(f"not every module can be imported:\n{looking.said()}")
        found = json.loads(looking.said().splitlines()[-1])
    kept = not found["shells"] and not found["writable"] and found["user"] == NOBODY
    faults = (
        "" if kept else f", but user {found['user']}, {found['shells']}, can write to {found['writable']}"
    )
    return Tried(f"{found['modules']} modules imported{faults}", kept)


async def try_service(engine: Engine, service: str, tag: str, here: Place) -> Tried:
    """Start a service, wait until it is ready, give it work, ask it to end."""
    ports = Ports()
    port = ports.reserve()
    settings = here.settings | {"DRIFTLINE_HTTP_PORT": str(port)}
    try:
        async with container(engine, tag, here.folder, settings, mounts=[here.bundles]) as running:
            await _until(running, lambda: asyncio.to_thread(_is_ready, port), "ready")
            ready = time.monotonic() - running.began
            answered = await _answers(here) if service == "inference" else EVENTS
            drained, code = await running.end()
    finally:
        ports.release()
    work = f", {answered} of {EVENTS} events answered" if service == "inference" else ""
    sentence = f"ready in {ready:.1f} s{work}, {_ending(drained, code)}"
    return Tried(sentence, answered == EVENTS and code == 0, ready)


async def try_command_line(engine: Engine, tag: str, here: Place) -> Tried:
    """Let the command line look at everything that services stand on."""
    async with container(
        engine, tag, here.folder, here.settings, mounts=[here.bundles], arguments=("doctor",)
    ) as running:
        code = await running.ended(START_SECONDS)
        took = time.monotonic() - running.began
        if code:
            raise DevstackError(f"driftline doctor ended with {code}:\n{running.said()}")
    return Tried(f"`driftline doctor` found all well in {took:.1f} s")


async def try_feed(engine: Engine, tag: str, here: Place) -> Tried:
    """Let the demo's image train and register its model and replay flights, then ask it to end."""
    store = here.folder / "empty"  # as the named volume is at first
    store.mkdir(mode=0o777)
    store.chmod(0o777)
    settings = here.settings | {"DRIFTLINE_TOPIC_PREFIX": "feed.", "DRIFTLINE_REDIS_PREFIX": "feed:"}
    names = TopicNames("feed.")
    await here.create(names)
    async with container(engine, tag, here.folder, settings, mounts=[f"{store}:/bundles"]) as running:

        async def arrived() -> bool:
            return await here.records(names.events) >= FLIGHTS

        await _until(running, arrived, "sending flights")
        began = time.monotonic() - running.began
        drained, code = await running.end()
    registered = any(store.rglob("model.onnx"))
    model = "registered" if registered else "not registered"
    work = f"model {model} and {FLIGHTS:,} flights sent {began:.0f} s after the start"
    return Tried(f"{work}, {_ending(drained, code)}", registered and code == 0)


def _ending(seconds: float, code: int) -> str:
    return f"ended {seconds:.1f} s after SIGTERM with exit code {code}"


async def _until(running: Container, condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = running.began + START_SECONDS
    while not await condition():
        running.check()
        if time.monotonic() > deadline:
            raise DevstackError(f"not {what} within {START_SECONDS:.0f} s:\n{running.said()}")
        await asyncio.sleep(_POLL)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


async def _answers(here: Place) -> int:
    """Return how many of the first flights of 2013 get a prediction."""
    names = TopicNames()
    async with AIOKafkaProducer(**here.client, enable_idempotence=True) as producer:
        for event in islice(flight_events(load_flights(), MODEL), EVENTS):
            await producer.send(names.events, event.value, key=event.key)
    async with AIOKafkaConsumer(
        names.predictions, **here.client, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        answered, deadline = 0, time.monotonic() + 30
        while answered < EVENTS and time.monotonic() < deadline:
            found = await consumer.getmany(timeout_ms=500)
            answered += sum(map(len, found.values()))
        return answered
