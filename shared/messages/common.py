"""What all messages share: the struct they derive from, and the types of their fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

EpochMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999, description="milliseconds since 1970")]
"""Whole milliseconds since the epoch, up to the year 9999."""

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes from anywhere may raise: no JSON or another shape, no UTF-8, nested without end."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a column of NumPy and MessagePack can hold: JSON's integers have no end."""

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
PartitionNumber = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
MOST_SCORE = 1e100
Score = Annotated[float, msgspec.Meta(ge=-MOST_SCORE, le=MOST_SCORE)]
"""Of a size whose square is still a number: sums of squares are kept."""

OccurredAt = EpochMs | Annotated[datetime, msgspec.Meta(tz=True)]
"""What a producer may write: epoch milliseconds, or an RFC 3339 string with its offset."""

EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
EntityId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FeatureValue = float | int | str | bool | None


class Message(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of all messages: immutable, fields by name, defaults left out of the bytes."""


def epoch_ms(moment: int | datetime) -> int:
    """Return a time as whole milliseconds since the epoch.

    Examples
    --------
    >>> epoch_ms(datetime(2013, 1, 1, 5, 15, tzinfo=UTC))
    1357017300000
    >>> epoch_ms(1357017300000)
    1357017300000
    """
    return moment if isinstance(moment, int) else int(moment.timestamp() * 1000)


__all__ = [
    "MOST_SCORE",
    "NOT_JSON",
    "UTC",
    "EntityId",
    "EpochMs",
    "EventId",
    "FeatureValue",
    "Int64",
    "Message",
    "OccurredAt",
    "Offset",
    "PartitionNumber",
    "Score",
    "epoch_ms",
]
