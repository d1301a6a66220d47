"""What a service makes sure of before it reads its first record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.errors import ConfigError, TransientError
from shared.kafka.capability import require_transactions
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
            (described,) = await admin.describe_topics([topic])
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("a topic cannot be asked for yet", topic=topic, error=repr(error))
        else:
            if not described["error_code"]:
                return
            if not told:
                log.warning(
                    "a topic does not exist yet; create it with: driftline topics create", topic=topic
                )
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
    client: dict[str, Any], *, same_partitions: Sequence[str], others: Sequence[str]
) -> dict[str, int]:
    """Return how many partitions each topic has, once all exist and those that keep an event's agree.

    Raises
    ------
    ConfigError
        Every topic that is missing or differs, at once.
    """
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        described = await admin.describe_topics([*same_partitions, *others])
    finally:
        await admin.close()
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
    problems = [
        f"topic {name} does not exist; create it with: driftline topics create"
        for name in (*same_partitions, *others)
        if name not in counts
    ]
    first, *rest = same_partitions
    problems += [
        f"topic {name} has {counts[name]} partitions and {first} has {counts[first]}; they must be equal, "
        "because its records keep the partition of their event"
        for name in rest
        if name in counts and first in counts and counts[name] != counts[first]
    ]
    if problems:
        raise ConfigError(problems)
    return counts
