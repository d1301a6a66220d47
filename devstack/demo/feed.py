"""``python -m devstack.demo.feed``: the flights of 2013, with labels, into a Driftline that runs already.

Registers the flight model and makes it champion where the registry has none, then replays flights until it
is stopped or the year is over. What it talks to is set as for every service (``DRIFTLINE_...``).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import ClassVar

import uvloop
from aiokafka import AIOKafkaProducer
from pydantic import Field

from devstack.demo.aftermath import Aftermath
from devstack.demo.champion import publish
from devstack.demo.contract import MODEL
from devstack.demo.events import flight_events
from devstack.demo.faults import EVERY, with_faults
from devstack.demo.flights import load_flights
from devstack.demo.model import prepare_model
from devstack.demo.options import DEFAULT_RATE
from devstack.demo.replay import Replay
from shared.errors import ServiceError
from shared.kafka.security import client_options
from shared.kafka.startup import when_reachable
from shared.lifecycle import stop_on_signals
from shared.logs import get_logger
from shared.registry import RedisRegistry
from shared.settings import ServiceSettings, load_settings
from shared.topics import TopicNames

log = get_logger(__name__)


class FeedSettings(ServiceSettings):
    """Replay the flights of 2013 into a running Driftline."""

    service: ClassVar[str] = "feed"
    strict_environment: ClassVar[bool] = False

    rate: float = Field(default=DEFAULT_RATE, gt=0, description="Events per second")


async def feed(settings: FeedSettings) -> None:
    """Publish the model, then replay until a signal or the year's end."""
    topics, client = TopicNames(settings.topic_prefix), client_options(settings)
    frame = await asyncio.to_thread(load_flights)
    model = await asyncio.to_thread(prepare_model, frame)
    with stop_on_signals() as stop:
        async with RedisRegistry(
            settings.redis_url.get_secret_value(),
            settings.bundle_store,
            settings.cache_dir,
            settings.redis_prefix,
        ) as registry:
            if (await registry.pointers(MODEL)).champion is None:
                await publish(registry, model)
        await when_reachable(client, stop, turn=lambda: None)
        async with AIOKafkaProducer(**client, linger_ms=5) as producer:
            replay = Replay(
                producer,
                topics.events,
                with_faults(flight_events(frame, MODEL), EVERY),
                rate=settings.rate,
                note=lambda record, at: None,
                clock=time.monotonic,
                after=Aftermath(topics.labels, topics.outcomes).after,
            )
            log.info("replaying", rate=settings.rate, model=MODEL, model_version=model.version)
            await replay.run(stop)
            log.info("over", events=replay.sent)


def main() -> int:
    """Return 0 when the year is over or a signal came."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    try:
        uvloop.run(feed(load_settings(FeedSettings, [])))
    except ServiceError as error:
        print(f"feed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
