"""What the working process does with records: decode, apply, write (:mod:`services.alerting.writing`).

One thing at a time: whoever has the lock sees a state that is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.alerting.faust_app import DurableTable, Worker
from services.alerting.metrics import AlertingMetrics
from services.alerting.outbox import Outbox
from services.alerting.process import Alerting, decode
from services.alerting.telling import about, trace_of_alert
from services.alerting.writing import TROUBLE, Writing
from shared.alerting.posting import Outcome
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import Rulebook
from shared.alerting.states import Delivery, Origin
from shared.dead_letters import dead_letter_headers
from shared.errors import DecodeError, ProcessError, ServiceError
from shared.logs import get_logger
from shared.messages import Alert, ServiceReport, Source
from shared.refusals import say_refused
from shared.topics import TopicNames
from shared.tracing import trace_of, traceparent, within

log = get_logger(__name__)

_ATTEMPTS: Final = 2
"""An exception may be chance once; the same record twice is the record."""


def epoch_ms() -> int:
    """Return the time, milliseconds since 1970."""
    return int(time.time() * 1000)


class Duty:
    """The work of the process that has the partitions; a process that stands by does none.

    Parameters
    ----------
    worker, table
        The Faust app, not started, and the table of the state topic.
    instance
        This process, as its heartbeat names it.
    """

    def __init__(
        self,
        worker: Worker,
        table: DurableTable,
        rulebook: Rulebook,
        topics: TopicNames,
        metrics: AlertingMetrics,
        *,
        instance: str,
        clock: Callable[[], int] = epoch_ms,
    ) -> None:
        self._worker = worker
        self._table = table
        self._rulebook = rulebook
        self._topics = topics
        self._metrics = metrics
        self._instance = instance
        self._clock = clock
        self._lock = asyncio.Lock()
        self._writing = Writing(worker, table, topics, metrics, clock)
        self.alerting = Alerting(rulebook, worker.group)
        self.joined = False
        """Whether the group has told this process whether it works or stands by."""
        self.heard_self = 0
        """When the newest of this process's own heartbeats that came back was written."""
        self.woken = asyncio.Event()
        """Set whenever there may be a notification to deliver."""

    @property
    def working(self) -> bool:
        """Whether this process has the partitions."""
        return self.joined and any(tp.topic == self._topics.reports for tp in self._worker.assigned)

    async def recovered(self, *_: Any) -> None:
        """Begin anew with what the state topic holds: the partitions were given to this process."""
        async with self._lock:
            self._writing.begin()
            self.alerting = Alerting(self._rulebook, self._worker.group)
            self._worker.positions = self.alerting.positions
            self.joined = True
            self._metrics.partitions.set(len(self._worker.assigned))
            if not self.working:
                self._table.forget()
                log.info("standing by: another process has the partitions")
                return
            records = {key.decode(): value for key, value in self._table.items() if value}
            self.alerting.load(records)
            log.info("alerting takes over", records=len(records), watches=len(self.alerting.watches))
            self.woken.set()

    async def reports(self, events: Sequence[Any]) -> None:
        """Apply a batch of reports; returns once everything that follows from them is durable."""
        async with self._lock:
            self._apply_all(events, self._report)
            await self._save()

    async def commands(self, events: Sequence[Any]) -> None:
        """Carry out commands; returns once what they change is durable."""
        async with self._lock:
            self._apply_all(events, self._command)
            await self._save()

    async def tick(self, *, current: bool) -> None:
        """Let time pass."""
        async with self._lock:
            self._say(self.alerting.tick(self._clock(), current=current))
            await self._save()
            await self._read_on()

    async def _read_on(self) -> None:
        try:
            await self._worker.read_on()
        except TROUBLE as error:
            log.warning("records cannot be read again yet", error=repr(error))

    async def due(self, receiver: str) -> tuple[Outbox, Delivery] | None:
        """Return what to deliver now, and the outbox it is of; only what the state holds already."""
        async with self._lock:
            delivery = self.alerting.outbox.due(receiver, self._clock()) if self._settled else None
            return None if delivery is None else (self.alerting.outbox, delivery)

    async def standing(self, receiver: Receiver) -> list[Alert]:
        """Return what fires and a receiver was to be told of, as the state holds it."""
        async with self._lock:
            return self.alerting.standing(receiver) if self._settled else []

    @property
    def _settled(self) -> bool:
        """Whether this process works, and all that it knows is written."""
        return self.working and self._writing.done

    async def settle(self, outbox: Outbox, delivery: Delivery, outcome: Outcome) -> None:
        """Note what became of an attempt; what is given up becomes a dead letter in the same step.

        Parameters
        ----------
        outbox
            The one that the delivery is of: after a rebalance it is nobody's, and its notification, still
            waiting in the state, goes out once more under the same key.
        """
        async with self._lock:
            if outbox is not self.alerting.outbox:
                return
            outbox.settle(delivery, outcome, self._clock())
            await self._save()

    def _apply_all(self, events: Sequence[Any], act: Callable[[Any], None]) -> None:
        """Act on what is next of its partition; what came before, or too early, is passed over."""
        for event in events:
            message = event.message
            if self.alerting.positions.take(message.tp, message.offset, message.follows) == "next":
                with within(trace_of(_headers(message))):
                    self._apply(message, act)

    def _apply(self, message: Any, act: Callable[[Any], None]) -> None:
        """Act on one record; one that cannot be acted on becomes a dead letter and is never lost."""
        self._metrics.consumed.labels(message.topic).inc()
        self._metrics.last_progress.set(time.time())
        if message.value is None:
            return  # a tombstone: compaction, or somebody's tool
        for attempt in range(_ATTEMPTS):
            try:
                return act(message)
            except (DecodeError, ProcessError) as error:
                return self._refuse(message, error)
            except Exception as error:
                log.exception("a record could not be acted on", attempt=attempt + 1, **_place(message))
                failure = ProcessError(f"{type(error).__name__}: {error}")
        return self._refuse(message, failure)

    def _report(self, message: Any) -> None:
        report = decode(message.value)
        if report is None:
            return
        if isinstance(report, ServiceReport) and report.instance == self._instance:
            self.heard_self = max(self.heard_self, report.written_at)
        source = Source(**_place(message))
        origin = Origin(source, traceparent(_headers(message)))
        self._say(self.alerting.take(report, self._clock(), origin), source)

    def _command(self, message: Any) -> None:
        what = self.alerting.command(message.value, self._clock())
        log.info("command carried out", what=what, **_place(message))

    def _say(self, alerts: list[Alert], source: Source | None = None) -> None:
        """Publish alerts, and log each under the trace that it began in.

        Parameters
        ----------
        source
            The report that made them; where time did, the log names the one they began with.
        """
        for alert in alerts:
            self._writing.alerts.append(alert)
            self._metrics.changes.labels(alert.rule, alert.status).inc()
            with within(trace_of_alert(alert)):
                log.warning(
                    f"alert {alert.status}",
                    rule=alert.rule,
                    severity=alert.severity,
                    summary=alert.summary,
                    muted_by=alert.muted_by,
                    **about(alert, source),
                )

    def _refuse(self, message: Any, error: ServiceError) -> None:
        self._metrics.dead_letters.labels(type(error).__name__).inc()
        original, place = _headers(message), _place(message)
        say_refused(error, original, **place)
        headers = dead_letter_headers(original, error, service="alerting", **place, now=self._clock())
        self._writing.letters.append((message.key, message.value, headers))

    async def _save(self) -> None:
        if await self._writing.save(self.alerting):
            self.woken.set()


def _headers(message: Any) -> list[tuple[str, bytes | None]]:
    headers = message.headers or ()
    return list(headers.items() if isinstance(headers, dict) else headers)


def _place(message: Any) -> dict[str, Any]:
    return {"topic": message.topic, "partition": message.partition, "offset": message.offset}
