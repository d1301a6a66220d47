"""Reads what came back from the broker, as any consumer of predictions would, into the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from devstack.demo.ledger import Ledger
from shared.dead_letters import read_dead_letter
from shared.reports import AnyReport, decode_report

log = logging.getLogger(__name__)

POLL_MS = 100
STOP_SECONDS = 5.0
FETCH_WAIT_MS = 10
"""Tansu answers a fetch only when this time is over, so it is part of every latency measured there."""


class _Prediction(msgspec.Struct):
    """The fields of a prediction that the demo looks at."""

    event_id: str
    model_version: str
    label: str | None = None


class TopicReader:
    """Hands every record of a topic to a function, from the beginning on.

    Parameters
    ----------
    settings
        aiokafka arguments: where, and at which isolation level.
    topic
        What to read, all partitions of it.
    take
        Called with each record and the time at which it was visible.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        take: Callable[[Any, float], None],
        clock: Callable[[], float],
    ) -> None:
        # Without a group: nobody's offsets are touched, and every partition is read.
        self._consumer = AIOKafkaConsumer(
            topic,
            **settings,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        self._topic = topic
        self._take = take
        self._clock = clock

    async def start(self) -> None:
        """Connect and stand at the beginning of every partition."""
        await self._consumer.start()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until ``stop`` is set."""
        while not stop.is_set():
            # Never cancelled, hence the short timeout: see docs of aiokafka's getmany.
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS)
            now = self._clock()
            for records in fetched.values():
                for record in records:
                    self._take(record, now)

    async def at_end(self) -> bool:
        """Return whether everything that is visible has been read."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for partition, end in ends.items():
            if await self._consumer.position(partition) < end:
                return False
        return True

    async def close(self) -> None:
        """Disconnect; without its broker aiokafka's stop() may hang, or raise its own CancelledError."""
        stopping = asyncio.create_task(self._consumer.stop())
        await asyncio.wait([stopping], timeout=STOP_SECONDS)
        if not stopping.done():
            log.warning("the reader of %s did not stop in %g s", self._topic, STOP_SECONDS)
            stopping.cancel()
        elif stopping.cancelled() or stopping.exception() is not None:
            log.warning("the reader of %s did not stop cleanly", self._topic)


def prediction_taker(ledger: Ledger) -> Callable[[Any, float], None]:
    """Return what enters a record of the predictions topic into the ledger."""
    decode = msgspec.json.Decoder(_Prediction).decode

    def take(record: Any, now: float) -> None:
        seen = decode(record.value)
        ledger.predicted(seen.event_id, seen.model_version, seen.label, now)

    return take


def report_taker(*books: Callable[[AnyReport], None]) -> Callable[[Any, float], None]:
    """Return what shows each record of the reports topic to every book; what is unknown is passed over."""

    def take(record: Any, now: float) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            report = decode_report(record.value)
            for book in books:
                book(report)

    return take


def dead_letter_taker(ledger: Ledger) -> Callable[[Any, float], None]:
    """Return what enters a record of the dead-letters topic into the ledger."""

    def take(record: Any, now: float) -> None:
        letter = read_dead_letter(record.headers)
        ledger.dead_lettered(
            record.value, letter.message if letter is not None else "no reason in the headers"
        )

    return take
