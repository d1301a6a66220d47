"""Ends what a broker left open of a partition's former transaction, before its next one begins.

Once ``InitProducerId`` has answered, every transaction of that id should be over everywhere. Apache
Kafka 4.3.0 and 4.3.1 break that (KAFKA-20734): while a partition has no leader, its coordinator takes
it for deleted and skips its marker. The records stay open under our producer id, and the marker of our
*next* transaction would commit them beside their repetition. So whoever opens a partition looks, and
ends what is open in the direction in which its transaction went.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
)

from shared.kafka.open_transactions import open_partitions
from shared.logs import get_logger
from shared.pipeline.options import PipelineOptions
from shared.pipeline.state import StateReader

log = get_logger(__name__)

_PAUSE_SECONDS: Final = 0.02
_ELECTION_SECONDS: Final = 2.0
MOST_AHEAD_MS: Final = 600_000
"""So far ahead of the clock a record's timestamp may lie."""

Opened = Mapping[TopicPartition, int]
"""Where a transaction is open, and the timestamp of its newest records there."""


def next_stamp(now: int, last: int) -> int:
    """Return a timestamp that no former transaction of the partition has, even if the clock was set back.

    Not more than ten minutes ahead of the clock: brokers refuse records from too far in the future.

    Examples
    --------
    >>> next_stamp(1_000, 0), next_stamp(1_000, 1_000), next_stamp(1_000, 5_000_000)
    (1000, 1001, 601000)
    """
    return max(now, min(last + 1, now + MOST_AHEAD_MS))


def unwritten(opened: Opened, state: TopicPartition) -> set[TopicPartition]:
    """Return the partitions whose open records are of the transaction whose state is open, or of a later one.

    Its state is not visible, so it was not committed as far as anybody can see: it is done again.

    Examples
    --------
    >>> out, reports, state = (TopicPartition(name, 0) for name in ("out", "reports", "state"))
    >>> sorted(unwritten({out: 700, reports: 600, state: 700}, state)) == [out, state]
    True
    """
    return {tp for tp, stamp in opened.items() if stamp >= opened[state]}


def committed(opened: Opened, newest: int) -> set[TopicPartition]:
    """Return the partitions whose open records are of a transaction whose state is visible.

    Parameters
    ----------
    newest
        The timestamp of the newest committed state.

    Examples
    --------
    >>> out, reports = (TopicPartition(name, 0) for name in ("out", "reports"))
    >>> committed({out: 700, reports: 600}, newest=600) == {reports}
    True
    """
    return {tp for tp, stamp in opened.items() if stamp <= newest}


async def settle(producer: AIOKafkaProducer, tp: TopicPartition, options: PipelineOptions) -> None:
    """End whatever is open under the producer's id, in the direction in which its transaction went.

    Every transaction writes the partition's state, and all its records carry one timestamp, greater
    than the one before it. So the state tells: a transaction is committed if its state is visible.

    1. look at the output topics and at the state; if nothing is open, done
    2. if the state is open, what belongs to it is aborted, since nobody has seen it; look again
    3. else what is not newer than the visible state is committed, and what is newer aborted; look again

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker is in trouble.
    """
    changelogs = len(await producer.partitions_for(options.state_topic))
    state = TopicPartition(options.state_topic, tp.partition % changelogs)
    topics = {*options.outputs, options.state_topic}
    patience = time.monotonic() + _ELECTION_SECONDS
    while True:
        try:
            opened = await open_partitions(producer, topics, own=tp.partition)  # 1
        except (LeaderNotAvailableError, NotLeaderForPartitionError):  # a topic made a moment ago
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        except IncompatibleBrokerVersion:
            log.warning("this broker cannot say what it left open (KIP-664), so nobody looks")
            return
        if not opened:
            return
        if state in opened:  # 2
            await _end(producer, tp, unwritten(opened, state), commit=False)
        else:  # 3
            newest = await StateReader(options.client, options.state_topic).stamp(tp)
            done = committed(opened, newest)
            await _end(producer, tp, done, commit=True)
            await _end(producer, tp, opened.keys() - done, commit=False)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _end(
    producer: AIOKafkaProducer, tp: TopicPartition, partitions: Collection[TopicPartition], *, commit: bool
) -> None:
    """Write the markers, by a transaction of nothing but these partitions."""
    if not partitions:
        return
    log.warning(
        "the broker left open a transaction that is over; ending it now",
        topic=tp.topic,
        partition=tp.partition,
        open=sorted(f"{at.topic}[{at.partition}]" for at in partitions),
        committed=commit,
    )
    await producer.begin_transaction()
    for partition in partitions:
        producer._txn_manager.maybe_add_partition_to_txn(partition)
    await (producer.commit_transaction() if commit else producer.abort_transaction())
