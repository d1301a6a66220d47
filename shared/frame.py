"""What is the same around the work of every service: how it is watched, and what it asks before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from shared.health import Check, HealthServer, Page
from shared.heartbeat import Heartbeat
from shared.kafka.security import client_options
from shared.kafka.startup import require_topics, when_reachable, when_transactional
from shared.logs import get_logger
from shared.pipeline.options import PipelineOptions
from shared.pipeline.pipeline import Pipeline
from shared.settings import PipelineSettings, ServiceSettings
from shared.topics import TopicNames, compacted_topics

log = get_logger(__name__)


@asynccontextmanager
async def watched(
    settings: ServiceSettings,
    collectors: CollectorRegistry,
    *,
    last_turn: Callable[[], float],
    checks: Mapping[str, Check],
    pages: Mapping[str, Page] | None = None,
    trouble: Callable[[], Mapping[str, str]] = dict,
    not_loaded: Callable[[], Mapping[str, Mapping[str, str]]] = dict,
) -> AsyncIterator[HealthServer]:
    """Serve health and metrics over HTTP, and say on the reports topic that this process lives.

    Parameters
    ----------
    collectors
        What ``/metrics`` shows, and what the reports' figures are read from.
    last_turn
        Returns when the main loop last came round, by ``time.monotonic``.
    checks
        What readiness depends on, by name.
    pages
        What else is served, by path.
    trouble
        Returns why a model is not at the version the registry wants, by model.
    not_loaded
        Returns why a version cannot be loaded, by model and version.
    """
    health = HealthServer(
        collectors,
        host=settings.http_host,
        port=settings.http_port,
        token=settings.http_token,
        last_turn=last_turn,
    )
    for name, check in checks.items():
        health.add_check(name, check)
    for path, page in (pages or {}).items():
        health.add_page(path, page)
    heartbeat = Heartbeat(
        settings.service,
        client_options(settings),
        TopicNames(settings.topic_prefix).reports,
        collectors,
        every=settings.heartbeat_seconds,
        not_ready=health.failing,
        model_trouble=trouble,
        not_loaded=not_loaded,
    )
    async with health, heartbeat:
        yield health


async def guaranteed(
    settings: PipelineSettings,
    stop: asyncio.Event,
    *,
    turn: Callable[[], None],
    same_partitions: Sequence[str],
    others: Sequence[str],
) -> dict[str, int]:
    """Return how many partitions each topic has, once the delivery that was asked for can be had.

    Empty where ``stop`` was set before the broker had shown what it can do.

    Parameters
    ----------
    turn
        Called while waiting for a broker, so that the process counts as alive.
    same_partitions
        Topics whose records keep the partition of an event; the first is an input.
    others
        What else must exist.

    Raises
    ------
    ConfigError
        A topic is missing or of the wrong shape, or the broker cannot give the guarantee.
    """
    client = client_options(settings)
    await when_reachable(client, stop, turn=turn)
    if stop.is_set():
        return {}
    compacted = compacted_topics(TopicNames(settings.topic_prefix))
    counts = await require_topics(client, same_partitions=same_partitions, others=others, compacted=compacted)
    if settings.delivery == "exactly-once":
        await when_transactional(client, stop, turn=turn, group=settings.group, topic=same_partitions[0])
        if stop.is_set():
            return {}
    log.info("delivery guarantee holds", delivery=settings.delivery, group=settings.group)
    return counts


def pipeline_options(
    settings: PipelineSettings,
    name: str,
    *,
    topics: tuple[str, ...],
    outputs: tuple[str, ...],
    **more: Any,
) -> PipelineOptions:
    """Return the options of the pipeline ``name`` of a service, which has a group and a state of its own.

    Parameters
    ----------
    more
        Other options of :class:`PipelineOptions`, instead of the settings' and the defaults.
    """
    said: dict[str, Any] = {
        "max_records": settings.max_batch_events,
        "session_timeout": settings.session_seconds,
        "heartbeat_interval": settings.session_seconds / 10,
        "rebalance_timeout": settings.session_seconds * 2 / 3,
    }
    return PipelineOptions(
        service=name,
        topics=topics,
        group=f"{settings.group_prefix}.{name}",
        delivery=settings.delivery,
        client=client_options(settings),
        outputs=outputs,
        state_topic=TopicNames(settings.topic_prefix).state(name),
        **(said | more),
    )


def opened(pipeline: Pipeline[Any], what: str = "not every partition is open yet") -> Check:
    """Return the check that a pipeline has opened its partitions."""
    return lambda: None if pipeline.ready else what
