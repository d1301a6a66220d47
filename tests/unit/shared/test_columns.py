"""What is left of a fetch as columns, beside what aiokafka itself makes of the same bytes."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from shared.kafka.consumer import _drain

TP = TopicPartition("t", 0)


def batch(*offsets: int) -> bytes:
    """Return one record batch that holds these offsets, as after a compaction of those between."""
    base = offsets[0]
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for offset in offsets:
        builder.append(offset - base, 1_000 + offset, b"k%d" % offset, b"v%d" % offset, [])
    raw = builder.build()
    raw[0:8] = base.to_bytes(8, "big")  # outside of what the checksum covers
    return bytes(raw)


def fetched(raw: bytes, position: int) -> FetchResult:
    """Return a fetch of ``raw`` for a consumer that stands at ``position``."""
    state = SimpleNamespace(paused=False, position=position, consumed_to=lambda offset: None)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    records = PartitionRecords(TP, MemoryRecords(raw), [], position, None, None, True, READ_COMMITTED)
    return FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)


@pytest.mark.parametrize(
    ("raw", "position"),
    [
        (batch(5, 6, 7), 5),
        (batch(5, 6, 7), 6),  # the position lies inside a batch, which the broker sends whole
        (batch(5, 7, 9) + batch(12, 13), 5),
        (batch(5, 7, 9) + batch(12, 13), 8),
        (batch(5, 6) + batch(7), 7),
        (batch(5, 6), 9),
        (b"", 5),
    ],
)
def test_columns_are_what_aiokafka_returns_record_by_record(raw: bytes, position: int) -> None:
    expected_from = fetched(raw, position)
    source = expected_from._partition_records
    expected = [(r.offset, r.timestamp, r.key, r.value) for r in expected_from.getall()]
    columns = _drain(TP, fetched(raw, position))
    assert columns is not None
    found = list(zip(columns.offsets, columns.timestamps, columns.keys, columns.values, strict=True))
    assert found == expected
    assert (columns.start, columns.end) == (position, source.next_fetch_offset)
    assert len(columns.headers) == len(columns)


def test_a_broken_checksum_is_raised_and_nothing_handed_out() -> None:
    whole, broken = batch(5, 6), bytearray(batch(7, 8))
    broken[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        _drain(TP, fetched(whole + bytes(broken), 5))


def test_the_bytes_of_a_fetch_go_with_it_and_not_with_the_next_collection_of_cycles() -> None:
    """The collector runs seldom between micro-batches: fetches of a megabyte would pile up until then."""
    gc.collect()
    gc.disable()
    try:
        fetch = fetched(batch(5, 6, 7), 5)
        source = weakref.ref(fetch._partition_records)
        columns = _drain(TP, fetch)
        del fetch
        assert source() is None
    finally:
        gc.enable()
    assert columns is not None
    assert list(columns.offsets) == [5, 6, 7]
