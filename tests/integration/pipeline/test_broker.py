"""The broker stopped, killed, frozen and reconfigured under a running pipeline: nothing lost or repeated."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from devstack.apache_kafka import ApacheKafka
from devstack.kafka_node import KafkaNode
from shared.kafka.records import Output, Records
from shared.metrics import PipelineMetrics
from shared.pipeline.options import PipelineOptions
from shared.pipeline.pipeline import Pipeline
from shared.pipeline.state import StateReader
from tests.integration.pipeline.echo import Echo, options
from tests.integration.pipeline.test_pipeline import PARTITIONS, make_topics, numbered, values
from tests.streams import Client, committed_offsets, produce, read_all, until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.faults,
    # A connection attempt cut off by a deadline leaves aiokafka's connection to the garbage collector,
    # which closes it and says so; anything else that cannot be raised still fails the test.
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning"),
]

SESSION, TRANSACTION = 6.0, 10.0
RESUMES_WITHIN = SESSION + TRANSACTION + 15.0
STOPS_WITHIN = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApacheKafka]:
    """A broker of this file's own, since these tests kill it."""
    with ApacheKafka() as server:
        yield server


@pytest.fixture
def node(cluster: ApacheKafka) -> Iterator[KafkaNode]:
    """The one broker, which serves before and after every test."""
    node = cluster.nodes[0]
    yield node
    if node.running:
        node.resume()
    else:
        node.launch()
    node.wait_ready()
    gc.collect()  # what the faults left behind is reported here, not in somebody else's test


@pytest.fixture
def client(cluster: ApacheKafka) -> Client:
    return {"bootstrap_servers": cluster.bootstrap_servers, **cluster.client_settings()}


def impatient(client: Client, prefix: str) -> PipelineOptions:
    """Options whose every timeout is short, so that a fault outlasts them."""
    return dataclasses.replace(
        options(client, prefix),
        session_timeout=SESSION,
        transaction_timeout=TRANSACTION,
        request_timeout=6.0,
        deadline=4.0,
    )


class Running:
    """A pipeline in a task of its own."""

    def __init__(self, step: Echo, pipeline_options: PipelineOptions) -> None:
        self.step = step
        self.stop = asyncio.Event()
        self.pipeline = Pipeline(step, pipeline_options, PipelineMetrics(CollectorRegistry()))
        self.task = asyncio.create_task(self.pipeline.run(self.stop))

    @property
    def owns(self) -> int:
        """How many partitions are open."""
        return len(self.pipeline._ownership.ready) if self.pipeline._ownership else 0

    @property
    def committing(self) -> bool:
        """Whether a commit is in flight."""
        owned = self.pipeline._ownership
        return owned is not None and any(slot.lock.locked() for slot in owned.slots.values())

    def transactions(self, outcome: str) -> int:
        return int(self.pipeline._metrics.transactions.labels(outcome)._value.get())


@asynccontextmanager
async def running(step: Echo, pipeline_options: PipelineOptions) -> AsyncIterator[Running]:
    started = Running(step, pipeline_options)
    try:
        yield started
        started.stop.set()
        await asyncio.wait_for(started.task, STOPS_WITHIN)
    finally:
        started.task.cancel()
        await asyncio.wait([started.task])


@asynccontextmanager
async def traffic(client: Client, topic: str, *, size: int = 0) -> AsyncIterator[list[int]]:
    """Numbered records through whatever happens to the broker; yields how many were handed over."""
    producer = AIOKafkaProducer(**client, linger_ms=5, enable_idempotence=True, request_timeout_ms=90_000)
    await producer.start()
    sent, done = [0], asyncio.Event()
    acknowledged: list[asyncio.Future[object]] = []

    async def flow() -> None:
        for number in itertools.count():
            if done.is_set():
                return
            value = b"%d" % number + b"." * size
            acknowledged.append(await producer.send(topic, value, key=b"k", partition=number % PARTITIONS))
            sent[0] += 1
            await asyncio.sleep(0.004)

    task = asyncio.create_task(flow())
    try:
        yield sent
    finally:
        done.set()
        await asyncio.wait_for(task, 40)
        await asyncio.wait_for(asyncio.gather(*acknowledged), 40)
        await producer.stop()


async def committed(client: Client, prefix: str) -> dict[int, int]:
    """Committed offsets by partition; empty while the broker is still finding its feet."""
    try:
        return await committed_offsets(client, f"{prefix}echo", f"{prefix}in")
    except KafkaError:
        return {}


