"""The two sides of a partition, each in the order of its events' offsets, and how they are put together.

Candidate and champion answer the events of a partition in their order, so a merge joins them: what both
have gone past is settled, whoever of them was first and however their records were cut into batches.
Nothing is settled by time, and so nothing by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ANSWERED: Final = 0
REASONS: Final = (
    "", "DecodeError", "ValidationError", "ProcessError", "WrongShape", "Timeout", "Crash", "Unavailable",
)  # fmt: skip
"""What an :attr:`Asked.status` says: 0 for an answer, else why there is none."""

Key = tuple[str, str, int]
"""Model, version and basis: one candidate in one comparison."""

Spent = tuple[int, float]
"""Events, and the seconds of processor time that a model spent on them."""

FALLBACK: Final = 2

NOTHING: Final = -1
"""Code of a label that there is not."""


class Texts(msgspec.Struct):
    """Texts of many events: each different one once, and which of them every event has.

    Attributes
    ----------
    values
        None is the text of events whose value is missing or could not be read.
    codes
        Positions among the values; shape ``(n,)``.
    """

    values: list[str | None]
    codes: npt.NDArray[np.int32]

    def take(self, which: Any) -> Texts:
        """Return the texts of the chosen events."""
        return Texts(self.values, self.codes[which]).compact()

    def compact(self) -> Texts:
        """Return the same without values that no event has, where there are many: they are kept with it."""
        if len(self.values) <= _FEW_VALUES:
            return self
        used, codes = np.unique(self.codes, return_inverse=True)
        return Texts([self.values[code] for code in used.tolist()], codes.astype(np.int32))

    def at(self, row: int) -> str | None:
        """Return one event's text."""
        return self.values[int(self.codes[row])]

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> Texts:
        """Return texts coded.

        Examples
        --------
        >>> Texts.of(["UA", None, "UA"]).codes.tolist()
        [0, 1, 0]
        """
        order = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        return cls(list(order), np.fromiter(map(order.__getitem__, texts), np.int32, len(texts)))


_FEW_VALUES: Final = 64


class Asked(msgspec.Struct):
    """What one candidate was asked in a stretch of a partition; one entry per event, in order.

    Attributes
    ----------
    basis
        The registry's revision at which the comparison began.
    window
        Length of the model's windows, milliseconds.
    regression
        Whether the scores are values of an unknown range rather than probabilities.
    offsets
        Of the events.
    status
        Index into :data:`REASONS`.
    scores
        NaN where there is no answer.
    labels
        Codes of the decided labels, by :class:`Names`.
    occurred_at
        Event time; negative where it could not be read.
    timestamps
        The record's own time.
    scored_at
        When the micro-batch was scored.
    event_ids
        Empty where they could not be read.
    segments
        By feature, one text per event: how former releases kept ``texts``. Read, never written.
    texts
        By feature: the events' values as texts.
    """

    model: str
    version: str
    window: int
    regression: bool
    offsets: Ints
    status: npt.NDArray[np.uint8]
    scores: Floats
    labels: Ints
    occurred_at: Ints
    timestamps: Ints
    scored_at: Ints
    event_ids: list[str]
    segments: dict[str, list[str | None]] = {}
    basis: int = 0
    texts: dict[str, Texts] = {}

    def __post_init__(self) -> None:
        """Code the texts that a former release has left in the state."""
        if self.segments:
            self.texts = {name: Texts.of(texts) for name, texts in self.segments.items()}
            self.segments = {}

    @property
    def key(self) -> Key:
        """Who was asked, and in which comparison."""
        return self.model, self.version, self.basis

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, first: int, last: int) -> Asked:
        """Return the entries ``first`` to ``last``."""
        if first == 0 and last >= len(self):
            return self
        here = slice(first, last)
        return Asked(
            self.model,
            self.version,
            self.window,
            self.regression,
            self.offsets[here],
            self.status[here],
            self.scores[here],
            self.labels[here],
            self.occurred_at[here],
            self.timestamps[here],
            self.scored_at[here],
            self.event_ids[here],
            basis=self.basis,
            texts={name: texts.take(here) for name, texts in self.texts.items()},
        )

    def split(self, bound: int) -> tuple[Asked | None, Asked | None]:
        """Return the entries below the offset ``bound`` and the others, None for none."""
        at = int(np.searchsorted(self.offsets, bound))
        return self.part(0, at) if at else None, self.part(at, len(self)) if at < len(self) else None


