"""The topics of the demo."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

EVENTS = "events"
PREDICTIONS = "predictions"
DEAD_LETTERS = "dead-letters"
TOPICS = (EVENTS, PREDICTIONS, DEAD_LETTERS, "reports")

PARTITIONS = 4


async def create_topics(settings: dict[str, Any]) -> None:
    """Create every topic of the demo on a fresh broker.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker refused one.
    """
    admin = AIOKafkaAdminClient(**settings)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in TOPICS])
    finally:
        await admin.close()
    for name, code, *_ in answer.topic_errors:
        if code:
            raise for_code(code)(f"the broker did not create the topic {name}")
