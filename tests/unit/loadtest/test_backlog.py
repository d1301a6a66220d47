from aiokafka.record.default_records import DefaultRecordBatch

from loadtest.backlog import BATCH_BYTES, Backlog
from loadtest.events import EventSource, event_number


def values_of(partition):
    return [record.value for raw, _ in partition for record in DefaultRecordBatch(bytearray(raw))]


def test_every_event_lies_in_the_partition_of_its_number_in_order():
    backlog = Backlog.encode(EventSource(seed=3, pool=50), 100, 3_001, 4)
    numbers = [[event_number(value) for value in values_of(partition)] for partition in backlog.partitions]
    assert numbers == [list(range(100 + offset, 3_101, 4)) for offset in range(4)]


def test_batches_are_valid_count_their_records_and_keep_to_their_size():
    backlog = Backlog.encode(EventSource(seed=3, pool=50), 0, 3_000, 2)
    for partition in backlog.partitions:
        assert len(partition) > 1
        for raw, count in partition:
            batch = DefaultRecordBatch(bytearray(raw))
            assert batch.validate_crc()
            assert len(list(batch)) == count
            assert len(raw) <= BATCH_BYTES


def test_the_same_seed_gives_the_same_events():
    one, same, other = (EventSource(seed, pool=50).records(range(80)) for seed in (5, 5, 6))
    assert one == same
    assert one[1] != other[1]
