"""A bounded sample of all rows so far, the same one however they came in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import Kind
from shared.drift.values import as_category, as_numbers

ROWS: Final = 16_384
"""Enough for 500 rows in every hour of the day."""
LEAST_ROWS: Final = 1_024
MAX_BYTES: Final = 1 << 20
_ROW_BYTES: Final = 16
_LONGEST_CATEGORY: Final = 100
_SPARE: Final = 1.25


class RowSample:
    """Keeps the rows with the smallest keys: where keys are as good as random, every row is as likely.

    Parameters
    ----------
    kinds
        Kind of each column.
    centres
        A value amid those of each numeric column: what is kept is the difference, in single precision.
    rows
        Rows to keep; left out, 16,384, or as many as take a mebibyte.

    Attributes
    ----------
    seen
        Rows so far.

    Examples
    --------
    >>> sample = RowSample({"x": "numeric"}, {}, rows=2)
    >>> sample.add(np.array([7, 3, 9], np.uint64), [0, 1, 2], {"x": [0.5, None, 2.5]})
    >>> sample.times().tolist(), sample.columns()["x"].tolist(), sample.seen
    ([0, 1], [0.5, nan], 3)
    """

    def __init__(self, kinds: Mapping[str, Kind], centres: Mapping[str, float], rows: int = 0) -> None:
        self._kinds = dict(kinds)
        self._numeric = [name for name, kind in kinds.items() if kind == "numeric"]
        self._centres = np.array([centres.get(name, 0.0) for name in self._numeric])
        self.rows = rows or max(LEAST_ROWS, min(ROWS, MAX_BYTES // (4 * len(kinds) + _ROW_BYTES)))
        self.seen = 0
        self._keys = np.empty(0, np.uint64)
        self._times = np.empty(0, np.int64)
        self._numbers = np.empty((len(self._numeric), 0), np.float32)
        self._categories: dict[str, list[str | None]] = {n: [] for n, k in kinds.items() if k != "numeric"}
        self._below: int | None = None
        self._in_order = True

    def __len__(self) -> int:
        return min(len(self._keys), self.rows)

    def wanted(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which rows may be kept: of the others nothing but the number needs to be known."""
        return np.ones(len(keys), np.bool_) if self._below is None else keys < np.uint64(self._below)

    def pass_over(self, rows: int) -> None:
        """Count rows that are not wanted."""
        self.seen += rows

    def add(
        self, keys: NDArray[np.uint64], times: Sequence[int], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Take rows in.

        Parameters
        ----------
        keys
            Of each row, no two alike, shape ``(n,)``.
        times
            Of each row, in any unit.
        columns
            Values, one column of length ``n`` per name.
        """
        self.seen += len(keys)
        numbers = np.array([as_numbers(columns[name]) for name in self._numeric]).reshape(-1, len(keys))
        with np.errstate(over="ignore"):
            single = (numbers - self._centres[:, None]).astype(np.float32)
        self._in_order = self._in_order and not len(keys)
        self._keys = np.concatenate([self._keys, keys])
        self._times = np.concatenate([self._times, np.array(times, np.int64)])
        self._numbers = np.concatenate([self._numbers, single], axis=1)
        for name, held in self._categories.items():
            held += [None if c is None else c[:_LONGEST_CATEGORY] for c in map(as_category, columns[name])]
        if len(self._keys) > _SPARE * self.rows:
            self._settle()

    def _settle(self) -> None:
        """Keep the rows with the smallest keys, in the order of their keys."""
        if self._in_order:
            return
        self._in_order = True
        order = np.argsort(self._keys)[: self.rows]
        self._keys, self._times = self._keys[order], self._times[order]
        self._numbers = self._numbers[:, order]
        for name, held in self._categories.items():
            self._categories[name] = [held[i] for i in order.tolist()]
        if len(self._keys) == self.rows:
            self._below = int(self._keys[-1])

    def times(self) -> NDArray[np.int64]:
        """Return the time of each row that is kept, ascending, shape ``(rows,)``."""
        self._settle()
        return self._times[np.argsort(self._times, kind="stable")]

    def columns(self) -> dict[str, Any]:
        """Return the values that are kept, in the order of time."""
        self._settle()
        order = np.argsort(self._times, kind="stable")
        numbers = self._numbers[:, order].astype(np.float64) + self._centres[:, None]
        found: dict[str, Any] = dict(zip(self._numeric, numbers, strict=True))
        places = order.tolist()
        found.update({name: [held[i] for i in places] for name, held in self._categories.items()})
        return {name: found[name] for name in self._kinds}

    def snapshot(self) -> bytes:
        """Return the state as bytes, equal for the same rows in any order."""
        self._settle()
        return msgspec.msgpack.encode(
            _State(
                self.rows,
                self.seen,
                self._keys.astype("<u8").tobytes(),
                self._times.astype("<i8").tobytes(),
                self._numbers.astype("<f4").tobytes(),
                self._categories,
            )
        )

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not the sample of such columns.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
            keys = np.frombuffer(state.keys, "<u8").astype(np.uint64)
            numbers = np.frombuffer(state.numbers, "<f4").astype(np.float32)
            numbers = numbers.reshape(len(self._numeric), len(keys))
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"the bytes are not a sample of these columns: {error}") from error
        if set(state.categories) != set(self._categories):
            raise ValueError("the bytes are a sample of other columns")
        self.rows, self.seen, self._keys, self._numbers = state.rows, state.seen, keys, numbers
        self._times = np.frombuffer(state.times, "<i8").astype(np.int64)
        self._categories = {name: list(values) for name, values in state.categories.items()}
        self._in_order = False
        self._settle()


class _State(msgspec.Struct, frozen=True, array_like=True):
    rows: int
    seen: int
    keys: bytes
    times: bytes
    numbers: bytes
    categories: dict[str, list[str | None]]
