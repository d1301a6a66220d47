"""The producer of the demo: flights in time order, at the rate the user asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from devstack.demo.aftermath import Followup
from devstack.demo.events import Outgoing

TICK_SECONDS = 0.01


class Replay:
    """Sends records when they are due and notes each in the ledger first.

    Parameters
    ----------
    producer
        A started ``AIOKafkaProducer``.
    topic
        Where the records go.
    records
        What to send, in order.
    rate
        Records per second.
    note
        Called with each record and the time, right before it is handed to the producer.
    clock
        Monotonic seconds.
    after
        Returns what else is to be sent once a record is: labels and outcomes that are known by then.
    """

    def __init__(
        self,
        producer: Any,
        topic: str,
        records: Iterable[Outgoing],
        *,
        rate: float,
        note: Callable[[Outgoing, float], None],
        clock: Callable[[], float],
        after: Callable[[Outgoing], Iterable[Followup]] = lambda record: (),
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._records: Iterator[Outgoing] = iter(records)
        self._rate = rate
        self._note = note
        self._clock = clock
        self._after = after
        self.sent = 0
        self.exhausted = False

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop`` is set or the year is over; every record sent is on the broker after.

        Raises
        ------
        aiokafka.errors.KafkaError
            A record could not be delivered.
        """
        started = self._clock()
        pending: list[asyncio.Future[Any]] = []
        while not stop.is_set() and not self.exhausted:
            target = int((self._clock() - started) * self._rate)
            while self.sent < target and not self.exhausted:
                pending += await self._send_one()
            pending = await _settled(pending)
            await asyncio.sleep(TICK_SECONDS)
        await self._producer.flush()
        await asyncio.gather(*pending)

    async def _send_one(self) -> list[asyncio.Future[Any]]:
        record = next(self._records, None)
        if record is None:
            self.exhausted = True
            return []
        self._note(record, self._clock())
        self.sent += 1
        # Waits while the producer's batch is full: that is Kafka's back-pressure, and it slows the replay.
        sends = [await self._producer.send(self._topic, record.value, key=record.key)]
        for more in self._after(record):
            sends.append(await self._producer.send(more.topic, more.value, key=more.key))
        return sends


async def _settled(pending: list[asyncio.Future[Any]]) -> list[asyncio.Future[Any]]:
    """Return the sends still under way; raise what went wrong in the others."""
    done = [send for send in pending if send.done()]
    for send in done:
        send.result()
    return [send for send in pending if not send.done()]
