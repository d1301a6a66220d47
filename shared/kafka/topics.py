"""Creating the topics, and saying in what existing ones are not what was asked for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.errors import ServiceError, TransientError
from shared.kafka.described import topic_configs
from shared.kafka.security import check_connection
from shared.topics import MOST_REPLICAS, TopicNames, TopicSpec, topic_specs

_VISIBLE_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class TopicState:
    """What was found or done about one topic.

    Attributes
    ----------
    action
        ``created``, ``exists`` or ``differs``.
    partitions
        How many it has.
    differences
        A sentence per way in which an existing topic is not what was asked for.
    """

    name: str
    action: Literal["created", "exists", "differs"]
    partitions: int
    differences: tuple[str, ...] = ()


async def create_topics(
    client: dict[str, Any], names: TopicNames, *, partitions: int = 12, replication: int | None = None
) -> list[TopicState]:
    """Create the topics that are missing, and say what is there already.

    1. Look at what exists.
    2. If the events exist, the topics that go with them take their number of partitions.
    3. Refuse when an existing topic cannot go with the events; nothing is created then.
    4. Create what is missing.
    5. Wait until the broker shows every topic, and look again: somebody else may have created some.
    6. Compare what existed with what was asked for.

    Parameters
    ----------
    client
        Arguments of every aiokafka client: servers and security.
    partitions
        Number of partitions of the events.
    replication
        Copies of each record; by default three, or as many as there are brokers.

    Raises
    ------
    ServiceError
        An existing topic has another number of partitions than the events, or the broker refuses.
    TransientError
        The broker does not show what it has created.
    """
    async with _Admin(client) as admin:
        existing = await _partition_counts(admin)  # 1
        count = existing.get(names.events, partitions)  # 2
        specs = topic_specs(names, partitions=count)
        _refuse_mismatch(specs, existing, names)  # 3
        brokers = len((await admin.describe_cluster())["brokers"])
        copies = replication or min(MOST_REPLICAS, brokers)
        missing = [spec for spec in specs if spec.name not in existing]
        created = await _create(admin, missing, copies)  # 4
        existing = await _wait_for(admin, {spec.name for spec in specs})  # 5
        _refuse_mismatch(specs, existing, names)
        return [  # 6
            await _compare(admin, spec, existing[spec.name], partitions)
            if spec.name not in created
            else TopicState(spec.name, "created", existing[spec.name])
            for spec in specs
        ]


async def existing_topics(client: dict[str, Any], names: TopicNames) -> dict[str, int | None]:
    """Return the number of partitions of each of our topics, ``None`` where it does not exist."""
    async with _Admin(client) as admin:
        existing = await _partition_counts(admin)
    return {spec.name: existing.get(spec.name) for spec in topic_specs(names)}


class _Admin:
    """An admin client as a context manager, whose failure to connect names the setting at fault."""

    def __init__(self, client: dict[str, Any]) -> None:
        self._client = client

    async def __aenter__(self) -> Any:
        await check_connection(self._client)
        self._admin = AIOKafkaAdminClient(**self._client)
        await self._admin.start()
        return self._admin

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()


async def _partition_counts(admin: Any) -> dict[str, int]:
    topics = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["error_code"]}


def _refuse_mismatch(specs: list[TopicSpec], existing: dict[str, int], names: TopicNames) -> None:
    wrong = [
        f"{spec.name} has {existing[spec.name]} partitions"
        for spec in specs
        if spec.copartitioned and existing.get(spec.name, spec.partitions) != spec.partitions
    ]
    if wrong:
        verb = "has" if names.events in existing else "would have"
        raise ServiceError(
            f"{', '.join(wrong)}, but {names.events} {verb} {specs[0].partitions}: a prediction keeps the "
            "partition of its event, so these must be equal; ask for that number, delete the topic that is "
            "wrong, or choose another topic_prefix"
        )


async def _create(admin: Any, specs: list[TopicSpec], replication: int) -> set[str]:
    """Create topics; return the names of those that did not exist, as the broker says."""
    if not specs:
        return set()
    topics = [
        NewTopic(spec.name, spec.partitions, replication, topic_configs=spec.configs(replication))
        for spec in specs
    ]
    response = await admin.create_topics(topics, timeout_ms=15_000)
    created = set()
    for name, code, *detail in response.topic_errors:
        error = for_code(code)
        if not code:
            created.add(name)
        elif error is not TopicAlreadyExistsError:  # somebody else was quicker: compared like any other
            reason = detail[0] if detail and detail[0] else error.description
            raise ServiceError(f"the broker does not create the topic {name}: {reason}")
    return created


async def _wait_for(admin: Any, names: set[str]) -> dict[str, int]:
    """Return the partitions of every topic once the broker shows all: it learns of them a little later."""
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while not names <= (existing := await _partition_counts(admin)).keys():
        if time.monotonic() > deadline:
            absent = ", ".join(sorted(names - existing.keys()))
            raise TransientError(f"created, but after {_VISIBLE_SECONDS:g} s still not shown: {absent}")
        await asyncio.sleep(_POLL_SECONDS)
    return existing


async def _compare(admin: Any, spec: TopicSpec, has: int, partitions: int) -> TopicState:
    """Return in what an existing topic differs from its spec, and from the partitions asked for."""
    wanted = partitions if spec.copartitioned else spec.partitions
    found = [] if has == wanted else [f"it has {has} partitions, not {wanted}"]
    actual = await topic_configs(admin, spec.name)
    for key, value in spec.configs(1).items():
        if key in actual and actual[key] != value:
            found.append(f"{key} is {actual[key]}, not {value}")
    return TopicState(spec.name, "differs" if found else "exists", has, tuple(found))
