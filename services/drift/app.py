"""Wiring of the drift service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import CollectorRegistry

from services.drift.config import DriftSettings
from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from services.drift.process import CountStep
from services.drift.watching import ChampionWatch, Watchlist
from shared.health import HealthServer
from shared.heartbeat import Heartbeat
from shared.kafka.capability import require_transactions
from shared.kafka.security import client_options
from shared.kafka.startup import require_topics, when_reachable
from shared.lifecycle import Background, alive_until, stop_on_signals
from shared.logs import get_logger
from shared.metrics import describe_process
from shared.pipeline.options import PipelineOptions
from shared.pipeline.pipeline import Pipeline
from shared.registry.opening import registry_or_bundles
from shared.serving.trouble import ModelTrouble
from shared.topics import TopicNames

log = get_logger(__name__)

MERGE_RECORDS = 200
"""Records of the merge topic per micro-batch: each may hold hundreds of slots."""


async def serve(settings: DriftSettings) -> None:
    """Run both stages until a signal asks them to stop.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    topics = TopicNames(settings.topic_prefix)
    client = client_options(settings)
    collectors = CollectorRegistry()
    describe_process(collectors, "drift")
    metrics = DriftMetrics(collectors)
    watchlist = Watchlist()
    counting = CountStep(watchlist, topics, metrics, idle=int(settings.idle_seconds * 1000))
    merging = MergeStep(
        topics,
        metrics,
        clock=lambda: int(time.time() * 1000),
        report_interval=int(settings.report_seconds * 1000),
    )
    first = Pipeline(counting, _count_options(settings, topics, client), metrics)
    second = Pipeline(merging, _merge_options(settings, topics, client), metrics.of_merging())
    counting.caught_up = first.caught_up_at

    def turn() -> None:
        first.turn()
        second.turn()

    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        registry = await stack.enter_async_context(
            registry_or_bundles(settings, settings.model_bundles, collectors)
        )
        # After the registry, so that its watcher has ended before the registry is closed under it.
        background = await stack.enter_async_context(Background(stop))
        champions = ChampionWatch(
            registry,
            watchlist,
            metrics,
            names=settings.models,
            learn=settings.learn_events,
            max_future=settings.max_future_seconds * 1000,
        )
        ModelTrouble(collectors, lambda: champions.loader.trouble)
        health = HealthServer(
            collectors,
            host=settings.http_host,
            port=settings.http_port,
            token=settings.http_token,
            last_turn=lambda: min(first.last_turn, second.last_turn),
        )
        health.add_check("models", champions.presence.missing)
        health.add_check("partitions", lambda: None if first.ready else "not every partition is open yet")
        health.add_check(
            "merging", lambda: None if second.ready else "not every partition of the merge topic is open yet"
        )
        await stack.enter_async_context(health)
        heartbeat = Heartbeat(
            "drift",
            client,
            topics.reports,
            collectors,
            every=settings.heartbeat_seconds,
            not_ready=health.failing,
            model_trouble=lambda: champions.loader.trouble,
        )
        await stack.enter_async_context(heartbeat)
        background.start("registry watch", champions.loader.watch())
        background.start("model loading", champions.loader.load())
        await when_reachable(client, stop, turn=turn)
        counting.partitions = await require_topics(
            client,
            same_partitions=(topics.events, topics.predictions, topics.state("drift")),
            others=(topics.drift_counts, topics.state("drift-merge"), topics.reports),
        )
        if settings.delivery == "exactly-once":
            await require_transactions(client, group=settings.group, topic=topics.events)
        log.info("delivery guarantee holds", delivery=settings.delivery, group=settings.group)
        if await alive_until(champions.presence.complete(), stop, turn=turn):
            await _run_both(first, second, stop)


async def _run_both(first: Pipeline[Any], second: Pipeline[Any], stop: asyncio.Event) -> None:
    """Run both stages; when one fails, the other is asked to finish too.

    The first one stops first, so that the second can still merge and report what it told last.
    """
    last = asyncio.Event()
    merging = asyncio.create_task(second.run(last))
    counting = asyncio.create_task(first.run(stop))
    try:
        await asyncio.wait([merging, counting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        await asyncio.wait([counting])
        last.set()
        await asyncio.wait([merging])
    counting.result()
    merging.result()


def _count_options(settings: DriftSettings, topics: TopicNames, client: dict[str, object]) -> PipelineOptions:
    return PipelineOptions(
        service="drift",
        topics=(topics.events, topics.predictions),
        group=settings.group,
        delivery=settings.delivery,
        client=client,
        outputs=(topics.drift_counts,),
        state_topic=topics.state("drift"),
        max_records=settings.max_batch_events,
        commit_interval=settings.commit_seconds,
        session_timeout=settings.session_seconds,
        heartbeat_interval=settings.session_seconds / 10,
        rebalance_timeout=settings.session_seconds * 2 / 3,
    )


def _merge_options(settings: DriftSettings, topics: TopicNames, client: dict[str, object]) -> PipelineOptions:
    return PipelineOptions(
        service="drift-merge",
        topics=(topics.drift_counts,),
        group=settings.merge_group,
        delivery=settings.delivery,
        client=client,
        outputs=(topics.reports,),
        state_topic=topics.state("drift-merge"),
        max_records=MERGE_RECORDS,
        commit_interval=settings.commit_seconds,
        session_timeout=settings.session_seconds,
        heartbeat_interval=settings.session_seconds / 10,
        rebalance_timeout=settings.session_seconds * 2 / 3,
    )
