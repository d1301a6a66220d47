"""Wiring of the alerting service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from prometheus_client import CollectorRegistry

from services.alerting.config import AlertingSettings
from services.alerting.delivery import deliver
from services.alerting.duty import Duty, epoch_ms
from services.alerting.exposition import ReportCollector, follow, follow_reports
from services.alerting.faust_app import Worker, new_worker
from services.alerting.links import with_runbooks
from services.alerting.metrics import AlertingMetrics
from services.alerting.page import SaidAlerts, overview, runbook
from shared.alerting.rules_file import load_rules
from shared.errors import ServiceError
from shared.frame import watched
from shared.kafka.security import client_options
from shared.kafka.startup import require_topics, when_reachable
from shared.lifecycle import Background, stop_on_signals
from shared.logs import get_logger
from shared.metrics import describe_process
from shared.topics import TopicNames, compacted_topics
from shared.vitals import instance_name

log = get_logger(__name__)

_BATCH: Final = 500
_WITHIN: Final = 0.05
_TICK_SECONDS: Final = 1.0
_BEHIND: Final = 5
"""Records: transaction markers take offsets too, so that a reader at the end may seem a few behind."""


async def serve(settings: AlertingSettings) -> None:
    """Run the service until a signal asks it to stop.

    Raises
    ------
    ConfigError
        The rules file is wrong, or a topic is missing.
    ServiceError
        The worker ended although nobody asked it to.
    """
    rulebook = with_runbooks(load_rules(settings.alert_rules), settings.public_url)
    topics, client = TopicNames(settings.topic_prefix), client_options(settings)
    collectors = CollectorRegistry()
    describe_process(collectors, "alerting")
    metrics = AlertingMetrics(collectors)
    shown, said = ReportCollector(collectors, clock=epoch_ms), SaidAlerts()
    instance = instance_name()
    worker = new_worker(
        client, group=settings.group, instance=instance, session_seconds=settings.session_seconds
    )
    table = worker.state_table(topics.state("alerting"))
    duty = Duty(worker, table, rulebook, topics, metrics, instance=instance)
    told = [receiver.name for receiver in rulebook.receivers]
    _add_agents(worker, duty, topics)
    turns = _Turns()
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        background = await stack.enter_async_context(Background(stop))
        await stack.enter_async_context(
            watched(
                settings,
                collectors,
                last_turn=lambda: turns.last,
                checks={"group": lambda: None if duty.joined else "has not joined its group yet"},
                pages={
                    "/": lambda _: overview(said, shown, epoch_ms(), receivers=told),
                    "/runbooks/{name}": runbook,
                },
            )
        )
        await when_reachable(client, stop, turn=turns.turn)
        if stop.is_set():
            return
        await require_topics(
            client,
            same_partitions=(topics.reports,),
            others=(topics.alerts, topics.alert_commands, topics.dead_letters, topics.state("alerting")),
            compacted=compacted_topics(topics),
        )
        background.start("metrics of reports", follow_reports(client, topics.reports, shown.take))
        background.start("what was resolved", follow(client, topics.alerts, said.take))
        background.start("what fires", follow(client, topics.state("alerting"), said.take_state))
        stack.push_async_callback(_stop, worker)
        await worker.start()
        for receiver in rulebook.receivers:
            background.start(f"delivery to {receiver.name}", deliver(receiver, duty, metrics))
        log.info("alerting", rules=len(rulebook.conditions), receivers=len(rulebook.receivers))
        await _run(settings, worker, duty, metrics, turns, stop)


class _Turns:
    """When the main loop last came round, by ``time.monotonic``."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def turn(self) -> None:
        self.last = time.monotonic()


def _add_agents(worker: Worker, duty: Duty, topics: TopicNames) -> None:
    """Read each topic with one agent; what it raises would lose its events, so it raises nothing."""

    @worker.agent(worker.bytes_topic(topics.reports), name="reports", concurrency=1)
    async def reports(stream: Any) -> None:
        async for events in stream.take_events(_BATCH, within=_WITHIN):
            await duty.reports(events)

    @worker.agent(worker.bytes_topic(topics.alert_commands), name="commands", concurrency=1)
    async def commands(stream: Any) -> None:
        async for events in stream.take_events(_BATCH, within=_WITHIN):
            await duty.commands(events)

    worker.on_recovered(duty.recovered)


async def _run(
    settings: AlertingSettings,
    worker: Worker,
    duty: Duty,
    metrics: AlertingMetrics,
    turns: _Turns,
    stop: asyncio.Event,
) -> None:
    """Let time pass once a second until ``stop``."""
    while not stop.is_set():
        if worker.crashed or worker.should_stop:
            raise ServiceError(f"the worker ended: {worker.crash_reason!r}; nothing uncommitted counts")
        turns.turn()
        if duty.working:
            behind = worker.behind()
            for (topic, partition), lag in behind.items():
                metrics.lag.labels(topic, partition).set(lag)
            await duty.tick(current=_current(settings, duty, max(behind.values(), default=0)))
        _count(duty, metrics)
        try:
            await asyncio.wait_for(stop.wait(), _TICK_SECONDS)
        except TimeoutError:
            continue


def _current(settings: AlertingSettings, duty: Duty, lag: int) -> bool:
    """Return whether reports are read as they are written: only then can one be missing.

    Our own heartbeat takes the same way as everybody's: while it does not come back, it is the way that
    is broken, and not all services at once.
    """
    if settings.heartbeat_seconds and epoch_ms() - duty.heard_self > 3_000 * settings.heartbeat_seconds:
        return False
    return lag <= _BEHIND


def _count(duty: Duty, metrics: AlertingMetrics) -> None:
    counts = dict.fromkeys(("pending", "firing", "silenced"), 0)
    for watch in duty.alerting.watches:
        muted = watch.alert is not None and watch.alert.muted_by is not None
        counts["silenced" if muted else watch.status] += 1
    for status, count in counts.items():
        metrics.alerts.labels(status).set(count)


async def _stop(worker: Worker) -> None:
    """Stop the worker; what it does not finish in time is read again by the next one."""
    try:
        async with asyncio.timeout(10.0):
            await worker.stop()
    except Exception as error:
        log.warning("the worker did not stop cleanly", error=repr(error))
