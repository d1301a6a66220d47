"""Which records Faust's consumer may take when: none before every partition is where it must begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from services.alerting.faust_app import CommittedConsumer, CommittedConsumerThread

STATE, NEW, USED = TP("state", 0), TP("reports", 0), TP("reports", 1)


class Kafka:
    """aiokafka's consumer: like it, it goes to a committed offset only where there is one."""

    def __init__(self, committed: dict[TP, int | None]) -> None:
        self.committed = committed
        self.began: list[TP] = []

    async def seek_to_committed(self) -> dict[TP, int | None]:
        return self.committed

    async def seek_to_beginning(self, *partitions: TP) -> None:
        self.began += partitions


def consumer(active: set[TP]) -> Any:
    made: Any = CommittedConsumer.__new__(CommittedConsumer)
    made.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={"state"}))
    made._held_back, made._active_partitions, made._paused_partitions = set(), active, set()
    made._read_offset, made._committed_offset = {}, {}
    made.assignment = lambda: {STATE, NEW, USED}
    return made


async def test_a_partition_without_a_commit_begins_at_its_first_record() -> None:
    thread: Any = CommittedConsumerThread.__new__(CommittedConsumerThread)
    thread.consumer, kafka = consumer(set()), Kafka({STATE: None, NEW: None, USED: 7, TP("reports", 2): 0})
    assert await thread._seek_to_committed(kafka) == kafka.committed
    assert kafka.began == [NEW, TP("reports", 2)], "the state topic is read elsewhere"


async def test_no_record_is_taken_before_the_seek() -> None:
    made = consumer(set())

    async def seek() -> dict[TP, int | None]:
        assert made._active_partitions == {STATE}, "records were taken from where nobody has sought yet"
        made.resume_partitions({NEW})  # another rebalance meanwhile
        return {USED: 7}

    made.seek_to_committed = seek
    made.resume_partitions({STATE, USED})
    await made.perform_seek()
    assert made._active_partitions == {STATE, USED}, "what was resumed later waits for its own seek"
    assert made._read_offset == {USED: 7}


async def test_what_was_paused_or_taken_away_during_the_seek_stays_so() -> None:
    made = consumer(set())

    async def seek() -> dict[TP, int | None]:
        made.pause_partitions({USED})
        made.assignment = lambda: {STATE}
        return {}

    made.seek_to_committed = seek
    made.resume_partitions({NEW, USED})
    await made.perform_seek()
    assert made._active_partitions == set()