def beyond(client: Client, prefix: str, before: dict[int, int]) -> Callable[[], Awaitable[bool]]:
    """Return a condition: every partition has committed more than ``before``."""

    async def condition() -> bool:
        now = await committed(client, prefix)
        return len(now) == PARTITIONS and all(now[p] > before.get(p, 0) for p in now)

    return condition


async def resumes(client: Client, prefix: str) -> None:
    """Assert that every partition commits again within the time that the rules allow."""
    deadline = time.monotonic() + RESUMES_WITHIN
    now: dict[int, int] = {}

    async def known() -> bool:
        now.update(await committed(client, prefix))
        return len(now) == PARTITIONS

    await until(known, seconds=RESUMES_WITHIN, what="the committed offsets after the fault")
    left = deadline - time.monotonic()
    await until(
        beyond(client, prefix, dict(now)), seconds=left, what=f"progress of every partition over {now}"
    )


async def everything_once_and_in_order(client: Client, prefix: str, at_least: int) -> None:
    """Wait until the input is committed to its end, then compare output, state and offsets with it."""
    expected = values(await read_all(client, f"{prefix}in"))
    counts = {partition: len(records) for partition, records in expected.items()}
    assert sum(counts.values()) == at_least, "the input topic does not hold what was produced"

    async def at_the_end() -> bool:
        return await committed(client, prefix) == counts

    await until(at_the_end, seconds=RESUMES_WITHIN, what=f"everything committed: {counts}")
    found = values(await read_all(client, f"{prefix}out"))
    for partition in expected:
        assert found[partition] == expected[partition], f"partition {partition} differs"
    reader = StateReader(client, f"{prefix}state")
    for partition, count in counts.items():
        snapshot = await reader.last(TopicPartition(f"{prefix}in", partition))
        assert snapshot is not None
        assert (snapshot.next_offset, snapshot.state) == (count, str(count).encode())


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_broker_away_and_back_while_records_flow(
    node: KafkaNode, client: Client, topic_prefix: str, ending: str
) -> None:
    await make_topics(client, topic_prefix)
    async with running(Echo(f"{topic_prefix}out"), impatient(client, topic_prefix)) as pipeline:
        async with traffic(client, f"{topic_prefix}in") as sent:
            await until(beyond(client, topic_prefix, {}), what="first commits")
            await asyncio.to_thread(node.stop if ending == "stop" else node.kill)
            await until(lambda: pipeline.transactions("failed") > 0, what="a commit to fail")
            await asyncio.to_thread(node.start)
            await resumes(client, topic_prefix)
        await everything_once_and_in_order(client, topic_prefix, sent[0])


# aiokafka leaks the socket of a connection that is given up while the frozen broker has not greeted it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_broker_frozen_longer_than_every_deadline(
    node: KafkaNode, client: Client, topic_prefix: str
) -> None:
    await make_topics(client, topic_prefix)
    async with running(Echo(f"{topic_prefix}out"), impatient(client, topic_prefix)) as pipeline:
        async with traffic(client, f"{topic_prefix}in") as sent:
            await until(beyond(client, topic_prefix, {}), what="first commits")
            node.suspend()
            await until(lambda: pipeline.transactions("failed") > 0, what="a commit to pass its deadline")
            await asyncio.sleep(SESSION)  # the fault itself: the group's session ends too
            node.resume()
            await resumes(client, topic_prefix)
        await everything_once_and_in_order(client, topic_prefix, sent[0])


async def test_max_message_bytes_lowered_below_our_batches(
    node: KafkaNode, client: Client, topic_prefix: str
) -> None:
    await make_topics(client, topic_prefix)
    bulk = [(number % PARTITIONS, b"%d" % number + b"." * 1_000) for number in range(900)]
    async with running(Echo(f"{topic_prefix}out"), impatient(client, topic_prefix)) as pipeline:
        await produce(client, f"{topic_prefix}in", bulk[:300])
        await until(beyond(client, topic_prefix, dict.fromkeys(range(PARTITIONS), 99)), what="first commits")
        await _limit_message_bytes(client, f"{topic_prefix}out", 20_000)
        await produce(client, f"{topic_prefix}in", bulk[300:])
        await resumes_to_the_end(client, topic_prefix, len(bulk))
        await everything_once_and_in_order(client, topic_prefix, len(bulk))
        assert pipeline.transactions("failed") > 0, "no batch was too large: the test tests nothing"


