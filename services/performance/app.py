"""Wiring of the performance service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from services.performance.config import PerformanceSettings
from services.performance.facts import FactsBook
from services.performance.metrics import PerformanceMetrics
from services.performance.process import JoinStep
from services.performance.recovery import Recovery
from services.performance.routing import RouteStep
from services.performance.shelf import FolderShelf, Shelf
from services.performance.trimming import trim_log
from shared.frame import guaranteed, pipeline_options, watched
from shared.kafka.security import client_options
from shared.lifecycle import Background, stop_on_signals
from shared.logs import get_logger
from shared.metrics import describe_process
from shared.pipeline.pipeline import Pipeline
from shared.registry.opening import redis_registry
from shared.topics import TopicNames

log = get_logger(__name__)

_GATHER_SECONDS: Final = 0.2
"""So long messages gather into one transaction, which costs as much as some hundred of them: nobody waits for
a label within the second."""

_PACKET_FETCH_BYTES: Final = 1 << 18
"""A fetch of the log: packets hold hundreds of items, which take six times the room once decoded."""


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
    if (short := settings.too_short_a_grace()) is not None:
        log.warning("the grace is too short", why=short)
    alive = _Alive()
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        book = FactsBook(await stack.enter_async_context(_shelf(settings, collectors)), stop=stop)
        book.waiting = alive.turn
        await stack.enter_async_context(
            watched(
                settings,
                collectors,
                last_turn=lambda: alive.last_turn,
                checks={"partitions": alive.not_ready},
                trouble=lambda: book.trouble,
            )
        )
        counts = await guaranteed(
            settings,
            stop,
            turn=alive.turn,
            same_partitions=(topics.performance_log, topics.state("performance")),
            others=(*_inputs(topics), topics.labelled, topics.dead_letters, topics.reports,
                    topics.state("performance-routing")),
        )  # fmt: skip
        if stop.is_set():
            return
        routing, joining, step = _pipelines(settings, topics, client, metrics, book, counts)
        alive.pipelines = (routing, joining)
        background = await stack.enter_async_context(Background(stop))
        trimming = trim_log(client, topics.performance_log, step.joins, every=settings.trim_seconds)
        background.start("trimming the log", trimming)
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
        """Note that the process is alive while it waits for something outside of it."""
        self._turn = time.monotonic()
        for pipeline in self.pipelines:
            pipeline.turn()

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
        grace=int(settings.grace_seconds * 1000),
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
        grace=int(settings.grace_seconds * 1000),
        on_recovered=metrics.recovery_seconds.set,
    )
    sorted_into = (topics.performance_log, topics.dead_letters)
    routing_options = pipeline_options(
        settings, "performance-routing", topics=_inputs(topics), outputs=sorted_into,
        commit_interval=_GATHER_SECONDS,
    )  # fmt: skip
    written = (topics.performance_log, topics.labelled, topics.reports, topics.state("performance"))
    joining_options = pipeline_options(
        settings, "performance", topics=(topics.performance_log,), outputs=written, recover=recovery,
        commit_interval=_GATHER_SECONDS, partition_fetch_bytes=_PACKET_FETCH_BYTES,
    )  # fmt: skip
    routing = Pipeline(route, routing_options, metrics.of_routing())
    route.caught_up = routing.caught_up_at
    return routing, Pipeline(join, joining_options, metrics), join


def _join_dir(settings: PerformanceSettings) -> Path:
    """Return the stores' directory, another one for each prefix."""
    folder = settings.join_dir or settings.cache_dir / "performance"
    return folder / (settings.topic_prefix or "default")


def _shelf(settings: PerformanceSettings, collectors: CollectorRegistry) -> Shelf:
    if settings.model_bundles:
        return FolderShelf([Path(path) for path in settings.model_bundles])
    return redis_registry(settings, collectors)
