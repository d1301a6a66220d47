"""What a record costs in the client alone: aiokafka's own calls beside Driftline's columns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from secrets import token_hex
from typing import Any

from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from loadtest.backlog import BATCH_BYTES, Backlog
from loadtest.cluster import Cluster
from loadtest.errors import LoadTestError
from loadtest.events import EventSource
from loadtest.report import Report
from loadtest.summary import Spread, markdown, ratios
from shared.kafka.batch import ColumnBatch
from shared.kafka.consumer import ColumnConsumer
from shared.kafka.records import Output
from shared.topics import TopicSpec

MAX_RECORDS = 4_000
FETCH_SECONDS = 60.0
OWN_CALL = {
    "getmany": "getmany",
    "getcolumns": "getmany",
    "BatchBuilder": "BatchBuilder",
    "ColumnBatch": "BatchBuilder",
}
"""aiokafka's own call to compare each one with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFloorOptions:
    """What to measure."""

    events: int = 300_000
    rounds: int = 5
    partitions: int = 6
    seed: int = 1


Read = Callable[[ColumnConsumer, list[TopicPartition]], Awaitable[int]]


async def run(bootstrap_servers: str, options: ClientFloorOptions) -> Report:
    """Return CPU per record of reading and of filling batches, each in both ways, in turn."""
    report = Report("client-floor", asdict(options))
    source = EventSource(options.seed)
    keys, values = source.records(range(options.events))
    backlog = Backlog.encode(source, 0, options.events, options.partitions)
    found: dict[str, list[float]] = {"getmany": [], "getcolumns": [], "BatchBuilder": [], "ColumnBatch": []}
    topic = TopicSpec(f"lt{token_hex(3)}-events", options.partitions, True, None)
    async with Cluster(bootstrap_servers) as cluster, cluster.topics([topic]):
        await backlog.send(cluster.producer, topic.name)
        for _ in range(options.rounds):
            found["getmany"].append(await _reading(bootstrap_servers, topic, options.events, _getmany))
            found["getcolumns"].append(await _reading(bootstrap_servers, topic, options.events, _getcolumns))
            found["BatchBuilder"].append(_filling(_with_builder, keys, values))
            found["ColumnBatch"].append(_filling(_with_columns, keys, values))
    _lay_out(report, found)
    return report


async def _reading(bootstrap_servers: str, topic: TopicSpec, events: int, read: Read) -> float:
    """Return CPU microseconds per record of reading a whole topic, parsing included."""
    consumer = ColumnConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1 << 20,
    )
    async with consumer:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        done, started, deadline = 0, time.process_time(), time.monotonic() + FETCH_SECONDS
        while done < events:
            done += await read(consumer, partitions)
            if time.monotonic() > deadline:
                raise LoadTestError(f"only {done:,} of {events:,} records came within {FETCH_SECONDS:g} s")
        return (time.process_time() - started) / events * 1e6


async def _getmany(consumer: ColumnConsumer, partitions: list[TopicPartition]) -> int:
    fetched = await consumer.getmany(*partitions, timeout_ms=200, max_records=MAX_RECORDS)
    return sum(map(len, fetched.values()))


async def _getcolumns(consumer: ColumnConsumer, partitions: list[TopicPartition]) -> int:
    return sum(map(len, await consumer.getcolumns(partitions, timeout=0.2, max_records=MAX_RECORDS)))


def _filling(
    fill: Callable[[list[bytes], list[bytes]], int], keys: list[bytes], values: list[bytes]
) -> float:
    """Return CPU microseconds per record of putting records into batches and building these."""
    started = time.process_time()
    done = fill(keys, values)
    seconds = time.process_time() - started
    if done != len(values):
        raise LoadTestError(f"{done:,} records lie in the batches, not {len(values):,}")
    return seconds / done * 1e6


def _with_builder(keys: list[bytes], values: list[bytes]) -> int:
    done: int = 0
    batch: Any = BatchBuilder(BATCH_BYTES, 0)
    for key, value in zip(keys, values, strict=True):
        if batch.append(timestamp=None, key=key, value=value) is None:
            done += batch.record_count()
            batch._build()
            batch = BatchBuilder(BATCH_BYTES, 0)
            batch.append(timestamp=None, key=key, value=value)
    batch._build()
    done += batch.record_count()
    return done


def _with_columns(keys: list[bytes], values: list[bytes]) -> int:
    output = Output("", 0, keys, values)
    done, timestamp = 0, int(time.time() * 1000)
    while done < len(values):
        batch = ColumnBatch(BATCH_BYTES, transactional=False)
        done = batch.fill(output, done, timestamp)
        batch._build()
    return done


def _lay_out(report: Report, found: dict[str, list[float]]) -> None:
    rows: list[list[object]] = []
    for name, base in OWN_CALL.items():
        cpu, times = Spread.of(found[name]), ratios(found[name], found[base])
        rows.append([name, cpu, times])
        report.figures[name] = {"rounds": found[name], "cpu_us": cpu.as_json()}
    report.text.append(markdown(["call", "CPU us/record", "x aiokafka's own"], rows))
