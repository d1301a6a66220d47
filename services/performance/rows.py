"""How an open event lies in the store: a head of fixed width, the label, and the answer as it came.

Nearly every event has one answer and at most one label. Its row is *plain*: it is labelled by writing
another head before the same bytes, and ended without being built as an object. Whatever is more than that
(several versions, outcomes, labels before the answer) is kept in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import msgspec

from services.performance.events import OpenEvent
from services.performance.packets import Answered

FULL: Final = 0
OPEN: Final = 1
"""One answer, no label."""

LABELLED: Final = 2
"""One answer and its label."""

_HEAD: Final = Struct("<BBqq")  # form, length of the label, due, observed_at
_SIZE: Final = _HEAD.size
_LONGEST_LABEL: Final = 255

Truth = str | bool | float


class Named(msgspec.Struct, array_like=True, gc=False):
    """The first field of everything in a row; the others are skipped."""

    event_id: str


class Brief(msgspec.Struct, array_like=True, gc=False):
    """The first fields of an answer: whose it is, and of when."""

    event_id: str
    model: str
    version: str
    score: float
    occurred_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(OpenEvent).decode
_decode_answer = msgspec.msgpack.Decoder(Answered).decode
_decode_named = msgspec.msgpack.Decoder(Named).decode
_decode_brief = msgspec.msgpack.Decoder(Brief).decode
_decode_truth = msgspec.msgpack.Decoder(str | bool | float).decode


def open_row(answer: Answered, due: int) -> bytes:
    """Return the row of an event with one answer and no label."""
    return _HEAD.pack(OPEN, 0, due, 0) + _encode(answer)


def labelled_row(raw: bytes, truth: Truth, observed_at: int) -> bytes:
    """Return an open row with its label; a label too long for a plain row makes it a full one."""
    label = _encode(truth)
    if len(label) > _LONGEST_LABEL:
        event = event_of(raw)
        event.truth, event.observed_at = truth, observed_at
        return row_of(event)
    return _HEAD.pack(LABELLED, len(label), due_of(raw), observed_at) + label + raw[_SIZE:]


def row_of(event: OpenEvent) -> bytes:
    """Return an event's row, a plain one where that holds it all."""
    if _is_plain(event):
        if event.truth is None:
            return open_row(event.answers[0], event.due)
        label = _encode(event.truth)
        if len(label) <= _LONGEST_LABEL:
            head = _HEAD.pack(LABELLED, len(label), event.due, event.observed_at)
            return head + label + _encode(event.answers[0])
    return _HEAD.pack(FULL, 0, event.due, 0) + _encode(event)


def _is_plain(event: OpenEvent) -> bool:
    """Return whether there is nothing but one answer, which is about this event, and perhaps its label."""
    return (
        len(event.answers) == 1
        and event.answers[0].event_id == event.event_id
        and event.outcomes is None
        and event.early_labels is None
        and event.early_outcomes is None
    )


def form_of(raw: bytes) -> int:
    """Return ``FULL``, ``OPEN`` or ``LABELLED``."""
    return raw[0]


def due_of(raw: bytes) -> int:
    """Return when the event is done with."""
    due: int = _HEAD.unpack_from(raw)[2]
    return due


def answer_of(raw: bytes) -> Answered:
    """Return the answer of a plain row."""
    return _decode_answer(raw[_SIZE + raw[1] :])


def plain_of(raw: bytes) -> tuple[Answered, Truth, int]:
    """Return the answer of a labelled plain row, its label, and when that was observed."""
    _, length, _, observed_at = _HEAD.unpack_from(raw)
    truth = _decode_truth(raw[_SIZE : _SIZE + length])
    return _decode_answer(raw[_SIZE + length :]), truth, observed_at


def brief_of(raw: bytes) -> Brief | Named:
    """Return the first fields of a row: of its answer where it is plain, else the name alone."""
    if raw[0] == FULL:
        return _decode_named(raw[_SIZE:])
    return _decode_brief(raw[_SIZE + raw[1] :])


def event_of(raw: bytes) -> OpenEvent:
    """Return the event in a row."""
    if raw[0] == FULL:
        return _decode_event(raw[_SIZE:])
    _, length, due, observed_at = _HEAD.unpack_from(raw)
    answer = answer_of(raw)
    truth = _decode_truth(raw[_SIZE : _SIZE + length]) if length else None
    return OpenEvent(answer.event_id, due, [answer], truth, observed_at)


def ids_of(rows: Sequence[bytes]) -> list[str]:
    """Return the event id of each row."""
    return [_decode_named(raw[_SIZE + raw[1] :]).event_id for raw in rows]
