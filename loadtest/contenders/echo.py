"""The floor: consume, produce the value unchanged, commit; nothing is decoded. Run as a program.

``plain`` is aiokafka as its documentation has it, ``getmany`` and ``create_batch``; ``columns`` is
the same loop on Driftline's own ``ColumnConsumer`` and ``ColumnBatch``. At least once, both.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from loadtest.contenders.contender import Contender, Job, Launch, own_path
from shared.kafka.batch import ColumnBatch
from shared.kafka.consumer import ColumnConsumer
from shared.kafka.records import Output, Records

PLAIN_ECHO = "echo, plain aiokafka"
COLUMN_ECHO = "echo, columns"
MAX_RECORDS = 4_000
MAX_BATCH_BYTES = 1 << 18
POLL_SECONDS = 0.2


def echoes() -> list[Contender]:
    """Return both floors."""
    return [
        Contender(name=PLAIN_ECHO, kind="floor", launch=lambda job: _launch(job, "plain")),
        Contender(name=COLUMN_ECHO, kind="floor", launch=lambda job: _launch(job, "columns")),
    ]


def _launch(job: Job, style: str) -> Launch:
    return Launch([sys.executable, "-m", "loadtest.contenders.echo", style], job.environment() | own_path())


async def echo(style: str) -> None:
    """Echo until SIGTERM."""
    servers, topic = os.environ["LOADTEST_BOOTSTRAP_SERVERS"], os.environ["LOADTEST_INPUT"]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    consumer = ColumnConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=os.environ["LOADTEST_GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        session_timeout_ms=30_000,
        max_partition_fetch_bytes=1 << 20,
        fetch_max_wait_ms=50,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", linger_ms=0, max_batch_size=MAX_BATCH_BYTES
    )
    turn = _plain_turn if style == "plain" else _columns_turn
    async with consumer, producer:
        while not stop.is_set():
            await turn(consumer, producer, os.environ["LOADTEST_OUTPUT"])


async def _plain_turn(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str) -> None:
    fetched = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=MAX_RECORDS)
    sends: list[asyncio.Future[Any]] = []
    for tp, records in fetched.items():
        sends += await _send_records(producer, topic, tp.partition, records)
    await asyncio.gather(*sends)
    if fetched:
        await consumer.commit({tp: records[-1].offset + 1 for tp, records in fetched.items()})


async def _send_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[ConsumerRecord[bytes, bytes]]
) -> list[asyncio.Future[Any]]:
    sends: list[asyncio.Future[Any]] = []
    batch = producer.create_batch()
    for record in records:
        if batch.append(key=record.key, value=record.value, timestamp=None) is None:
            batch.close()
            sends.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=record.key, value=record.value, timestamp=None)
    batch.close()
    sends.append(await producer.send_batch(batch, topic, partition=partition))
    return sends


async def _columns_turn(consumer: ColumnConsumer, producer: AIOKafkaProducer, topic: str) -> None:
    fetched = await consumer.getcolumns(consumer.assignment(), timeout=POLL_SECONDS, max_records=MAX_RECORDS)
    sends: list[asyncio.Future[Any]] = []
    for part in fetched:
        sends += await _send_columns(producer, topic, part)
    await asyncio.gather(*sends)
    if fetched:
        await consumer.commit({TopicPartition(p.topic, p.partition): p.next_offset for p in fetched})


async def _send_columns(producer: AIOKafkaProducer, topic: str, part: Records) -> list[asyncio.Future[Any]]:
    output = Output(topic, part.partition, part.keys, part.values)
    timestamp = int(time.time() * 1000)
    sends: list[asyncio.Future[Any]] = []
    position = 0
    while position < len(part):
        batch = ColumnBatch(MAX_BATCH_BYTES, transactional=False)
        position = batch.fill(output, position, timestamp)
        sends.append(await producer.send_batch(batch, topic, partition=part.partition))
    return sends


if __name__ == "__main__":
    uvloop.run(echo(sys.argv[1]))
