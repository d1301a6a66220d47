"""What a service makes sure of at its start, on a broker as it comes: one that makes topics by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.apache_kafka import ApacheKafka
from shared.errors import ConfigError
from shared.kafka.startup import require_topics, when_topic_exists
from shared.kafka.topics import create_topics, existing_topics
from shared.topics import TopicNames, compacted_topics
from tests import streams

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def client() -> Iterator[dict[str, Any]]:
    """Client options of a broker that makes topics by itself, as Apache Kafka does by default."""
    with ApacheKafka(settings={"auto.create.topics.enable": "true"}) as server:
        yield {"bootstrap_servers": server.bootstrap_servers} | server.client_settings()


async def required(client: dict[str, Any], names: TopicNames) -> dict[str, int]:
    return await require_topics(
        client,
        same_partitions=(names.events, names.state("inference")),
        others=(names.reports,),
        compacted=compacted_topics(names),
    )


async def test_asking_for_topics_makes_none(client: dict[str, Any], topic_prefix: str) -> None:
    names = TopicNames(topic_prefix)
    with pytest.raises(ConfigError) as caught:
        await required(client, names)
    assert caught.value.problems == [
        f"topic {name} does not exist; create it with: driftline topics create"
        for name in (names.events, names.state("inference"), names.reports)
    ]
    stop = asyncio.Event()
    waiting = asyncio.create_task(when_topic_exists(client, names.labelled, stop))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    stop.set()
    await waiting
    assert set((await existing_topics(client, names)).values()) == {None}
    await create_topics(client, names, partitions=2)
    assert await required(client, names) == {
        names.events: 2,
        names.state("inference"): 2,
        names.reports: 2,
    }


async def test_state_that_would_go_by_age_is_refused(client: dict[str, Any], topic_prefix: str) -> None:
    names = TopicNames(topic_prefix)
    state = names.state("inference")
    await streams.create_topics(client, {names.events: 1, names.reports: 1})
    await streams.create_topics(client, {state: 1}, **{"retention.ms": "604800000"})

    async def shown() -> bool:
        counts = await existing_topics(client, names)
        return all(counts[name] for name in (names.events, names.reports, state))

    await streams.until(shown, what="the broker shows the topics")
    with pytest.raises(ConfigError, match=rf"topic {state} holds state.*cleanup.policy=compact") as caught:
        await required(client, names)
    assert len(caught.value.problems) == 1
