"""A broker that forgot to end a transaction (KAFKA-20734): whoever opens the partition ends it.

Apache Kafka 4.3 forgets when a partition has no leader just then, which no test can time. Here the
*client* forgets to tell the coordinator of a partition, with the broker's own check for that switched
off, and leaves the same log behind: records under our producer id that no marker will ever end.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Iterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from devstack.apache_kafka import ApacheKafka
from services.cli.letters import Letter, mark_output
from shared.dead_letters import DeadLetter
from shared.kafka.stopping import cut_off
from shared.metrics import PipelineMetrics
from shared.pipeline.pipeline import Pipeline
from shared.pipeline.state import Snapshot, StateReader, snapshot_output
from shared.pipeline.writer import TransactionalWriter
from tests.integration.pipeline.echo import Echo, options
from tests.integration.pipeline.test_pipeline import by_partition, make_topics, numbered, values
from tests.streams import Client, create_topics, produce, read_all, until

pytestmark = pytest.mark.kafka
DONE = 10
STAMP = 1_700_000_000_000
END = Snapshot(30, b"30")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A broker that does not ask the coordinator whether a record's partition belongs to its transaction."""
    with ApacheKafka(settings={"transaction.partition.verification.enable": "false"}) as server:
        yield {"bootstrap_servers": server.bootstrap_servers, **server.client_settings()}


async def former_owner(client: Client, prefix: str, *, forgotten: Collection[str], committed: bool) -> None:
    """Process the first ten records of partition 0, and leave ``forgotten`` without a marker.

    Parameters
    ----------
    forgotten
        Any of ``out``, ``reports`` and ``state``.
    committed
        Whether the transaction was committed as far as the coordinator knew of it.
    """
    source = TopicPartition(f"{prefix}in", 0)
    transactional_id = options(client, prefix).transactional_id(source.topic, 0)
    producer = AIOKafkaProducer(**client, transactional_id=transactional_id)
    await producer.start()
    await producer.begin_transaction()
    for name in forgotten:  # "the coordinator knows already"
        producer._txn_manager._txn_partitions.add(TopicPartition(f"{prefix}{name}", 0))
    snapshot = snapshot_output(f"{prefix}state", source, Snapshot(DONE, str(DONE).encode()))
    key, value = snapshot.keys[0], snapshot.values[0]
    answers = [(f"{prefix}out", b"k", b"%d" % (3 * i)) for i in range(DONE)]
    for topic, k, v in [*answers, (f"{prefix}reports", b"k", b"report"), (f"{prefix}state", key, value)]:
        await producer.send_and_wait(topic, v, key=k, partition=0, timestamp_ms=STAMP)
    if committed:
        await producer.commit_transaction()
    await cut_off(producer)


@pytest.mark.parametrize(
    ("forgotten", "committed"),
    [
        ({"out"}, False),
        ({"state"}, False),
        ({"out", "state"}, False),
        ({"out", "reports", "state"}, False),
        ({"out"}, True),
        ({"reports"}, True),
        ({"out", "reports"}, True),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "committed" * value or "aborted",
)
async def test_what_the_coordinator_forgot_is_ended_as_its_transaction_was(
    client: Client, topic_prefix: str, forgotten: set[str], committed: bool
) -> None:
    await make_topics(client, topic_prefix)
    await create_topics(client, {f"{topic_prefix}reports": 1})
    sent = numbered(90)
    await produce(client, f"{topic_prefix}in", sent)
    await former_owner(client, topic_prefix, forgotten=forgotten, committed=committed)
    step = Echo(f"{topic_prefix}out")
    chosen = options(client, topic_prefix)
    chosen = dataclasses.replace(chosen, outputs=(*chosen.outputs, f"{topic_prefix}reports"))
    stop = asyncio.Event()
    task = asyncio.create_task(Pipeline(step, chosen, PipelineMetrics(CollectorRegistry())).run(stop))
    reader = StateReader(client, f"{topic_prefix}state")

    async def done() -> bool:
        return all([await reader.last(TopicPartition(f"{topic_prefix}in", p)) == END for p in range(3)])

    await until(done, what="everything committed")
    stop.set()
    await task
    assert values(await read_all(client, f"{topic_prefix}out")) == by_partition(sent)
    assert values(await read_all(client, f"{topic_prefix}reports")) == {0: [b"report"] * committed}
    assert (0, DONE, DONE) in step.opened if committed else (0, 0, 0) in step.opened


@pytest.mark.parametrize("committed", [True, False])
async def test_a_replay_of_dead_letters_is_ended_as_its_marks_say(
    client: Client, topic_prefix: str, committed: bool
) -> None:
    """The events of a replay have no state; its marks, in the letters' partition, stand in for it."""
    letters, events = f"{topic_prefix}letters", f"{topic_prefix}events"
    await create_topics(client, {letters: 1, events: 1})
    tp = TopicPartition(letters, 0)
    chosen = dataclasses.replace(options(client, topic_prefix), outputs=(events,), state_topic=letters)
    reason = DeadLetter("DecodeError", "not JSON", None, "inference", events, 0, 7, 0)
    mark = mark_output(Letter(letters, 0, 0, STAMP, None, b"{", [], reason), STAMP, of=0)
    producer = AIOKafkaProducer(**client, transactional_id=chosen.transactional_id(letters, 0))
    await producer.start()
    await producer.begin_transaction()
    producer._txn_manager._txn_partitions.add(TopicPartition(events, 0))  # forgotten
    await producer.send_and_wait(events, b"{", partition=0, timestamp_ms=STAMP)
    await producer.send_and_wait(letters, mark.values[0], mark.keys[0], 0, STAMP, list(mark.headers[0]))
    if committed:
        await producer.commit_transaction()
    await cut_off(producer)
    writer = TransactionalWriter(tp, chosen, max_batch_bytes=1 << 18)
    await writer.open()
    await writer.discard()
    await produce(client, events, [(0, b"end")])
    assert values(await read_all(client, events)) == {0: [b"{"] * committed + [b"end"]}
