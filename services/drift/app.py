"""Wiring of the drift service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import river.drift  # noqa: F401 - takes seconds, during which the first event would stop everything
from prometheus_client import CollectorRegistry

from services.drift.config import DriftSettings
from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from services.drift.process import CountStep
from services.drift.watching import ChampionWatch, Watchlist
from shared.frame import guaranteed, opened, pipeline_options, watched
from shared.lifecycle import Background, alive_until, stop_on_signals
from shared.metrics import describe_process
from shared.pipeline.options import PipelineOptions
from shared.pipeline.pipeline import Pipeline
from shared.registry.opening import registry_or_bundles
from shared.serving.trouble import ModelTrouble
from shared.topics import TopicNames

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
    collectors = CollectorRegistry()
    describe_process(collectors, "drift")
    metrics = DriftMetrics(collectors)
    watchlist = Watchlist()
    counting = CountStep(
        watchlist, topics, metrics, idle=int(settings.idle_seconds * 1000), clock=_milliseconds
    )
    merging = MergeStep(
        topics,
        metrics,
        clock=_milliseconds,
        report_interval=int(settings.report_seconds * 1000),
    )
    first = Pipeline(counting, _count_options(settings, topics), metrics)
    second = Pipeline(merging, _merge_options(settings, topics), metrics.of_merging())
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
        await stack.enter_async_context(
            watched(
                settings,
                collectors,
                last_turn=lambda: min(first.last_turn, second.last_turn),
                checks={
                    "models": champions.missing,
                    "partitions": opened(first),
                    "merging": opened(second, "not every partition of the merge topic is open yet"),
                },
                trouble=lambda: champions.loader.trouble,
            )
        )
        background.start("registry watch", champions.loader.watch())
        background.start("model loading", champions.loader.load())
        counting.partitions = await guaranteed(
            settings,
            stop,
            turn=turn,
            same_partitions=(topics.events, topics.predictions, topics.state("drift")),
            others=(topics.drift_counts, topics.state("drift-merge"), topics.reports),
        )
        if await alive_until(champions.complete(), stop, turn=turn):
            await _run_both(first, second, stop)


def _milliseconds() -> int:
    return int(time.time() * 1000)


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


def _count_options(settings: DriftSettings, topics: TopicNames) -> PipelineOptions:
    return pipeline_options(
        settings,
        "drift",
        topics=(topics.events, topics.predictions),
        outputs=(topics.drift_counts,),
        commit_interval=settings.commit_seconds,
    )


def _merge_options(settings: DriftSettings, topics: TopicNames) -> PipelineOptions:
    return pipeline_options(
        settings,
        "drift-merge",
        topics=(topics.drift_counts,),
        outputs=(topics.reports,),
        max_records=MERGE_RECORDS,
        commit_interval=settings.commit_seconds,
    )
