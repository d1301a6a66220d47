"""Flights as event bytes, chunk by chunk, so that the year is never in memory as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pandas as pd

from devstack.demo.contract import CLASSES
from devstack.demo.flights import FEATURES, IDENTITY

CHUNK = 2_000


class Outgoing(NamedTuple):
    """One record to send.

    Attributes
    ----------
    key
        The aircraft's tail number: one aircraft stays in order in one partition.
    value
        The event's bytes.
    event_id
        Its identity; ``None`` for a bad event, which has no prediction to wait for.
    fault
        What is wrong with it, for a bad event.
    occurred_at
        Event time, epoch milliseconds.
    came_of_it
        Its label and its delay at arrival in minutes, known an hour later; ``None`` for a bad event.
    """

    key: bytes
    value: bytes
    event_id: str | None
    fault: str | None = None
    occurred_at: int = 0
    came_of_it: tuple[str, float] | None = None


def flight_events(frame: pd.DataFrame, model: str) -> Iterator[Outgoing]:
    """Yield one event per flight, in the frame's order; a missing reading is null."""
    encoder = msgspec.json.Encoder()  # it writes NaN, pandas' missing number, as null
    for start in range(0, len(frame), CHUNK):
        chunk = frame.iloc[start : start + CHUNK]
        identities = zip(*(chunk[name].tolist() for name in IDENTITY), strict=True)
        rows = zip(*(chunk[name].tolist() for name in FEATURES), strict=True)
        labels = chunk["late"].map({True: CLASSES[1], False: CLASSES[0]}).tolist()
        outcomes = zip(labels, chunk["arr_delay"].tolist(), strict=True)
        for (event_id, entity_id, occurred_at), row, outcome in zip(identities, rows, outcomes, strict=True):
            event = {
                "event_id": event_id,
                "model": model,
                "entity_id": entity_id,
                "occurred_at": occurred_at,
                "features": dict(zip(FEATURES, row, strict=True)),
            }
            yield Outgoing(
                entity_id.encode(),
                encoder.encode(event),
                event_id,
                occurred_at=occurred_at,
                came_of_it=outcome,
            )
