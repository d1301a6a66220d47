"""A consumer that hands out columns instead of one object per record.

Building aiokafka's ``ConsumerRecord`` costs CPU per record that the scoring path has no use for
(``python -m loadtest client-floor`` prints how much), so this subclass takes the parsed records from
the fetcher before they are wrapped. It touches private attributes of the exactly pinned aiokafka:
``tests/integration/test_column_consumer.py`` compares it with ``getmany`` record by record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from shared.errors import ServiceError
from shared.kafka.records import Records


class ColumnConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """``AIOKafkaConsumer`` with :meth:`getcolumns` beside ``getmany``."""

    async def getcolumns(
        self, partitions: Collection[TopicPartition], *, timeout: float, max_records: int
    ) -> list[Records]:
        """Return fetched records of ``partitions`` as columns, waiting up to ``timeout`` seconds.

        A fetch that brought only transaction markers or aborted records is returned too, as no
        records between ``start`` and ``end``: the position has moved, and the caller must know.

        Never cancel this call: like ``getmany`` it would leave aiokafka's poll timer switched off.

        Parameters
        ----------
        partitions
            The partitions to read; others keep what was fetched for them.
        timeout
            Seconds to wait when nothing has been fetched yet.
        max_records
            No further partition is added once this many records are taken; one partition's
            fetch (at most ``max_partition_fetch_bytes``) is never split.

        Raises
        ------
        aiokafka.errors.KafkaError
            What the background fetch of one of the partitions ran into.
        ServiceError
            The consumer is no member of its group any more and never will be again.
        """
        self._check_coordination()
        fetcher = self._fetcher
        deadline = time.monotonic() + timeout
        with self._subscription.fetch_context():
            while True:
                if self._subscription.reassignment_in_progress:
                    await self._assignment(deadline - time.monotonic())
                taken = self._take(partitions, max_records)
                left = deadline - time.monotonic()
                if taken or left <= 0 or self._closed:
                    return taken
                waiter = fetcher._create_fetch_waiter()
                done, _ = await asyncio.wait([waiter], timeout=left)
                if not done:
                    waiter.cancel()
                    return []
                waiter.result()  # authorization errors

    async def idle(self, seconds: float) -> None:
        """Wait because nothing may be fetched now, and stay a member of the group meanwhile.

        To aiokafka a consumer that never polls is dead: after ``max_poll_interval_ms`` it leaves its group
        and does not join again, so that a process without partitions would never take over from another.
        And what the coordination ran into is raised by a poll only: until then it stands still.

        Raises
        ------
        aiokafka.errors.KafkaError
            What the coordination ran into.
        ServiceError
            The consumer is no member of its group any more and never will be again.
        """
        self._check_coordination()
        with self._subscription.fetch_context():
            await asyncio.sleep(seconds)

    def found_empty_at(self, tp: TopicPartition, position: int) -> int | None:
        """Return when a fetch last found nothing at or after ``position``; epoch milliseconds.

        None where there is something, where nobody has looked yet, or where the partition is not ours.
        """
        assignment = self._subscription.subscription
        if assignment is None or tp not in assignment.assignment.tps:
            return None
        state = assignment.assignment.state_value(tp)
        if state.highwater is None or state.timestamp is None or position < state.highwater:
            return None
        return int(state.timestamp)

    def _check_coordination(self) -> None:
        """Raise what the group's coordination ran into; where its task has ended, trying again is no use."""
        task = getattr(self._coordinator, "_coordination_task", None)  # none without a group
        if task is not None and task.done() and not self._closed:
            cause = None if task.cancelled() else task.exception()
            raise ServiceError(f"the consumer has left its group for good: {cause!r}") from cause
        self._coordinator.check_errors()

    async def _assignment(self, seconds: float) -> None:
        """Wait for a rebalance to end, so long at most: the caller has other things to do meanwhile."""
        assigned = self._subscription.wait_for_assignment()
        done, _ = await asyncio.wait([assigned], timeout=max(0.0, seconds))
        if done:
            assigned.result()
        else:
            assigned.cancel()

    def _take(self, partitions: Collection[TopicPartition], max_records: int) -> list[Records]:
        fetcher = self._fetcher
        taken: list[Records] = []
        total = 0
        for tp in list(fetcher._records):
            if tp not in partitions:
                if not self._subscription.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            fetched = fetcher._records[tp]
            if type(fetched) is not FetchResult:
                if taken:
                    break  # the error is raised by the next call
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                fetched.check_raise()
            columns = _drain(tp, fetched)
            del fetcher._records[tp]
            fetcher._notify(fetcher._wait_consume_future)
            if columns is not None:
                taken.append(columns)
                total += len(columns)
                if total >= max_records:
                    break
        return taken


def _unpacked(source: PartitionRecords) -> list[Any]:
    """Return all records of one fetch that count, each batch unpacked in one piece, in C.

    Does what aiokafka's ``PartitionRecords._unpack_records`` does record by record, in the same order:
    checksum, aborted transactions, control batches, records before the position.
    """
    source._records_iterator = None  # it holds `source` and so itself, and with both the bytes of the fetch
    records: list[Any] = []
    start = source.next_fetch_offset
    committed = source._isolation_level == READ_COMMITTED
    while source._records.has_next():
        batch = source._records.next_batch()
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {source._tp}")
        control = batch.is_control_batch
        if not (committed and _aborted(source, batch, control=control)) and not control:
            records += batch
        source.next_fetch_offset = batch.next_offset
    if records and records[0].offset < start:  # a batch comes whole, though the position lies inside
        return [record for record in records if record.offset >= start]
    return records


def _aborted(source: PartitionRecords, batch: Any, *, control: bool) -> bool:
    """Note where aborted transactions begin and end; return whether the batch is part of one."""
    producer_id = batch.producer_id
    if producer_id is None:
        return False
    source._consume_aborted_up_to(batch.base_offset)
    if control and source._contains_abort_marker(batch):
        source._aborted_producers.discard(producer_id)
    return bool(batch.is_transactional and producer_id in source._aborted_producers)


def _drain(tp: TopicPartition, fetched: FetchResult) -> Records | None:
    """Return all records of one fetch as columns and advance the consumer's position."""
    if not fetched.has_more() or not fetched.check_assignment(tp):
        return None
    source = fetched._partition_records
    start = source.next_fetch_offset
    records = _unpacked(source)
    fetched._update_position()
    return Records(
        topic=tp.topic,
        partition=tp.partition,
        start=start,
        end=source.next_fetch_offset,
        offsets=_offsets(records),
        timestamps=[record.timestamp for record in records],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=[record.headers for record in records],
    )


def _offsets(records: Sequence[Any]) -> Sequence[int]:
    """Return the records' offsets; they ascend, so that without gaps the first and the last say them all."""
    if not records:
        return []
    first, last = records[0].offset, records[-1].offset
    if last - first == len(records) - 1:
        return range(first, last + 1)
    return [record.offset for record in records]