async def resumes_to_the_end(client: Client, prefix: str, count: int) -> None:
    async def condition() -> bool:
        return sum((await committed(client, prefix)).values()) == count

    await until(condition, seconds=RESUMES_WITHIN, what=f"{count} committed")


async def _limit_message_bytes(client: Client, topic: str, limit: int) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(limit)})
        await admin.alter_configs([resource])
    finally:
        await admin.close()


@pytest.mark.parametrize("past_the_session", [False, True])
async def test_rebalance_while_a_commit_hangs(
    node: KafkaNode, client: Client, topic_prefix: str, past_the_session: bool
) -> None:
    await make_topics(client, topic_prefix)
    out = f"{topic_prefix}out"
    async with (
        running(Echo(out), impatient(client, topic_prefix)) as first,
        traffic(client, f"{topic_prefix}in") as sent,
    ):
        await until(beyond(client, topic_prefix, {}), what="first commits")
        node.suspend()
        await until(lambda: first.committing, every=0.005, what="a commit in flight")
        async with running(Echo(out), impatient(client, topic_prefix)) as second:
            await asyncio.sleep(SESSION + 1 if past_the_session else 1.5)  # the fault itself
            node.resume()
            await until(lambda: second.owns > 0 and first.owns > 0, what="both own partitions")
            await resumes(client, topic_prefix)
        await resumes(client, topic_prefix)  # the second has left in order
    async with running(Echo(out), impatient(client, topic_prefix)):
        await everything_once_and_in_order(client, topic_prefix, sent[0])


class Faulty(Echo):
    """Raises what nobody expects, at the record that says so."""

    def __init__(self, out: str, where: str) -> None:
        super().__init__(out)
        self.where = where

    def _check(self, where: str, records: Records) -> None:
        if where == self.where and b"bomb" in records.values:
            raise ZeroDivisionError(where)

    def decode(self, batch: Sequence[Records]) -> Sequence[Records]:
        for part in batch:
            self._check("decode", part)
        return batch

    def compute(self, work: Sequence[Records]) -> None:
        for part in work:
            self._check("compute", part)

    def encode(self, work: Sequence[Records], index: int) -> list[Output]:
        outputs = super().encode(work, index)
        self._check("encode", work[index])
        return outputs


@pytest.mark.parametrize("where", ["decode", "compute", "encode"])
async def test_a_step_that_raises_ends_the_pipeline_uncommitted(
    node: KafkaNode, client: Client, topic_prefix: str, where: str
) -> None:
    await make_topics(client, topic_prefix)
    doomed = Running(Faulty(f"{topic_prefix}out", where), impatient(client, topic_prefix))
    await produce(client, f"{topic_prefix}in", numbered(300))
    await resumes_to_the_end(client, topic_prefix, 300)
    await produce(client, f"{topic_prefix}in", [(0, b"301"), (0, b"bomb"), (0, b"302")])
    with pytest.raises(ZeroDivisionError, match=where):
        await asyncio.wait_for(doomed.task, STOPS_WITHIN)
    assert await committed(client, topic_prefix) == {0: 100, 1: 100, 2: 100}
    assert len((await read_all(client, f"{topic_prefix}out"))[0]) == 100
    step = Echo(f"{topic_prefix}out")
    async with running(step, impatient(client, topic_prefix)):
        await everything_once_and_in_order(client, topic_prefix, 303)
    assert (0, 100, 100) in step.opened


@pytest.mark.parametrize("away", ["killed", "frozen"])
async def test_stopping_while_the_broker_is_away(
    node: KafkaNode, client: Client, topic_prefix: str, away: str
) -> None:
    """With the production timeouts: a deadline of 15 s must still leave time to let go."""
    await make_topics(client, topic_prefix)
    pipeline = Running(Echo(f"{topic_prefix}out"), options(client, topic_prefix))
    async with traffic(client, f"{topic_prefix}in") as sent:
        await until(beyond(client, topic_prefix, {}), what="first commits")
        await until(lambda: pipeline.committing, every=0.001, what="a commit in flight")
        if away == "killed":
            await asyncio.to_thread(node.kill)
        else:
            node.suspend()
        await until(lambda: pipeline.committing, every=0.001, what="a commit in flight")
        pipeline.stop.set()
        await asyncio.wait_for(pipeline.task, STOPS_WITHIN)
        if away == "killed":
            await asyncio.to_thread(node.start)
        else:
            node.resume()
    async with running(Echo(f"{topic_prefix}out"), impatient(client, topic_prefix)):
        await everything_once_and_in_order(client, topic_prefix, sent[0])
