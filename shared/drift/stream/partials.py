"""What one partition tells the merger: slots of integer counts, and how far its clock has come."""

from __future__ import annotations

import zlib
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.bundle.spec import Seasonality

Group = Literal["features", "predictions"]
GROUPS: Final[tuple[Group, Group]] = ("features", "predictions")
"""Channels counted from events, and channels counted from predictions: each is a stream of its own."""


class Begin(msgspec.Struct, frozen=True, array_like=True):
    """Everything the merger must know of a model version; the first partial of a version carries it.

    It travels with the counts so that whoever merges needs no registry and no bundle: the same
    records give the same answer wherever and whenever they are merged.

    Attributes
    ----------
    baseline
        Bytes of its ``baseline.json``; empty where the bundle has none and one must be learnt.
    features
        Name and kind of each feature, in the model's order.
    window
        Length of a report window, milliseconds.
    false_alarms_per_30_days
        The budget.
    events_per_30_days
        As declared in ``model.toml``; None measures it.
    learn
        Events to learn a baseline from where there is none.
    classes
        Whether the model decides on a class.
    segments
        Features by which a change is broken down where the baseline is learnt.
    seasonality
        The longest rhythm that events may have: what a baseline that is learnt must have seen. What was
        told before there was such a key asked for none.
    """

    baseline: bytes
    features: tuple[tuple[str, str], ...]
    window: int
    false_alarms_per_30_days: float
    events_per_30_days: float | None
    learn: int
    classes: bool
    segments: tuple[str, ...] = ()
    seasonality: Seasonality = "none"


class Partial(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive slots of one model version from one partition, possibly none.

    A slot's number makes it known again: the merger passes over what it has had, so a partial that is
    sent twice counts once.

    Attributes
    ----------
    topic, partition, partitions
        The partition it was counted from, and how many its topic has.
    clock
        No later slot of this partition has an earlier time; epoch milliseconds.
    first
        Number of the first slot.
    times
        When each slot was complete, by the clock of the records: the order of merging.
    occurred
        Event time of each slot (its median), epoch milliseconds.
    offsets
        Offset of the last record in each slot.
    events
        Events in each slot.
    counts
        Compressed bytes of the bin counts, shape ``(slots, channels, bins)``.
    sums
        Bytes of float64: sum and sum of squares of each numeric channel, shape ``(slots, numeric, 2)``.
    unseen
        ``(slot, channel, category)`` of values that training did not contain, in order.
    rows
        Raw values, while a baseline is being learnt: msgpack of one list per channel, for each slot.
    skipped
        Records of the partition so far that were no event of the model, by reason.
    active
        Whether the version is the champion there.
    begin
        What the version is.
    codes
        Bins of every event, where a change is to be broken down: shape ``(events, channels)``.
    """

    model: str
    version: str
    group: Group
    topic: str
    partition: int
    partitions: int
    clock: int
    first: int
    times: tuple[int, ...] = ()
    occurred: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    counts: bytes = b""
    sums: bytes = b""
    unseen: tuple[tuple[int, int, str], ...] = ()
    rows: tuple[bytes, ...] = ()
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    active: bool = True
    begin: Begin | None = None
    codes: bytes = b""


encode_partial: Final = msgspec.msgpack.Encoder().encode
decode_partial: Final = msgspec.msgpack.Decoder(Partial).decode


def pack(counts: NDArray[np.integer]) -> bytes:
    """Return bin counts of slots as bytes; no slot has more than 255 events."""
    return zlib.compress(counts.astype(np.uint8).tobytes(), 1)


def unpack(raw: bytes, slots: int, channels: int) -> NDArray[np.uint8]:
    """Return bin counts, shape ``(slots, channels, bins)``: small integers, since many slots may wait.

    Raises
    ------
    ValueError
        The bytes are not counts of that many slots and channels.

    Examples
    --------
    >>> unpack(pack(np.array([[[3, 1, 0], [0, 0, 4]]])), 1, 2).tolist()
    [[[3, 1, 0], [0, 0, 4]]]
    """
    try:
        flat = np.frombuffer(zlib.decompress(raw), np.uint8)
        return flat.reshape(slots, channels, -1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"the bytes are not counts of {slots} slots and {channels} channels") from error
