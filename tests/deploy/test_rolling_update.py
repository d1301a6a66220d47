"""Processes replaced and added under load, as a Deployment and its scaler do it."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from hdrh.histogram import HdrHistogram

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.messages import Prediction
from tests.integration.inference.conftest import Stage, good_event
from tests.processes import ServiceProcess, service
from tests.stage import open_registry, registry_settings
from tests.streams import committed_offsets, read_all, until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
PARTITIONS = 6
RATE = 200.0


@pytest.fixture
async def stage(
    kafka: ApacheKafka, redis_server: RedisServer, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    settings = registry_settings(redis_server, topic_prefix, tmp_path) | {"DRIFTLINE_MODELS": "demo"}
    async with open_registry(redis_server, topic_prefix, tmp_path) as registry:
        made = await Stage.set_up(
            kafka, topic_prefix, tmp_path, partitions=PARTITIONS, settings=settings, registry=registry
        )
        await made.publish("1")
        yield made


@dataclass
class Load:
    """Events at a fixed rate, and when the answer to each became visible."""

    due: dict[str, float] = field(default_factory=dict)
    latencies: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, 600_000, 3))
    answered: int = 0

    @contextmanager
    def measured(self) -> Iterator[HdrHistogram]:
        """Give the latencies, ms, of what is answered within the block, and of nothing before or after it."""
        before, self.latencies = self.latencies, HdrHistogram(1, 600_000, 3)
        try:
            yield self.latencies
        finally:
            self.latencies = before


def report(what: str, latencies: HdrHistogram, seconds: float) -> str:
    p50, p99 = (latencies.get_value_at_percentile(p) for p in (50, 99))
    return (
        f"\n{what}: {seconds:.0f} s, {latencies.total_count} events answered meanwhile, "
        f"p50 {p50} ms, p99 {p99} ms, max {latencies.max_value} ms"
    )


@asynccontextmanager
async def load(stage: Stage) -> AsyncIterator[Load]:
    """Send until the block ends, then wait until everything is answered."""
    running, over = Load(), asyncio.Event()
    async with AIOKafkaProducer(**stage.client, enable_idempotence=True, linger_ms=2) as producer:

        async def send() -> None:
            start = time.monotonic()
            for number in itertools.count():
                if over.is_set():
                    return
                due = start + number / RATE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                running.due[f"e{number}"] = due
                await producer.send(
                    stage.topics.events,
                    good_event(f"e{number}"),
                    key=b"%d" % number,
                    partition=number % PARTITIONS,
                )

        async with AIOKafkaConsumer(
            stage.topics.predictions,
            **stage.client,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        ) as consumer:
            sending = asyncio.create_task(send())
            watching = asyncio.create_task(_watch(consumer, running, over))
            try:
                yield running
            finally:
                over.set()
                await asyncio.wait_for(asyncio.gather(sending, watching), 90)


async def _watch(consumer: AIOKafkaConsumer, running: Load, over: asyncio.Event) -> None:
    while not (over.is_set() and running.answered >= len(running.due)):
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                prediction = msgspec.json.decode(record.value, type=Prediction)
                waited = time.monotonic() - running.due[prediction.event_id]
                running.latencies.record_value(max(1, int(waited * 1000)))
                running.answered += 1


async def each_once_and_in_order(stage: Stage, running: Load) -> None:
    found = await read_all(stage.client, stage.topics.predictions)
    for partition in range(PARTITIONS):
        got = [msgspec.json.decode(r.value, type=Prediction).event_id for r in found[partition]]
        assert got == [f"e{n}" for n in range(partition, len(running.due), PARTITIONS)]


async def leave(process: ServiceProcess) -> None:
    """Ask a process to end, as the kubelet does, and wait until it has."""
    assert process.part.pid is not None
    os.kill(process.part.pid, signal.SIGTERM)
    assert await asyncio.to_thread(process.part.join, 40.0), "did not drain within the grace period"


async def test_a_rolling_update_loses_and_repeats_nothing(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """maxUnavailable 0, maxSurge 1: start a new one, wait until it is ready, then end an old one."""
    with ExitStack() as stack:

        async def ready_one() -> ServiceProcess:
            process = stack.enter_context(service("inference", stage.folder, stage.settings))
            await process.ready()
            return process

        old = [await ready_one() for _ in range(2)]
        async with load(stage) as running:
            await until(lambda: running.answered > 200, what="first answers")
            began = time.monotonic()
            with running.measured() as meanwhile:
                for process in old:
                    await ready_one()
                    await leave(process)
                answered, took = running.answered, time.monotonic() - began
                await until(lambda: running.answered > answered + 200, what="answers by the new ones")
        await each_once_and_in_order(stage, running)
    with capsys.disabled():
        print(report("two processes replaced one by one, and a second by the new ones", meanwhile, took))


SMALLER = 150
"""How much smaller the lag is here: 200 events/s come, as 30,000 would to the manifest's threshold."""


@dataclass(frozen=True)
class Scaler:
    """Decides as KEDA does by ``k8s/components/keda/inference.yaml``, of a lag that is that much smaller."""

    threshold: float
    least: int
    most: int

    @classmethod
    def of_the_manifest(cls) -> Scaler:
        spec = yaml.safe_load((ROOT / "k8s/components/keda/inference.yaml").read_text())["spec"]
        trigger = spec["triggers"][0]["metadata"]
        assert trigger["allowIdleConsumers"] == "false"  # no more processes than partitions
        return cls(int(trigger["lagThreshold"]) / SMALLER, spec["minReplicaCount"], spec["maxReplicaCount"])

    def wanted(self, lag: int, partitions: int) -> int:
        return max(self.least, min(math.ceil(lag / self.threshold), self.most, partitions))


async def test_scaling_by_lag_from_one_to_four_and_back(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process is held up until lag asks for four; when it is worked off, one remains.

    The manifest keeps two at least, for the loss of a node; here it is one, which is harder.
    """
    scaler = replace(Scaler.of_the_manifest(), least=1)
    group = f"{stage.settings['DRIFTLINE_GROUP_PREFIX']}.inference"
    with ExitStack() as stack:
        processes = [stack.enter_context(service("inference", stage.folder, stage.settings))]
        await processes[0].ready()
        async with load(stage) as running:
            await until(lambda: running.answered > 100, what="first answers")
            processes[0].part.suspend()

            async def asks_for() -> int:
                done = sum((await committed_offsets(stage.client, group, stage.topics.events)).values())
                return scaler.wanted(len(running.due) - done, PARTITIONS)

            async def asks_for_four() -> bool:
                return await asks_for() >= 4

            async def asks_for_one() -> bool:
                return await asks_for() == 1

            await until(asks_for_four, what="lag enough for four")
            began = time.monotonic()
            with running.measured() as meanwhile:
                processes[0].part.resume()
                processes += [
                    stack.enter_context(service("inference", stage.folder, stage.settings)) for _ in range(3)
                ]
                await asyncio.gather(*(process.ready() for process in processes))
                await until(asks_for_one, seconds=90, what="the lag worked off")
                for process in processes[1:]:
                    await leave(process)
                answered, took = running.answered, time.monotonic() - began
                await until(lambda: running.answered > answered + 100, what="answers by the one left")
        await each_once_and_in_order(stage, running)
    with capsys.disabled():
        print(report("one process to four and back, after a pile of work for four", meanwhile, took))
