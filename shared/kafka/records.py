"""One partition's share of a micro-batch, as columns: no object per record in the scoring path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Records:
    """Consecutive records of one partition, possibly none.

    Attributes
    ----------
    topic, partition
        Where they were read.
    start, end
        The consumer's position before and after: ``[start, end)`` holds these records and nothing
        else but transaction markers, aborted and compacted records.
    offsets
        Ascending; gaps are transaction markers and compacted records.
    timestamps
        Epoch milliseconds, as Kafka stored them.
    keys, values, headers
        The record's bytes, untouched.
    """

    topic: str
    partition: int
    start: int
    end: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]

    def __len__(self) -> int:
        return len(self.offsets)

    def followed_by(self, later: Records) -> Records:
        """Return these records and those behind them in one piece; only markers may lie between."""
        assert later.start >= self.end, "not later"
        return Records(
            topic=self.topic,
            partition=self.partition,
            start=self.start,
            end=later.end,
            offsets=[*self.offsets, *later.offsets],
            timestamps=[*self.timestamps, *later.timestamps],
            keys=[*self.keys, *later.keys],
            values=[*self.values, *later.values],
            headers=[*self.headers, *later.headers],
        )

    @property
    def next_offset(self) -> int:
        """The offset to commit once these records are done."""
        return self.offsets[-1] + 1


@dataclass(slots=True)
class Output:
    """Records to produce, in order, to one topic.

    Attributes
    ----------
    topic
        Full topic name.
    partition
        Taken modulo the topic's partition count, so that a source partition can be given for a
        topic with fewer.
    keys, values, headers
        One entry per record; ``headers`` may be ``None`` where no record has any.
    """

    topic: str
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None = None
