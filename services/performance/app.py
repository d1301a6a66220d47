"""Wiring of the performance service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from services.performance.config import PerformanceSettings
from services.performance.facts import FactsBook
from services.performance.metrics import PerformanceMetrics
from services.performance.process import JoinStep
from services.performance.recovery import Recovery
from services.performance.routing import RouteStep
from services.performance.shelf import FolderShelf, Shelf
from services.performance.trimming import trim_log
from shared.health import HealthServer
from shared.heartbeat import Heartbeat
from shared.kafka.capability import require_transactions
from shared.kafka.security import client_options
from shared.kafka.startup import require_topics, when_reachable
from shared.lifecycle import Background, stop_on_signals
from shared.logs import get_logger
from shared.metrics import describe_process
from shared.pipeline.options import PipelineOptions, Recover
from shared.pipeline.pipeline import Pipeline
from shared.registry.opening import redis_registry
from shared.topics import TopicNames

log = get_logger(__name__)


async def serve(settings: PerformanceSettings) -> None:
    """Run the service until a signal asks it to stop.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    topics = TopicNames(settings.topic_prefix)
    client = client_options(settings)
    collectors = CollectorRegistry()
    describe_process(collectors, "performance")
    metrics = PerformanceMetrics(collectors)
    alive = _Alive()
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        book = FactsBook(await stack.enter_async_context(_shelf(settings, collectors)))
        health = HealthServer(
            collectors,
            host=settings.http_host,
            port=settings.http_port,
            token=settings.http_token,
            last_turn=lambda: alive.last_turn,
        )
        health.add_check("partitions", alive.not_ready)
        await stack.enter_async_context(health)
        heartbeat = Heartbeat(
            "performance",
            client,
            topics.reports,
            collectors,
            every=settings.heartbeat_seconds,
            not_ready=health.failing,
            model_trouble=lambda: book.trouble,
        )
        await stack.enter_async_context(heartbeat)
        await when_reachable(client, stop, turn=alive.turn)
        await require_topics(
            client,
            same_partitions=(topics.performance_log, topics.state("performance")),
            others=(*_inputs(topics), topics.labelled, topics.dead_letters, topics.reports,
                    topics.state("performance-routing")),
        )  # fmt: skip
        if settings.delivery == "exactly-once":
            await require_transactions(client, group=settings.group, topic=topics.predictions)
        log.info("delivery guarantee holds", delivery=settings.delivery, group=settings.group)
        counts = await _partition_counts(client, (*_inputs(topics), topics.performance_log))
        routing, joining, step = _pipelines(settings, topics, client, metrics, book, counts)
        alive.pipelines = (routing, joining)
        background = await stack.enter_async_context(Background(stop))
        background.start("trimming the log", trim_log(client, topics.performance_log, step.joins))
        await _run_both(stop, routing, joining)


async def _run_both(stop: asyncio.Event, *pipelines: Pipeline[Any]) -> None:
    """Run until ``stop``, or until one fails: then the others finish their batch, and it is raised."""
    running = [asyncio.create_task(pipeline.run(stop)) for pipeline in pipelines]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait(running)
    for task in running:
        task.result()


class _Alive:
    """Readiness and liveness of the two pipelines; before there are any, of the start."""

    def __init__(self) -> None:
        self.pipelines: tuple[Pipeline[Any], ...] = ()
        self._turn = time.monotonic()

    def turn(self) -> None:
        """Note that the process is alive while it starts."""
        self._turn = time.monotonic()

    @property
    def last_turn(self) -> float:
        """When the slower of the two loops last came round."""
        return min((pipeline.last_turn for pipeline in self.pipelines), default=self._turn)

    def not_ready(self) -> str | None:
        """Return why the service is not ready."""
        if self.pipelines and all(pipeline.ready for pipeline in self.pipelines):
            return None
        return "not every partition is open yet"


def _inputs(topics: TopicNames) -> tuple[str, ...]:
    return topics.predictions, topics.shadow_predictions, topics.labels, topics.outcomes


async def _partition_counts(client: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        described = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


def _pipelines(
    settings: PerformanceSettings,
    topics: TopicNames,
    client: dict[str, Any],
    metrics: PerformanceMetrics,
    book: FactsBook,
    counts: dict[str, int],
) -> tuple[Pipeline[Any], Pipeline[Any], JoinStep]:
    """Return the routing pipeline, the joining one, and the latter's step."""

    def clock() -> int:
        return int(time.time() * 1000)

    partitions = counts[topics.performance_log]
    route = RouteStep(
        topics,
        metrics,
        partitions=partitions,
        by_entity=book.by_entity_in_thread(asyncio.get_running_loop()),
        clock=clock,
        idle_after=int(settings.idle_seconds * 1000),
        max_future=settings.max_future_seconds * 1000,
    )
    join = JoinStep(
        topics,
        metrics,
        meet=book.meet_in_thread(asyncio.get_running_loop()),
        partitions=partitions,
        clock=clock,
        report_interval=int(settings.report_seconds * 1000),
        checkpoint_interval=int(settings.checkpoint_seconds * 1000),
    )
    recovery = Recovery(
        client,
        state_topic=topics.state("performance"),
        folder=_join_dir(settings),
        book=book,
        expected=[f"{name}/{number}" for name in _inputs(topics) for number in range(counts[name])],
        into=join.recovered,
        on_recovered=metrics.recovery_seconds.set,
    )
    sorted_into = (topics.performance_log, topics.dead_letters)
    routing_options = _options(
        settings, topics, client, "performance-routing", _inputs(topics), sorted_into, None
    )
    written = (topics.performance_log, topics.labelled, topics.reports, topics.state("performance"))
    joining_options = _options(
        settings, topics, client, "performance", (topics.performance_log,), written, recovery
    )
    return (
        Pipeline(route, routing_options, metrics.of_routing()),
        Pipeline(join, joining_options, metrics),
        join,
    )


def _join_dir(settings: PerformanceSettings) -> Path:
    """Return the stores' directory, another one for each prefix."""
    folder = settings.join_dir or settings.cache_dir / "performance"
    return folder / (settings.topic_prefix or "default")


def _shelf(settings: PerformanceSettings, collectors: CollectorRegistry) -> Shelf:
    if settings.model_bundles:
        return FolderShelf([Path(path) for path in settings.model_bundles])
    return redis_registry(settings, collectors)


def _options(
    settings: PerformanceSettings,
    topics: TopicNames,
    client: dict[str, Any],
    name: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    recover: Recover | None,
) -> PipelineOptions:
    return PipelineOptions(
        service=name,
        topics=inputs,
        group=f"{settings.group_prefix}.{name}",
        delivery=settings.delivery,
        client=client,
        outputs=outputs,
        state_topic=topics.state(name),
        recover=recover,
        max_records=settings.max_batch_events,
        session_timeout=settings.session_seconds,
        heartbeat_interval=settings.session_seconds / 10,
        rebalance_timeout=settings.session_seconds * 2 / 3,
    )
