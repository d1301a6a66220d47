"""The order in which things are written, which is what makes a kill at any moment harmless.

1. the rules were applied in memory
2. publish alerts and dead letters, and wait until the broker has them
3. write the state, notifications first and readings last, and wait
4. write the positions of what was read, and wait; the group's offsets follow them

Killed before 4, the same records are read again and lead to the same alerts under the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from services.alerting.faust_app import DurableTable, Worker
from services.alerting.letters import Letter, notification_letter
from services.alerting.metrics import AlertingMetrics
from services.alerting.process import Alerting
from services.alerting.telling import trace_headers
from shared.errors import NotDelivered
from shared.logs import get_logger
from shared.messages import Alert
from shared.pipeline.crash_points import crash_point
from shared.topics import TopicNames

log = get_logger(__name__)

TROUBLE: Final = (KafkaError, FaustError, TimeoutError, OSError)
"""What passes once the broker is back."""

_FIRST_BACKOFF: Final = 0.2
_LONGEST_BACKOFF: Final = 10.0


class Writing:
    """What is to be published and kept, until the broker has it.

    Parameters
    ----------
    worker, table
        The Faust app, and the table of the state topic.
    clock
        Returns epoch milliseconds.
    """

    def __init__(
        self,
        worker: Worker,
        table: DurableTable,
        topics: TopicNames,
        metrics: AlertingMetrics,
        clock: Callable[[], int],
    ) -> None:
        self._worker = worker
        self._table = table
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._records: dict[str, bytes | None] = {}
        self._places: dict[str, bytes | None] = {}
        self._revocations = -1
        self.alerts: list[Alert] = []
        self.letters: list[Letter] = []

    @property
    def done(self) -> bool:
        """Whether the state holds everything that was to be kept."""
        return not (self._records or self._places)

    def begin(self) -> None:
        """Forget what was to be written: the partitions were given out anew."""
        self._revocations = self._worker.revocations
        for waiting in (self.alerts, self.letters, self._records, self._places):
            waiting.clear()
        self._worker.durable({})

    async def save(self, alerting: Alerting) -> bool:
        """Publish and keep what there is to; return whether it was done.

        Tried until it is, since there is nothing else to do without a broker; or not at all once another
        process may go on from the state: what is not written stays here for the next call.
        """
        backoff = _FIRST_BACKOFF
        for delivery in alerting.outbox.given_up():
            self._metrics.dead_letters.labels(NotDelivered.__name__).inc()
            self.letters.append(notification_letter(delivery, self._topics.alert_commands, self._clock()))
        self._records |= alerting.drain()  # with those of a call that was cancelled
        self._places |= alerting.positions.drain()
        positions = alerting.positions.all()
        if self.done and not (self.alerts or self.letters):
            return False
        while not self._worker.should_stop:
            try:
                if not await self._write_all():
                    return False
            except TROUBLE as error:
                log.warning("alerts and state cannot be written yet", error=repr(error))
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF)
            else:
                self._records.clear()
                self._places.clear()
                self._worker.durable(positions)
                return True
        raise asyncio.CancelledError  # stopping: nothing was acknowledged, all of it comes again

    async def _write_all(self) -> bool:
        """Write alerts, then state, then positions: one that is ahead of the rest would lose reports.

        Nothing is written, and false returned, once another process may go on from the state. It is looked
        at before each step, since a process may be frozen while it waits in any.
        """
        await crash_point("alerts-found")
        if not self._may_write():
            return False
        await self._publish()
        await crash_point("alerts-published")
        if not self._may_write():
            return False
        self._write(self._records)
        await self._table.durable()
        await crash_point("alerts-kept")
        if not self._may_write():
            return False
        self._write(self._places)
        await self._table.durable()
        await crash_point("alerts-placed")
        return True

    def _may_write(self) -> bool:
        return self._worker.member and self._revocations == self._worker.revocations

    async def _publish(self) -> None:
        sends = [
            await self._worker.send_bytes(
                self._topics.alerts, alert.alert_id.encode(), msgspec.json.encode(alert), trace_headers(alert)
            )
            for alert in self.alerts
        ]
        sends += [
            await self._worker.send_bytes(self._topics.dead_letters, key, value, headers)
            for key, value, headers in self.letters
        ]
        await asyncio.gather(*sends)
        self._metrics.produced.labels(self._topics.alerts).inc(len(self.alerts))
        self.alerts.clear()
        self.letters.clear()

    def _write(self, records: dict[str, bytes | None]) -> None:
        for key, value in records.items():
            self._table.put(key.encode(), value)
