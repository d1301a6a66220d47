"""Records are counted to the slot that owns the partition when they arrive, and must continue its own.

A service lost 33 events of each of two partitions once, when a partition was given up and opened again
while a fetch was waiting: the records went to the former slot, and nobody read them again.
"""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import CollectorRegistry

from shared.errors import ServiceError
from shared.kafka.records import Records
from shared.metrics import PipelineMetrics
from shared.pipeline.options import PipelineOptions
from shared.pipeline.ownership import Slot
from shared.pipeline.pipeline import Pipeline

TP = TopicPartition("in", 0)


def slot(position: int, *, ready: bool = True) -> Slot:
    return Slot(TP, None, ready, True, position, position, position, position)  # type: ignore[arg-type]


def records(start: int, count: int, end: int | None = None) -> Records:
    offsets = list(range(start, start + count))
    column: list[Any] = [None] * count
    return Records("in", 0, start, end or start + count, offsets, [0] * count, column, column, [()] * count)


class Ownership:
    def __init__(self, *slots: Slot) -> None:
        self.slots = {s.tp: s for s in slots}

    @property
    def ready(self) -> dict[TopicPartition, Slot]:
        return {tp: s for tp, s in self.slots.items() if s.ready}


class Consumer:
    """Gives out one answer; ``meanwhile`` happens while the fetch waits. The log holds ``[begin, end)``."""

    def __init__(
        self, answer: Records, meanwhile: Any = lambda: None, *, begin: int = 0, end: int = 100
    ) -> None:
        self.answer = answer
        self.meanwhile = meanwhile
        self.begin, self.end = begin, end
        self.sought: list[int] = []

    async def getcolumns(self, partitions: Any, *, timeout: float, max_records: int) -> list[Records]:
        self.meanwhile()
        return [self.answer]

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)

    def highwater(self, tp: TopicPartition) -> int:
        assert self.end, "Partition is not assigned"  # as aiokafka does
        return self.end

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append(offset)


def pipeline() -> Pipeline[Any]:
    options = PipelineOptions(
        service="s",
        topics=("in",),
        group="g",
        delivery="exactly-once",
        client={},
        outputs=(),
        state_topic="s",
    )
    return Pipeline(None, options, PipelineMetrics(CollectorRegistry()))  # type: ignore[arg-type]


async def fetch(
    consumer: Consumer, ownership: Ownership, by: Pipeline[Any] | None = None
) -> list[tuple[Slot, Records]]:
    return await (by or pipeline())._fetch(consumer, ownership)  # type: ignore[arg-type]


def lost(counted: Pipeline[Any]) -> float:
    return sum(
        sample.value for sample in counted._metrics.lost.collect()[0].samples if "_total" in sample.name
    )


async def test_records_go_to_the_slot_opened_while_the_fetch_was_waiting() -> None:
    ownership, fresh = Ownership(slot(40)), slot(20)
    part = records(20, 33)
    consumer = Consumer(part, lambda: ownership.slots.update({TP: fresh}))
    assert await fetch(consumer, ownership) == [(fresh, part)]
    assert fresh.position == 53
    assert consumer.sought == []


async def test_records_from_elsewhere_are_not_taken_and_the_consumer_goes_back() -> None:
    ownership = Ownership(slot(20))
    consumer = Consumer(records(53, 10))
    assert await fetch(consumer, ownership) == []
    assert consumer.sought == [20]
    assert ownership.slots[TP].position == 20


async def test_where_the_position_was_deleted_it_goes_on_at_the_beginning_and_counts_what_is_lost() -> None:
    """A partition stood still for ever once, going back to a position that the broker had no more."""
    ownership, counted = Ownership(slot(20)), pipeline()
    assert await fetch(Consumer(records(53, 10), begin=53), ownership, counted) == []
    mine = ownership.slots[TP]
    assert mine.position == 53
    assert mine.encoded == mine.taken, (
        "what was deleted is not waited for: the partition can be caught up with"
    )
    assert lost(counted) == 33
    again = Consumer(part := records(53, 10), begin=53)
    assert await fetch(again, ownership, counted) == [(mine, part)]
    assert again.sought == []
    assert lost(counted) == 33


async def test_a_log_that_ends_before_the_position_is_another_one() -> None:
    ownership, counted = Ownership(slot(20)), pipeline()
    consumer = Consumer(records(0, 5), end=5)
    with pytest.raises(
        ServiceError, match=r"its end, which is 5 now: the topic was deleted .*in\[0\] offset 20"
    ):
        await fetch(consumer, ownership, counted)
    assert consumer.sought == []
    assert lost(counted) == 0


async def test_a_partition_given_up_while_the_log_was_asked_is_left_alone() -> None:
    ownership, fresh = Ownership(slot(20)), slot(60)

    class Slow(Consumer):
        async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            ownership.slots[TP] = fresh
            return await super().beginning_offsets(partitions)

    consumer = Slow(records(53, 10), begin=53)
    assert await fetch(consumer, ownership) == []
    assert consumer.sought == []
    assert fresh.position == 60


async def test_while_the_broker_says_nothing_the_position_stays() -> None:
    class Silent(Consumer):
        async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            raise KafkaTimeoutError

    ownership = Ownership(slot(20))
    consumer = Silent(records(53, 10))
    assert await fetch(consumer, ownership) == []
    assert consumer.sought == [20]


async def test_a_slot_that_is_not_ready_takes_nothing() -> None:
    ownership = Ownership(slot(20))
    consumer = Consumer(records(20, 5), lambda: ownership.slots.update({TP: slot(0, ready=False)}))
    assert await fetch(consumer, ownership) == []
    assert consumer.sought == []


async def test_transaction_markers_move_the_position_without_a_batch() -> None:
    ownership = Ownership(slot(20))
    assert await fetch(Consumer(records(20, 0, end=22)), ownership) == []
    assert ownership.slots[TP].position == 22
    part = records(22, 3, end=26)
    assert await fetch(Consumer(part), ownership) == [(ownership.slots[TP], part)]
    assert ownership.slots[TP].position == 26


async def test_markers_that_come_while_records_before_them_are_encoded_do_not_count_as_taken() -> None:
    """An input was never called idle after them, and every horizon waited for it."""
    ownership = Ownership(slot(20))
    await fetch(Consumer(records(20, 2)), ownership)
    await fetch(Consumer(records(22, 0, end=24)), ownership)
    its = ownership.slots[TP]
    assert (its.position, its.taken) == (24, 22), "what is taken ends where the records do"
    await fetch(Consumer(records(24, 1)), ownership)
    assert (its.position, its.taken) == (25, 25)


def test_what_was_given_up_while_it_was_fetched_has_no_lag_here() -> None:
    """A process ended once, because aiokafka was asked for the end of a partition just revoked."""
    counted = pipeline()
    counted._count(Consumer(records(0, 3), end=0), Ownership(), [(slot(3), records(0, 3))], 3)  # type: ignore[arg-type]
    assert counted._metrics.consumed.labels("in")._value.get() == 3
    assert list(counted._metrics.lag.collect()[0].samples) == []
