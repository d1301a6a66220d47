"""Wiring of the shadow service, and nothing else."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from services.shadow.candidates import Candidates
from services.shadow.config import ShadowSettings
from services.shadow.labels import LabelStep
from services.shadow.labels import Work as LabelWork
from services.shadow.loading import Lineups
from services.shadow.metrics import ShadowMetrics
from services.shadow.process import ShadowOptions, ShadowStep
from services.shadow.progress import ChampionProgress
from shared.frame import guaranteed, opened, pipeline_options, watched
from shared.kafka.security import client_options
from shared.kafka.startup import when_topic_exists
from shared.lifecycle import Background, alive_until, stop_on_signals
from shared.metrics import describe_process
from shared.pipeline.companion import Companion
from shared.pipeline.pipeline import Pipeline
from shared.promotion.following import ReportsTopic
from shared.promotion.judge import Judge
from shared.promotion.serving import SERVICE
from shared.registry import RedisRegistry
from shared.registry.opening import redis_registry
from shared.serving.trouble import ModelTrouble
from shared.topics import TopicNames


async def serve(settings: ShadowSettings) -> None:
    """Run the service until a signal asks it to stop.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    topics = TopicNames(settings.topic_prefix)
    client = client_options(settings)
    collectors = CollectorRegistry()
    describe_process(collectors, "shadow")
    metrics = ShadowMetrics(collectors)
    candidates = Candidates()
    step = ShadowStep(candidates, topics, metrics, clock=_now, options=_step_options(settings))
    options = pipeline_options(
        settings,
        "shadow",
        topics=(topics.events,),
        outputs=(topics.shadow_predictions, topics.dead_letters, topics.reports),
        commit_interval=settings.commit_seconds,
    )
    pipeline = Pipeline(step, options, metrics, wants=step.wants)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals(settings.drain_seconds))
        registry = await stack.enter_async_context(redis_registry(settings, collectors))
        lineups = _lineups(settings, registry, candidates, metrics)
        stack.callback(lineups.close)
        reports = ReportsTopic(client, topics.reports, kinds=("shadow", "decision", f"service/{SERVICE}"))
        stack.push_async_callback(reports.close)
        # After the registry, so that its watcher has ended before the registry is closed under it.
        background = await stack.enter_async_context(Background(stop))
        labels = _labels(settings, topics, lineups, metrics)
        ModelTrouble(collectors, lambda: lineups.loader.trouble)
        await stack.enter_async_context(
            watched(
                settings,
                collectors,
                last_turn=lambda: pipeline.last_turn,
                checks={
                    "models": lineups.missing,
                    "partitions": opened(pipeline),
                    "labels": opened(labels, "no partition of the labelled events is open yet"),
                },
                trouble=lambda: {
                    f"{model} {version}": text for (model, version), text in candidates.troubles().items()
                },
            )
        )
        background.start("registry watch", lineups.loader.watch())
        background.start("model loading", lineups.loader.load())
        if settings.judge_seconds > 0:
            judge = Judge(registry, reports, models=settings.models, interval=settings.judge_seconds)
            background.start("judge", judge.run())
        states = (topics.state("shadow"), topics.state("shadow-labels"))
        await guaranteed(
            settings,
            stop,
            turn=pipeline.turn,
            same_partitions=(topics.events, topics.predictions, topics.shadow_predictions, *states),
            others=(topics.dead_letters, topics.reports),
        )
        if await alive_until(lineups.loader.settled.wait(), stop, turn=pipeline.turn):
            background.start("predictions", Companion(client, topics.predictions, step).run())
            progress = ChampionProgress(
                client, f"{settings.group_prefix}.inference", topics.events, topics.predictions, step
            )
            background.start("champion's progress", progress.run())
            judging = _run_labels(labels, client, topics.labelled, stop)
            labelling = background.start("labels", judging, lasting=False)
            await pipeline.run(stop)
            await asyncio.wait([labelling])


async def _run_labels(
    pipeline: Pipeline[LabelWork], client: dict[str, object], topic: str, stop: asyncio.Event
) -> None:
    """Run the second pipeline once its topic is there."""
    await when_topic_exists(client, topic, stop)
    await pipeline.run(stop)


def _now() -> int:
    return int(time.time() * 1000)


def _step_options(settings: ShadowSettings) -> ShadowOptions:
    return ShadowOptions(
        sample_percent=settings.sample_percent,
        join_window=settings.join_window_events,
        report_interval=int(settings.report_seconds * 1000),
        max_future=settings.max_future_seconds * 1000,
    )


def _lineups(
    settings: ShadowSettings, registry: RedisRegistry, candidates: Candidates, metrics: ShadowMetrics
) -> Lineups:
    return Lineups(
        registry,
        candidates,
        metrics,
        names=settings.models,
        max_event_bytes=settings.max_event_bytes,
        threads=settings.threads,
        time_limit=settings.candidate_seconds,
    )


def _labels(
    settings: ShadowSettings, topics: TopicNames, lineups: Lineups, metrics: ShadowMetrics
) -> Pipeline[LabelWork]:
    step = LabelStep(
        lambda: lineups.specs,
        topics,
        metrics,
        clock=_now,
        report_interval=int(settings.report_seconds * 1000),
        passed_over=metrics.labels_passed_over,
    )
    options = pipeline_options(
        settings,
        "shadow-labels",
        topics=(topics.labelled,),
        outputs=(topics.dead_letters, topics.reports),
        commit_interval=settings.commit_seconds,
    )
    wants = lineups.contracts_known
    return Pipeline(step, options, metrics.beside(), wants=lambda topic, partition: wants())
