"""The options every command that talks to Kafka shares, and the clients made of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, TypeVar

import click
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.errors import ServiceError, TransientError
from shared.kafka.reader import reader
from shared.kafka.security import check_connection, client_options
from shared.settings import ServiceSettings, load_settings
from shared.topics import TopicNames

T = TypeVar("T")

_OPTIONS = (
    ("--bootstrap-servers", "kafka_bootstrap_servers", "HOST:PORT,...", "Brokers to ask first."),
    ("--security-protocol", "kafka_security_protocol", "NAME", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."),
    ("--topic-prefix", "topic_prefix", "TEXT", "Before every topic name."),
)
_REGISTRY_OPTIONS = (
    ("--redis-url", "redis_url", "URL", "Redis with the registry's pointers."),
    ("--bundle-store", "bundle_store", "PLACE", "Directory or fsspec URL of the bundles."),
)
_EVERY_SETTING = "Every other setting: DRIFTLINE_... variables, or the TOML file in DRIFTLINE_CONFIG."


class CliSettings(ServiceSettings):
    """Settings of a command at a terminal: those of no service in particular."""

    strict_environment: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Connection:
    """What a command needs to talk to Kafka; nothing connects before it is asked to."""

    settings: CliSettings

    @property
    def client(self) -> dict[str, Any]:
        """Keyword arguments common to every aiokafka client."""
        return client_options(self.settings)

    @property
    def topics(self) -> TopicNames:
        """Names of the topics, prefixed."""
        return TopicNames(self.settings.topic_prefix)

    def group(self, name: str) -> str:
        """Return the consumer group, and prefix of transactional ids, of one purpose."""
        return f"{self.settings.group_prefix}.{name}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; what the broker says becomes a sentence for a person.

        Raises
        ------
        ConfigError
            The broker answers, but not with these settings.
        TransientError
            The broker cannot be reached or did not answer.
        ServiceError
            The broker refused.
        """
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # said once, by us
        servers = self.settings.kafka_bootstrap_servers
        try:
            return asyncio.run(work)
        except (KafkaConnectionError, TimeoutError, OSError) as error:
            asyncio.run(check_connection(self.client))  # says which setting is at fault, if one is
            reason = error or type(error).__name__
            raise TransientError(f"the broker at {servers} was away or too slow: {reason}") from error
        except KafkaError as error:
            raise ServiceError(f"the broker at {servers} refused: {error!r}") from error

    def reader(self, *topics: str, **options: Any) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        """Open a consumer without a group that sees committed records only."""
        return reader(self.client, *topics, **options)

    async def partitions(self, consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
        """Return a topic's partitions.

        Raises
        ------
        ServiceError
            There is no such topic, or nobody may see it.
        """
        known = await partitions_by_topic(consumer)
        if topic not in known:
            raise ServiceError(
                f"there is no topic {topic}: `driftline topics create` makes it (is --topic-prefix right?)"
            )
        return [TopicPartition(topic, number) for number in sorted(known[topic])]


async def partitions_by_topic(consumer: AIOKafkaConsumer) -> dict[str, set[int]]:
    """Return the partitions of every topic we may see, as the brokers tell it now.

    Asks about all topics at once, because to ask about one by name can create it.
    """
    cluster = await consumer._client.fetch_all_metadata()
    return {topic: set(cluster.partitions_for_topic(topic)) for topic in cluster.topics()}


def connection_options(command: Callable[..., T], *, registry: bool = False) -> Callable[..., T]:
    """Add the options; the command gets them as one ``connection``."""
    options = (*_OPTIONS, *_REGISTRY_OPTIONS) if registry else _OPTIONS

    @wraps(command)
    def wrapped(*args: Any, **given: Any) -> T:
        overrides = {key: given.pop(key) for _, key, _, _ in options}
        return command(*args, connection=Connection(load_settings(CliSettings, overrides=overrides)), **given)

    for flag, key, metavar, text in reversed(options):
        note = f"{text} (DRIFTLINE_{key.upper()})"
        wrapped = click.option(flag, key, metavar=metavar, help=note)(wrapped)
    return wrapped
