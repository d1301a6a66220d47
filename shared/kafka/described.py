"""Topics asked for by name without making them.

aiokafka's ``describe_topics`` with names lets a broker whose ``auto.create.topics.enable`` is on, as it is by
default, make what it was asked about: with the broker's settings, which are not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest


async def described(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int | KafkaError]:
    """Return by topic the number of its partitions, or why the broker does not tell.

    Raises
    ------
    aiokafka.errors.KafkaError
        No broker answers.
    """
    answer = await admin._send_request(MetadataRequest(list(topics), allow_auto_topic_creation=False))
    found: dict[str, int | KafkaError] = dict.fromkeys(topics, UnknownTopicOrPartitionError())
    for topic in answer.to_object()["topics"]:
        code = topic["error_code"]
        found[topic["topic"]] = for_code(code)() if code else len(topic["partitions"])
    return found


async def topic_configs(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Return a topic's settings; empty where the broker does not tell, or not this user."""
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except KafkaError:
        return {}  # the embedded broker has no such request
    items: list[Any] = [item for response in responses for item in response.resources]
    return {entry[0]: entry[1] for item in items for entry in item[4] or ()}
