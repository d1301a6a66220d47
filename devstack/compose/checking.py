"""The steps of the check: up in order of health, events through, an alert to its webhook, down in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.compose.composing import Compose
from devstack.compose.usage import usage
from devstack.errors import DevstackError
from devstack.http_client import get_json
from shared.topics import TopicNames

_CLIENT: Final = {"bootstrap_servers": "127.0.0.1:9092"}
_SERVICES: Final = ("alerting", "drift", "inference", "performance", "shadow")
_PREDICTIONS: Final = 2_000
_SECONDS: Final = 360.0
_USED_SECONDS: Final = 30.0


async def check(compose: Compose) -> None:
    """Take the file up, see it work, take it down; a sentence per step.

    Raises
    ------
    DevstackError
        A step did not come about; the message has what the containers said.
    """
    began = time.monotonic()
    try:
        await asyncio.to_thread(compose, "up", "--detach", "--no-build")
        print(f"  up, each after what it needs is well: {time.monotonic() - began:.0f} s", flush=True)
        for step in (_healthy, _predicted, _scraped, _diagnosed, _still_alive, _used, _told):
            moment = time.monotonic()
            print(f"  {await step(compose)}: {time.monotonic() - moment:.0f} s", flush=True)
        print(f"  {await _down(compose)}", flush=True)
    finally:
        await asyncio.to_thread(compose, "down", "--volumes", "--timeout=5")


async def _healthy(compose: Compose) -> str:
    async def healthy() -> bool:
        states = await asyncio.to_thread(compose.containers)
        return all(states[name]["Health"] == "healthy" for name in _SERVICES)

    await _until(compose, healthy, "healthy services")
    return f"{len(_SERVICES)} services ready, by the health checks of their images"


async def _predicted(compose: Compose) -> str:
    async def predicted() -> bool:
        return await _records(TopicNames().predictions) >= _PREDICTIONS

    await _until(compose, predicted, f"{_PREDICTIONS:,} predictions")
    return f"{_PREDICTIONS:,} flights answered"


async def _scraped(compose: Compose) -> str:
    async def scraped() -> bool:
        answer = await asyncio.to_thread(get_json, "http://127.0.0.1:9090/api/v1/targets")
        up = {found["labels"]["job"] for found in answer["data"]["activeTargets"] if found["health"] == "up"}
        return len(up) >= len(_SERVICES)

    await _until(compose, scraped, "targets of Prometheus")
    return "Prometheus scrapes all of them by their names"


async def _diagnosed(compose: Compose) -> str:
    await asyncio.to_thread(compose, "run", "--rm", "--no-TTY", "cli", "doctor")
    return "`docker compose run --rm cli doctor` finds all well"


async def _still_alive(compose: Compose) -> str:
    await _received(compose, "/still-alive DriftlineWatchdog firing")
    return "the dead man's switch went from Prometheus over Alertmanager to its webhook"


async def _used(compose: Compose) -> str:
    """Return what each container used over half a minute, while flights come at their rate."""
    began, before = time.monotonic(), await asyncio.to_thread(usage, compose.engine)
    await asyncio.sleep(_USED_SECONDS)
    took, after = time.monotonic() - began, await asyncio.to_thread(usage, compose.engine)
    lines = []
    for name in sorted(before.keys() & after.keys()):
        cores = (after[name].cpu - before[name].cpu) / took
        lines.append(f"    {name:32} {cores:5.2f} cores {after[name].memory / 1e6:6.0f} MB")
    return "\n".join(["used meanwhile, health checks included:", *lines, "  looked at"])


async def _told(compose: Compose) -> str:
    await asyncio.to_thread(compose, "kill", "shadow")
    await _received(compose, "/people service-gone firing")
    return "shadow killed: the alert went from alerting over Alertmanager to the webhook"


async def _received(compose: Compose, line: str) -> None:
    async def received() -> bool:
        return f"received {line}" in await asyncio.to_thread(compose, "logs", "receiver")

    await _until(compose, received, line)


async def _down(compose: Compose) -> str:
    began = time.monotonic()
    await asyncio.to_thread(compose, "stop")
    states = await asyncio.to_thread(compose.containers)
    codes = {name: states[name]["ExitCode"] for name in (*_SERVICES, "flights") if name != "shadow"}
    if any(codes.values()):
        raise DevstackError(f"not every service ended in order: {codes}")
    return f"stopped in {time.monotonic() - began:.0f} s, every service with exit code 0"


async def _records(topic: str) -> int:
    async with AIOKafkaConsumer(**_CLIENT) as consumer:
        await asyncio.sleep(0)  # its own task must have begun before it can be ended: aiokafka awaits it
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends: dict[Any, int] = await consumer.end_offsets(partitions)
        return sum(ends.values())


async def _until(compose: Compose, condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            said = await asyncio.to_thread(compose, "logs", "--tail=2")
            raise DevstackError(f"no {what} within {_SECONDS:.0f} s:\n{said}")
        await asyncio.sleep(1)
