"""A broker that is too slow at first is waited for; one without transactions is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.metadata import MetadataRequest_v5

from shared.errors import ConfigError, TransientError
from shared.kafka import capability, startup


class Producer:
    """A broker's answer to being asked for a transaction."""

    def __init__(self, **_: Any) -> None:
        pass

    async def start(self) -> None:
        await asyncio.sleep(60)

    async def stop(self) -> None:
        pass


async def test_no_answer_in_time_says_nothing_about_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "AIOKafkaProducer", Producer)
    monkeypatch.setattr(capability, "_DEADLINE", 0.01)
    with pytest.raises(TransientError, match="did not carry out a transaction within"):
        await capability.require_transactions({}, group="g", topic="events")


async def test_a_slow_broker_is_asked_again_until_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [TransientError("slow"), TransientError("slow"), None]
    turns: list[int] = []

    async def answer(*_: Any, **__: Any) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    async def no_pause(*_: Any) -> None:
        pass

    monkeypatch.setattr(startup, "require_transactions", answer)
    monkeypatch.setattr(startup, "_pause", no_pause)
    stop = asyncio.Event()
    await startup.when_transactional({}, stop, turn=lambda: turns.append(1), group="g", topic="events")
    assert (answers, len(turns)) == ([], 3)
    answers[:] = [ConfigError(["no transactions"])]
    with pytest.raises(ConfigError):
        await startup.when_transactional({}, stop, turn=lambda: None, group="g", topic="events")


class Admin:
    """A broker that answers about each topic with an error code."""

    def __init__(self, **_: Any) -> None:
        pass

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def _send_request(self, request: Any) -> Any:
        built = request.build(MetadataRequest_v5)
        assert built.allow_auto_topic_creation is False
        return Answer([(CODES[name], name, False, []) for name in built.topics])


class Answer:
    def __init__(self, topics: list[tuple[int, str, bool, list[Any]]]) -> None:
        self.topics = topics

    def to_object(self) -> dict[str, Any]:
        return {
            "topics": [
                {"error_code": code, "topic": name, "partitions": parts}
                for code, name, _, parts in self.topics
            ]
        }


CODES = {"events": 29, "reports": 3, "alerts": 17, "labels": 44}


async def test_a_topic_that_may_not_be_seen_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(startup, "AIOKafkaAdminClient", Admin)
    with pytest.raises(ConfigError) as caught:
        await startup.require_topics({}, same_partitions=["events"], others=["reports", "alerts", "labels"])
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "topic events may not be seen by this user",
        "topic reports does not exist",
        "topic alerts cannot exist: the broker refuses the name",
        "topic labels cannot be asked for: PolicyViolationError "
        "(Request parameters do not satisfy the configured policy.)",
    ]
