"""Negative controls: mistakes that the suite must notice. One that passes makes the suite red.

Each is put into the running service by :mod:`tests.faults.inside` and run under faults that place the
stop where it hurts: known ids went unnoticed in a trial whose stops rarely fell inside a transaction.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition

from shared.kafka.producing import Addressed
from shared.kafka.records import Output
from shared.kafka.transactions import Transactions
from shared.pipeline import ownership, writer
from shared.pipeline.crash_points import VARIABLE
from shared.pipeline.options import PipelineOptions

_STOPS_AT = 4


@dataclass(frozen=True, slots=True)
class Control:
    """A mistake.

    Attributes
    ----------
    says
        What is done wrong.
    apply
        Puts it into this process.
    faults
        Those under which it must be noticed.
    """

    says: str
    apply: Callable[[], None]
    faults: tuple[str, ...]


def _random_ids() -> None:
    mine = uuid.uuid4().hex

    def transactional_id(self: PipelineOptions, topic: str, partition: int) -> str:
        return f"{self.group}.{topic}.{partition}.{mine}"

    PipelineOptions.transactional_id = transactional_id  # type: ignore[method-assign]


def _unawaited_sends() -> None:
    produce = Transactions.produce

    async def not_waiting(self: Transactions, batches: Sequence[Addressed]) -> None:
        sending = asyncio.create_task(produce(self, batches))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())

    Transactions.produce = not_waiting  # type: ignore[method-assign]


def _state_outside() -> None:
    commit = writer.TransactionalWriter.commit
    scored = [0]

    async def state_first(
        self: writer.TransactionalWriter, outputs: Sequence[Output], position: Sequence[Output]
    ) -> None:
        async with AIOKafkaProducer(**self._options.client) as plain:
            for output in position:
                count = len(await plain.partitions_for(output.topic))
                for key, value in zip(output.keys, output.values, strict=True):
                    await plain.send_and_wait(
                        output.topic, value, key=key, partition=output.partition % count
                    )
        scored[0] += any(output.values for output in outputs if output.topic.endswith("predictions"))
        if VARIABLE in os.environ and scored[0] == _STOPS_AT:
            os.kill(os.getpid(), signal.SIGKILL)  # between the state and what belongs to it
        await commit(self, outputs, ())

    writer.TransactionalWriter.commit = state_first  # type: ignore[method-assign]


def _wrong_offset() -> None:
    settled = ownership.Ownership._settled

    async def older_state(self: ownership.Ownership, tp: TopicPartition) -> tuple[int, bytes | None, int]:
        next_offset, _state, timestamp = await settled(self, tp)
        return next_offset, None, timestamp  # as if nothing had been counted before this offset

    ownership.Ownership._settled = older_state  # type: ignore[method-assign]


CONTROLS: dict[str, Control] = {
    "random-ids": Control(
        "a transactional id of its own for every process", _random_ids, ("zombie-before-begin",)
    ),
    "unawaited-sends": Control(
        "nobody waits for the sends before the commit", _unawaited_sends, ("message-bytes",)
    ),
    "state-outside": Control(
        "the state is written before its transaction", _state_outside, ("kill-before-commit",)
    ),
    "wrong-offset": Control(
        "the state belongs to another offset than the one read on from", _wrong_offset, ("kill-after-commit",)
    ),
}
"""By name."""
