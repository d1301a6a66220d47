"""Negative controls: mistakes that the suite must notice. One that passes makes the suite red.

Each is put into the running service by :mod:`tests.faults.inside` and run under faults that place the
stop where it hurts: random ids went unnoticed in a trial whose stops rarely fell inside a transaction.
Noticed is a mistake only where it shows as what it is: another sentence may be about something else.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.kafka.producing import Addressed
from shared.kafka.records import Output
from shared.kafka.transactions import Transactions
from shared.pipeline import ownership, writer
from shared.pipeline.crash_points import VARIABLE
from shared.pipeline.options import PipelineOptions
from shared.pipeline.state import Snapshot

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
    shows
        Regular expression: a sentence of the rules that only this kind of mistake makes.
    services
        Those at work.
    traced
        What must be in the logs beside it, as the place where a task waits.
    """

    says: str
    apply: Callable[[], None]
    faults: tuple[str, ...]
    shows: str
    services: tuple[str, ...] = ("inference",)
    traced: str = ""

    def is_noticed(self, violations: Sequence[str], logs: str) -> bool:
        """Whether the mistake shows in what was written, and its cause in the logs."""
        return any(re.search(self.shows, v) for v in violations) and self.traced in logs


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
        next_offset, state, timestamp = await settled(self, tp)
        if self._options.service == "drift" and state is not None:
            state = await _former_state(self._options, tp)
        return next_offset, state, timestamp

    ownership.Ownership._settled = older_state  # type: ignore[method-assign]


async def _former_state(options: PipelineOptions, tp: TopicPartition) -> bytes | None:
    """Return the state in the middle of what the partition's changelog has: that of an earlier offset."""
    key = f"{tp.topic}-{tp.partition}".encode()
    async with AIOKafkaConsumer(
        **options.client, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        await consumer._client._wait_on_metadata(options.state_topic)
        count = len(consumer.partitions_for_topic(options.state_topic))
        changelog = TopicPartition(options.state_topic, tp.partition % count)
        consumer.assign([changelog])
        end = (await consumer.end_offsets([changelog]))[changelog]
        states: list[bytes] = []
        while await consumer.position(changelog) < end:
            for record in (await consumer.getmany(changelog, timeout_ms=100)).get(changelog, []):
                if record.key == key:
                    states.append(msgspec.msgpack.decode(record.value, type=Snapshot).state)
    return states[len(states) // 2] if len(states) > 1 else None


def _never_let_go() -> None:
    async def waiting_for_ever(self: ownership.Ownership, revoked: list[TopicPartition]) -> None:
        for tp in revoked:
            if (slot := self.slots.get(tp)) is not None:
                slot.ready = False
        if revoked:
            await asyncio.Event().wait()

    ownership.Ownership.on_partitions_revoked = waiting_for_ever  # type: ignore[method-assign]


CONTROLS: dict[str, Control] = {
    "random-ids": Control(
        "a transactional id of its own for every process",
        _random_ids,
        ("zombie-before-begin", "scale-hung"),
        r"^predictions\[\d\]: (\d+ repeated|out of order)",
    ),
    "unawaited-sends": Control(
        "nobody waits for the sends before the commit",
        _unawaited_sends,
        ("message-bytes",),
        r"^predictions\[\d\]: \d+ of \d+ lost",
    ),
    "state-outside": Control(
        "the state is written before its transaction",
        _state_outside,
        ("kill-before-commit",),
        r"^predictions\[\d\]: \d+ of \d+ lost",
    ),
    "wrong-offset": Control(
        "the counts before the detectors are those of another offset than the one read on from",
        _wrong_offset,
        ("kill-after-commit",),
        r"^drift: (the detector of |\d+ (features|predictions) have reached|(features|predictions): )",
        ("inference", "drift"),
    ),
    "never-let-go": Control(
        "a process that should give up a partition waits for ever",
        _never_let_go,
        ("blocked-loop",),
        r"^no progress of every partition",
        traced="waiting_for_ever",
    ),
}
"""By name."""