class Answered(msgspec.Struct):
    """What was answered in the champion's place, in the order of the events' offsets.

    Attributes
    ----------
    models, versions, labels
        Codes, by :class:`Names`.
    canary
        1 where a candidate answered; where one could not, so that the champion did, :data:`FALLBACK` and the
        code of its version; else 0.
    """

    offsets: Ints
    models: Ints
    versions: Ints
    labels: Ints
    scores: Floats
    scored_at: Ints
    canary: Ints

    @classmethod
    def none(cls) -> Answered:
        """Return no entries."""
        ints = np.empty(0, dtype=np.int64)
        return cls(ints, ints, ints, ints, np.empty(0), ints, ints)

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, which: Any) -> Answered:
        """Return the chosen entries."""
        return Answered(*(getattr(self, name)[which] for name in self.__struct_fields__))

    def followed_by(self, more: Answered) -> Answered:
        """Return these entries and more."""
        if not len(self):
            return more
        return Answered(
            *(np.concatenate((getattr(self, f), getattr(more, f))) for f in self.__struct_fields__)
        )


class Names:
    """Small numbers for names that come again and again: models, versions, labels."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.known = list(known)
        self._codes: dict[str | None, int] = {name: code for code, name in enumerate(self.known)}
        self._codes[None] = NOTHING

    def code(self, name: str | None) -> int:
        """Return a name's number."""
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.known)
            self.known.append(str(name))
        return code

    def codes(self, names: Sequence[str | None]) -> Ints:
        """Return the numbers of names; shape ``(n,)``."""
        different = set(names)
        for name in different:
            self.code(name)
        if len(different) == 1:
            return np.full(len(names), self._codes[names[0]])
        return np.fromiter(map(self._codes.__getitem__, names), np.int64, len(names))


def joined(asked: Asked, answered: Answered) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return for each entry of ``asked`` which of ``answered`` is its event's, and whether there is one.

    Examples
    --------
    >>> def at(*offsets): return np.array(offsets, dtype=np.int64)
    >>> answers = Answered.none()
    >>> answers.offsets = at(2, 3, 7)
    >>> asked = Asked("m", "2", 1, False, at(1, 3, 7, 9), *[at()] * 6, [])
    >>> where, found = joined(asked, answers)
    >>> found.tolist(), where[found].tolist()
    ([False, True, True, False], [1, 2])
    """
    if not len(answered):
        return np.zeros(len(asked), dtype=np.int64), np.zeros(len(asked), dtype=np.bool_)
    where = np.minimum(np.searchsorted(answered.offsets, asked.offsets), len(answered) - 1)
    return where, answered.offsets[where] == asked.offsets


def encode_array(value: Any) -> Any:
    """Return an array as MessagePack can hold it (an ``enc_hook``): type, bytes, and the shape of a table.

    Whole numbers in a table are counts: they take as few bytes as the largest of them needs.
    """
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(type(value))
    if value.ndim == 1:
        return value.dtype.str, value.tobytes()
    if value.dtype == np.int64:
        value = value.astype(np.min_scalar_type(int(value.max(initial=0))))
    return value.dtype.str, value.tobytes(), value.shape


def decode_array(_kind: type, value: Any) -> Any:
    """Return the array again (a ``dec_hook``)."""
    dtype, raw, *shape = value
    array = np.frombuffer(raw, dtype=dtype)
    if not shape:
        return array.copy()
    table = array.reshape(shape[0])
    return table.astype(np.int64 if table.dtype.kind in "iu" else table.dtype)
