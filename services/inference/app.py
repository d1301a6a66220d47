"""Wiring of the inference service, and nothing else."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from services.inference.champions import Champions
from services.inference.config import InferenceSettings
from services.inference.metrics import InferenceMetrics
from services.inference.process import InferenceStep
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
from shared.serving.models import ServedModels
from shared.serving.trouble import ModelTrouble
from shared.topics import TopicNames

log = get_logger(__name__)


async def serve(settings: InferenceSettings) -> None:
    """Run the service until a signal asks it to stop.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    topics = TopicNames(settings.topic_prefix)
    client = client_options(settings)
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
    pipeline = Pipeline(step, _pipeline_options(settings, topics, client), metrics)
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
        health = HealthServer(
            collectors,
            host=settings.http_host,
            port=settings.http_port,
            token=settings.http_token,
            last_turn=lambda: pipeline.last_turn,
        )
        health.add_check("models", champions.presence.missing)
        health.add_check("partitions", lambda: None if pipeline.ready else "not every partition is open yet")
        await stack.enter_async_context(health)
        heartbeat = Heartbeat(
            "inference",
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
        await when_reachable(client, stop, turn=pipeline.turn)
        await require_topics(
            client,
            same_partitions=(topics.events, topics.predictions, topics.state("inference")),
            others=(topics.dead_letters, topics.reports),
        )
        if settings.delivery == "exactly-once":
            await require_transactions(client, group=settings.group, topic=topics.events)
        log.info("delivery guarantee holds", delivery=settings.delivery, group=settings.group)
        if await alive_until(champions.presence.complete(), stop, turn=pipeline.turn):
            await pipeline.run(stop)


def _pipeline_options(
    settings: InferenceSettings, topics: TopicNames, client: dict[str, object]
) -> PipelineOptions:
    return PipelineOptions(
        service="inference",
        topics=(topics.events,),
        group=settings.group,
        delivery=settings.delivery,
        client=client,
        outputs=(topics.predictions, topics.dead_letters, topics.reports),
        state_topic=topics.state("inference"),
        max_records=settings.max_batch_events,
        session_timeout=settings.session_seconds,
        heartbeat_interval=settings.session_seconds / 10,
        rebalance_timeout=settings.session_seconds * 2 / 3,
    )
