"""The dead-letters topic, read back: letters, and the marks that remember which were sent again.

A mark is a record in the partition of its letter, behind it, so that retention always removes the
letter first. It needs no topic of its own, and one transaction can hold a mark and the event it is for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from shared.dead_letters import DeadLetter, read_dead_letter
from shared.errors import TransientError
from shared.kafka.records import Headers, Output
from shared.pipeline.state import state_key

REPLAYED: Final = "driftline-replayed"
"""Header of a mark: the offset, in the mark's own partition, of the letter that was sent again."""

_PATIENCE = 30.0
_POLL_MS = 200


class ReplayMark(msgspec.Struct, frozen=True):
    """Value of a mark, for people who read the topic with other tools."""

    replayed: int
    topic: str
    partition: int
    at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes
    ----------
    timestamp
        When it was written, epoch milliseconds.
    key, value, headers
        The original record's, and in the headers Driftline's own behind them.
    reason
        What the headers say; None where the record is not one of Driftline's.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(repr=False)
    reason: DeadLetter | None


def as_letter(record: ConsumerRecord) -> Letter:
    """Return a record of the dead-letters topic as a letter."""
    return Letter(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        record.headers,
        read_dead_letter(record.headers),
    )


def marked_offset(letter: Letter) -> int | None:
    """Return which letter a mark is for, None where the record is no mark.

    A letter keeps the headers of its event, so an event could bring this one: only a record without
    a reason is a mark.

    Examples
    --------
    >>> mark = Letter("dead-letters", 0, 9, 0, None, b"{}", [(REPLAYED, b"4")], None)
    >>> marked_offset(mark)
    4
    """
    if letter.reason is not None:
        return None
    text = dict(letter.headers).get(REPLAYED) or b""
    return int(text) if text.isdigit() else None


def mark_output(letter: Letter, now: int, *, of: int) -> Output:
    """Return a mark, as something to produce.

    Its key is the one that a state record of the letters' partition would have: whoever opens the
    partition tells by the newest mark which transactions were committed.

    Parameters
    ----------
    letter
        The letter that was sent again.
    of
        The offset of that letter, or of another one of the same event.
    """
    assert letter.reason is not None
    value = msgspec.json.encode(ReplayMark(of, letter.reason.topic, letter.reason.partition, now))
    header = [(REPLAYED, str(of).encode())]
    return Output(
        letter.topic, letter.partition, [state_key(letter.topic, letter.partition)], [value], [header]
    )


async def bounds(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset and the one behind the last committed record, by partition."""
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return {tp: (begins[tp], ends[tp]) for tp in partitions}


async def scan(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[Letter]:
    """Yield the records of the given offset spans, in order within each partition.

    Loops on the position, not on the records: transaction markers take offsets too.

    Raises
    ------
    TransientError
        The broker has sent nothing for half a minute.
    """
    waiting = {tp: end for tp, (begin, end) in spans.items() if begin < end}
    if not waiting:
        return
    consumer.assign(list(waiting))
    for tp in waiting:
        consumer.seek(tp, spans[tp][0])
    deadline = time.monotonic() + _PATIENCE
    while waiting:
        fetched = await consumer.getmany(*waiting, timeout_ms=_POLL_MS)
        for tp, records in fetched.items():
            for record in records:
                if record.offset < waiting[tp]:
                    yield as_letter(record)
        moved = [tp for tp, end in waiting.items() if await consumer.position(tp) >= end]
        for tp in moved:
            del waiting[tp]
        if fetched or moved:
            deadline = time.monotonic() + _PATIENCE
        elif time.monotonic() > deadline:
            tp = next(iter(waiting))
            raise TransientError(
                f"nothing came of {tp.topic}[{tp.partition}] for {_PATIENCE:.0f} s, try again later"
            )
