"""Whether a broker can give what is asked of it, found out by trying, before any event is read."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from shared.errors import ConfigError, TransientError

_DEADLINE = 20.0
REFUSALS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What a broker says to a user who may not do what it was asked for."""


async def require_transactions(client: dict[str, Any], *, group: str, topic: str) -> None:
    """Return if the broker really carries out transactions that include consumer offsets.

    Does not trust the list of API keys, since a broker may advertise what it only half implements:
    opens a transaction under an id of its own, puts an offset into it and aborts it.

    Parameters
    ----------
    client
        Keyword arguments common to every aiokafka client.
    group
        The service's consumer group; the probe uses ``{group}.probe``.
    topic
        An existing input topic.

    Raises
    ------
    ConfigError
        The broker answers, but not with transactions, or it does not allow them.
    TransientError
        The broker cannot be reached, or is too slow to say.
    """
    try:
        producer = AIOKafkaProducer(
            **client, transactional_id=f"{group}.probe.{uuid.uuid4().hex}", transaction_timeout_ms=10_000
        )
        try:
            async with asyncio.timeout(_DEADLINE):
                await producer.start()
                await producer.begin_transaction()
                offsets = {TopicPartition(topic, 0): 0}
                await producer.send_offsets_to_transaction(offsets, f"{group}.probe")
                await producer.abort_transaction()
        finally:
            async with asyncio.timeout(5):
                await producer.stop()
    except (KafkaConnectionError, AssertionError) as error:  # AssertionError: a broker just back lists none
        raise TransientError(f"the broker cannot be reached: {error}") from error
    except TimeoutError as error:
        raise TransientError(
            f"the broker did not carry out a transaction within {_DEADLINE:.0f} s"
        ) from error
    except REFUSALS as error:
        raise ConfigError(
            [
                "delivery is exactly-once, but the broker does not allow its user that "
                f"({type(error).__name__}: {error}): it needs Describe and Read on the groups, and "
                f"Describe and Write on the transactional ids, that begin with {group}"
            ]
        ) from error
    except KafkaError as error:
        raise ConfigError(
            [
                "delivery is exactly-once, but this broker does not carry out transactions "
                f"({type(error).__name__}: {error}); use Apache Kafka, or set delivery to at-least-once"
            ]
        ) from error
