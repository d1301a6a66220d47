"""What a service makes sure of before it reads its first record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from shared.errors import ConfigError, TransientError
from shared.kafka.capability import require_transactions
from shared.kafka.described import described, topic_configs
from shared.kafka.security import check_connection
from shared.logs import get_logger

log = get_logger(__name__)

_LONGEST_BACKOFF = 10.0


async def when_reachable(client: dict[str, Any], stop: asyncio.Event, *, turn: Callable[[], None]) -> None:
    """Return once a broker answers, or once ``stop`` is set; says at growing intervals that it waits.

    Parameters
    ----------
    turn
        Called while waiting, so that the process counts as alive: a restart would not help.

    Raises
    ------
    ConfigError
        A broker answers, but not with these settings.
    """
    await _until_it_passes(lambda: check_connection(client), stop, turn=turn, what="no broker answers yet")


async def when_transactional(
    client: dict[str, Any], stop: asyncio.Event, *, turn: Callable[[], None], group: str, topic: str
) -> None:
    """Return once the broker has carried out a transaction, or once ``stop`` is set.

    A broker that has just started, or has too much to do, may be too slow at first.

    Raises
    ------
    ConfigError
        The broker answers, but not with transactions.
    """
    await _until_it_passes(
        lambda: require_transactions(client, group=group, topic=topic),
        stop,
        turn=turn,
        what="the broker carries out no transaction yet",
    )


async def _until_it_passes(
    check: Callable[[], Awaitable[None]], stop: asyncio.Event, *, turn: Callable[[], None], what: str
) -> None:
    backoff = 0.25
    while not stop.is_set():
        turn()
        try:
            await check()
        except TransientError as error:
            log.warning(what, error=str(error))
            await _pause(stop, backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
        else:
            return


async def when_topic_exists(client: dict[str, Any], topic: str, stop: asyncio.Event) -> None:
    """Return once a topic of another service exists, or once ``stop`` is set; says that it waits."""
    told = False
    while not stop.is_set():
        admin = AIOKafkaAdminClient(**client)
        try:
            await admin.start()
            found = (await described(admin, [topic]))[topic]
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("a topic cannot be asked for yet", topic=topic, error=repr(error))
        else:
            if isinstance(found, int):
                return
            if not told:
                log.warning("a topic is waited for", topic=topic, why=_why_not(topic, found))
                told = True
        finally:
            await admin.close()
        await _pause(stop, _LONGEST_BACKOFF)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def require_topics(
    client: dict[str, Any],
    *,
    same_partitions: Sequence[str],
    others: Sequence[str],
    compacted: Collection[str] = (),
) -> dict[str, int]:
    """Return how many partitions each topic has, once all exist and those that keep an event's agree.

    Parameters
    ----------
    compacted
        Those among them that hold state: none may lose a record by its age.

    Raises
    ------
    ConfigError
        Every topic that is missing or differs, at once.
    """
    names = (*same_partitions, *others)
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        found = await described(admin, names)
        counts = {name: count for name, count in found.items() if isinstance(count, int)}
        configs = {name: await topic_configs(admin, name) for name in names if name in compacted}
    finally:
        await admin.close()
    problems = [_why_not(name, error) for name, error in found.items() if not isinstance(error, int)]
    first, *rest = same_partitions
    problems += [
        f"topic {name} has {counts[name]} partitions and {first} has {counts[first]}; they must be equal, "
        "because its records keep the partition of their event"
        for name in rest
        if name in counts and first in counts and counts[name] != counts[first]
    ]
    problems += [_forgetting(name) for name, config in configs.items() if _forgets(config)]
    if problems:
        raise ConfigError(problems)
    return counts


def _why_not(topic: str, error: KafkaError) -> str:
    """Return what keeps a topic from being read, and what to do about it."""
    match error:
        case UnknownTopicOrPartitionError():
            return f"topic {topic} does not exist; create it with: driftline topics create"
        case TopicAuthorizationFailedError():
            return f"topic {topic} may not be seen by this user; grant DESCRIBE on it, and READ or WRITE"
        case InvalidTopicError():
            return f"topic {topic} cannot exist: the broker refuses the name; is topic_prefix right?"
        case _:
            return f"topic {topic} cannot be asked for: {type(error).__name__} ({error.description})"


def _forgets(config: Mapping[str, str]) -> bool:
    """Return whether records go by age or size: the state of a partition that is quiet would go.

    Examples
    --------
    >>> _forgets({"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"})
    True
    >>> _forgets({"cleanup.policy": "compact"}), _forgets({})
    (False, False)
    """
    limits = (config.get("retention.ms", "-1"), config.get("retention.bytes", "-1"))
    return "delete" in config.get("cleanup.policy", "") and limits != ("-1", "-1")


def _forgetting(topic: str) -> str:
    return (
        f"topic {topic} holds state, and its cleanup.policy deletes it by age: a quiet partition would "
        "begin anew; make it keep the newest record of each key: kafka-configs --alter --entity-type topics "
        f"--entity-name {topic} --add-config cleanup.policy=compact"
    )
