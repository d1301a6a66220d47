"""A micro-batch of events on its way to the models: which rows are whose, decoded, or refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.errors import DecodeError, ServiceError, ValidationError
from shared.kafka.records import Records
from shared.messages import NOT_JSON
from shared.scoring.events import DecodedEvents, EventDecoder, wrong_model

MAX_CARRIED_BYTES: Final = 1 << 19
"""Most bytes of a record's key and headers: they go along with its prediction, whose topic takes a MiB."""

Rows = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]


class _Routing(msgspec.Struct):
    """The one field read to find out which model an event is for."""

    model: str | None = None


_route = msgspec.json.Decoder(_Routing).decode


@dataclass(slots=True)
class Micro:
    """The records of several partitions as one run of rows.

    Attributes
    ----------
    bounds
        ``bounds[i]:bounds[i + 1]`` are the rows of the ``i``-th partition.
    timestamps
        The records' own, epoch milliseconds; shape ``(n,)``.
    heavy
        Why, by row, a record is refused for the size of its key and headers.
    """

    batch: Sequence[Records]
    bounds: list[int]
    values: Sequence[bytes | None]
    timestamps: Times
    heavy: dict[int, ServiceError]

    @classmethod
    def of(cls, batch: Sequence[Records]) -> Micro:
        """Return the rows of a micro-batch."""
        values = batch[0].values if len(batch) == 1 else list(chain.from_iterable(r.values for r in batch))
        times = batch[0].timestamps if len(batch) == 1 else chain.from_iterable(r.timestamps for r in batch)
        bounds = [0, *accumulate(map(len, batch))]
        heavy = {
            low + at: error
            for low, part in zip(bounds[:-1], batch, strict=True)
            for at, error in _heavy(part)
        }
        return cls(batch, bounds, values, np.fromiter(times, np.int64, len(values)), heavy)

    def keys(self) -> Sequence[bytes | None]:
        """Return every row's key."""
        batch = self.batch
        return batch[0].keys if len(batch) == 1 else list(chain.from_iterable(r.keys for r in batch))


def _heavy(part: Records) -> Iterator[tuple[int, ServiceError]]:
    """Yield position and error of the records whose key and headers are too large to carry on."""
    most = max(map(len, filter(None, part.keys)), default=0)
    if most <= MAX_CARRIED_BYTES and not any(part.headers):
        return
    for at, (key, headers) in enumerate(zip(part.keys, part.headers, strict=True)):
        size = len(key or b"") + sum(len(name) + len(value or b"") for name, value in headers)
        if size > MAX_CARRIED_BYTES:
            yield at, DecodeError(f"key and headers are {size} bytes, the limit is {MAX_CARRIED_BYTES}")


@dataclass(slots=True)
class Routes:
    """Which rows are for which model.

    Attributes
    ----------
    rows
        By model, ascending; ``None`` for all rows.
    rejected
        Why, by row, for those that no served model can take.
    """

    rows: dict[str, list[int] | None] = field(default_factory=dict)
    rejected: dict[int, ServiceError] = field(default_factory=dict)


def route(values: Sequence[bytes | None], served: Collection[str]) -> Routes:
    """Return the rows for each model; one model takes them all, since its decoder looks at the name."""
    if len(served) == 1:
        return Routes({next(iter(served)): None})
    routes = Routes()
    rows: dict[str, list[int]] = {}
    names = sorted(served)
    for row, value in enumerate(values):
        try:
            name = _route(value or b"").model
        except NOT_JSON:
            name = names[0]  # any decoder will do: it finds the reason it is no event
        if name is not None and name in served:
            rows.setdefault(name, []).append(row)
        else:
            routes.rejected[row] = wrong_model(name, names)
    routes.rows.update(rows)
    return routes


def decode_rows(
    decoder: EventDecoder, micro: Micro, rows: list[int] | None, *, max_future: int
) -> tuple[DecodedEvents, Rows, dict[int, ServiceError]]:
    """Return the good events among ``rows``, the rows they are, and why the others were refused.

    Parameters
    ----------
    max_future
        Milliseconds by which ``occurred_at`` may lie after the record's own timestamp: a clock gone
        wrong must not close every window.
    """
    values = micro.values if rows is None else [micro.values[row] for row in rows]
    decoded = decoder.decode(values)
    where = np.arange(len(values)) if rows is None else np.array(rows, dtype=np.intp)
    rejected = {int(where[position]): error for position, error in decoded.rejected}
    kept = where if decoded.kept is None else where[np.array(decoded.kept, dtype=np.intp)]
    ahead = np.array(decoded.occurred_at, dtype=np.int64) - micro.timestamps[kept]
    wrong = ahead > max_future
    if micro.heavy:
        wrong |= np.isin(kept, list(micro.heavy))
    if not wrong.any():
        return decoded, kept, rejected
    for row, by in zip(kept[wrong].tolist(), ahead[wrong].tolist(), strict=True):
        text = f"occurred_at lies {by / 3_600_000:.1f} hours after the record was written"
        rejected[row] = micro.heavy.get(row) or ValidationError(text, field="occurred_at")
    good = np.flatnonzero(~wrong)
    return decoded.select(good.tolist()), kept[good], rejected
