"""Wiring of the inference service, and nothing else."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from services.inference.champions import Champions
from services.inference.config import InferenceSettings
from services.inference.metrics import InferenceMetrics
from services.inference.process import InferenceStep
from shared.frame import guaranteed, opened, pipeline_options, watched
from shared.lifecycle import Background, alive_until, stop_on_signals
from shared.metrics import describe_process
from shared.pipeline.pipeline import Pipeline
from shared.registry.opening import registry_or_bundles
from shared.serving.models import ServedModels
from shared.serving.trouble import ModelTrouble
from shared.topics import TopicNames


async def serve(settings: InferenceSettings) -> None:
    """Run the service until a signal asks it to stop.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    topics = TopicNames(settings.topic_prefix)
    collectors = CollectorRegistry()
    describe_process(collectors, "inference")
    metrics = InferenceMetrics(collectors)
    served = ServedModels()
    step = InferenceStep(
        served,
        topics,
        metrics,
        clock=lambda: int(time.time() * 1000),
        report_interval=int(settings.report_seconds * 1000),
        max_future=settings.max_future_seconds * 1000,
    )
    options = pipeline_options(
        settings,
        "inference",
        topics=(topics.events,),
        outputs=(topics.predictions, topics.dead_letters, topics.reports),
    )
    pipeline = Pipeline(step, options, metrics)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        registry = await stack.enter_async_context(
            registry_or_bundles(settings, settings.model_bundles, collectors)
        )
        # After the registry, so that its watcher has ended before the registry is closed under it.
        background = await stack.enter_async_context(Background(stop))
        champions = Champions(
            registry,
            served,
            metrics,
            names=settings.models,
            max_event_bytes=settings.max_event_bytes,
            threads=settings.threads,
        )
        ModelTrouble(collectors, lambda: champions.loader.trouble)
        await stack.enter_async_context(
            watched(
                settings,
                collectors,
                last_turn=lambda: pipeline.last_turn,
                checks={"models": champions.missing, "partitions": opened(pipeline)},
                trouble=lambda: champions.loader.trouble,
                not_loaded=lambda: champions.loader.not_loaded,
            )
        )
        background.start("registry watch", champions.loader.watch())
        background.start("model loading", champions.loader.load())
        await guaranteed(
            settings,
            stop,
            turn=pipeline.turn,
            same_partitions=(topics.events, topics.predictions, topics.state("inference")),
            others=(topics.dead_letters, topics.reports),
        )
        if await alive_until(champions.complete(), stop, turn=pipeline.turn):
            await pipeline.run(stop)
