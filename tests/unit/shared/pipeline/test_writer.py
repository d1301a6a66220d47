"""A writer that is given up while it is being opened: trouble that passes, not a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation

from shared.pipeline import writer
from shared.pipeline.options import PipelineOptions


class SlowProducer:
    """Starts when it is let; knows nothing else."""

    def __init__(self, **_: Any) -> None:
        self.let = asyncio.Event()

    async def start(self) -> None:
        await self.let.wait()


async def test_given_up_while_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak ended a process this way: the partition was revoked during the first of two steps."""

    async def cut_off(_: Any) -> None:
        pass

    monkeypatch.setattr(writer, "AIOKafkaProducer", SlowProducer)
    monkeypatch.setattr(writer, "cut_off", cut_off)
    options = PipelineOptions(
        service="s",
        topics=("in",),
        group="g",
        delivery="exactly-once",
        client={},
        outputs=(),
        state_topic="s",
    )
    opened = writer.TransactionalWriter(TopicPartition("in", 0), options, max_batch_bytes=1_000)
    opening = asyncio.create_task(opened.open())
    await asyncio.sleep(0)
    producer: Any = opened._producer
    await opened.discard()
    producer.let.set()
    with pytest.raises(IllegalOperation, match="given up"):
        await opening
