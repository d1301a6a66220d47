"""Produces events at a fixed rate on a schedule that nothing moves; a process of its own.

Event ``i`` is due at ``start + i / rate``, decided before the first is sent. A generator that waits
for an answer before it goes on would send less just when the system is slow, and so leave out the worst
latencies (coordinated omission); this one never waits for an answer (``send`` puts a record into the
partition's open batch), and reports how late it was itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer
from hdrh.histogram import HdrHistogram

from loadtest.events import EventSource

LEAD_SECONDS = 0.2
SLICE_SECONDS = 0.002
FLUSH_SECONDS = 30.0
BATCH_BYTES = 1 << 20
"""Seven seconds of one partition at 2,000 events/s: a send never finds its batch full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What to send.

    Attributes
    ----------
    first, count
        The numbers of the events.
    rate
        Events per second.
    """

    bootstrap_servers: str
    topic: str
    partitions: int
    first: int
    count: int
    rate: float
    seed: int

    def due(self, position: int) -> float:
        """Return when the event at a position (from 0) is due, in seconds since the start."""
        return position / self.rate

    def position(self, seconds: float) -> int:
        """Return how many events are due by a moment, in seconds since the start.

        Examples
        --------
        >>> schedule = Schedule(bootstrap_servers="", topic="", partitions=6, first=0, count=100,
        ...                     rate=2000, seed=1)
        >>> schedule.position(-0.1), schedule.position(0), schedule.position(0.002), schedule.position(9)
        (0, 1, 5, 100)
        """
        return min(max(int(seconds * self.rate + 1e-6) + 1, 0), self.count) if seconds >= 0 else 0


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went.

    Attributes
    ----------
    start
        The moment of the schedule's zero, by the monotonic clock that all processes of a machine share.
    lag_p99_ms, lag_max_ms
        How long after they were due events were handed to the producer.
    """

    start: float
    lag_p99_ms: float
    lag_max_ms: float


async def generate(schedule: Schedule) -> Sent:
    """Send everything on time and wait for every acknowledgement."""
    source = EventSource(schedule.seed)
    keys, values = source.records(range(schedule.first, schedule.first + schedule.count))
    lag = HdrHistogram(1, 60_000_000, 3)
    producer = AIOKafkaProducer(
        bootstrap_servers=schedule.bootstrap_servers, acks="all", linger_ms=0, max_batch_size=BATCH_BYTES
    )
    async with producer:
        await producer.partitions_for(schedule.topic)
        waiting: list[asyncio.Future[Any]] = []
        start, sent = time.monotonic() + LEAD_SECONDS, 0
        while sent < schedule.count:
            now = time.monotonic() - start
            due = schedule.position(now)
            if due > sent:
                for position in range(sent, due):
                    lag.record_value(max(1, int((now - schedule.due(position)) * 1e6)))
                    number = position % schedule.partitions
                    waiting.append(
                        await producer.send(
                            schedule.topic, values[position], keys[position], partition=number
                        )
                    )
                sent = due
            await asyncio.sleep(SLICE_SECONDS)
        async with asyncio.timeout(FLUSH_SECONDS):
            await asyncio.gather(*waiting)
    return Sent(start, lag.get_value_at_percentile(99) / 1000, lag.get_max_value() / 1000)


if __name__ == "__main__":
    answer = uvloop.run(generate(Schedule(**json.loads(sys.argv[1]))))
    Path(sys.argv[2]).write_text(json.dumps(asdict(answer)), encoding="utf-8")
