"""What all messages share: the struct they derive from, and the types of their fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

EpochMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999, description="milliseconds since 1970")]
"""Whole milliseconds since the epoch, up to the year 9999."""

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


__all__ = ["UTC", "EntityId", "EpochMs", "EventId", "FeatureValue", "Message", "OccurredAt", "epoch_ms"]
