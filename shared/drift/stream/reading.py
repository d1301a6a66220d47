"""Event and prediction bytes to columns of raw values; what is no event of the model is counted.

Unlike the scoring path this takes any value a feature may have: a wrong type, an unknown category or
a number out of range is exactly what a drift channel must see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.messages import OccurredAt, epoch_ms
from shared.messages.common import EpochMs, Score
from shared.messages.scoring import Source

Column = Sequence[Any] | NDArray[Any]

_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
_TYPES: Final[dict[str, Any]] = {"numeric": float, "categorical": str, "boolean": bool}


@dataclass(slots=True)
class Rows:
    """The usable rows of some records, as columns.

    Attributes
    ----------
    kept
        Position of each row among the records, ascending.
    occurred
        Event time, epoch milliseconds, shape ``(n,)``.
    columns
        One per channel.
    skipped
        ``(position, reason)`` of the other records.
    plain
        Whether every value has the type its channel expects, or is missing.
    """

    kept: NDArray[np.intp]
    occurred: NDArray[np.int64]
    columns: list[Column]
    skipped: list[tuple[int, str]] = field(default_factory=list)
    plain: bool = True

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def reasons(self) -> Counter[str]:
        """How many records were skipped, by reason."""
        return Counter(reason for _, reason in self.skipped)


class FeatureReader:
    """Reads the features of one model's events.

    Parameters
    ----------
    model
        Events that name another model are passed over, and not counted as skipped.
    features
        Name and kind of each, in order.
    max_future
        Milliseconds by which an event may lie after its record; what lies further is skipped, as the
        scoring path refuses it: a clock gone wrong must not move the windows.

    Examples
    --------
    >>> reader = FeatureReader("m", [("delay", "numeric")])
    >>> event = b'{"occurred_at": 5, "features": {"delay": 7}}'
    >>> reader.read([event], [9]).columns
    [array([7.])]
    >>> reader.read([event, b"?"], [9, 9]).skipped
    [(1, 'not an event')]
    """

    def __init__(
        self, model: str, features: Sequence[tuple[str, str]], *, max_future: int = 86_400_000
    ) -> None:
        self._model = model
        self._max_future = max_future
        self._strict = msgspec.json.Decoder(_event(features, strict=True)).decode
        self._lenient = msgspec.json.Decoder(_event(features, strict=False)).decode
        self._numeric = [kind == "numeric" for _, kind in features]
        self._get = [attrgetter(f"f{index}") for index in range(len(features))]

    def read(
        self,
        values: Sequence[bytes | None],
        timestamps: Sequence[int] | NDArray[np.int64],
        *,
        alone: bool = True,
    ) -> Rows:
        """Return the rows of these records; never raises for a bad one.

        Parameters
        ----------
        timestamps
            Of the records, epoch milliseconds.
        alone
            Whether events that name no model are this one's.
        """
        skipped: list[tuple[int, str]] = []
        kept: Any = range(len(values))
        plain = True
        try:
            events = list(map(self._strict, values))  # type: ignore[arg-type]
        except _NOT_JSON:
            plain = False
            events, kept = self._one_by_one(values, skipped)
        times = [event.occurred_at for event in events]
        occurred = np.array(times if set(map(type, times)) <= {int} else list(map(epoch_ms, times)), np.int64)
        models: set[str | None] = {self._model, None} if alone else {self._model}
        good = self._belongs(events, kept, occurred, np.asarray(timestamps, np.int64), skipped, models)
        if good is not None:
            events = [events[i] for i in good.tolist()]
            kept, occurred = np.asarray(kept, np.intp)[good], occurred[good]
        features = [event.features for event in events]
        columns: list[Column] = []
        for get, numeric in zip(self._get, self._numeric, strict=True):
            column = list(map(get, features))
            columns.append(np.array(column, np.float64) if numeric and plain else column)
        return Rows(np.asarray(kept, np.intp), occurred, columns, sorted(skipped), plain)

    def _one_by_one(
        self, values: Sequence[bytes | None], skipped: list[tuple[int, str]]
    ) -> tuple[list[Any], list[int]]:
        events, kept = [], []
        for position, value in enumerate(values):
            try:
                events.append(self._lenient(value or b""))
                kept.append(position)
            except _NOT_JSON:
                skipped.append((position, "not an event"))
        return events, kept

    def _belongs(
        self,
        events: list[Any],
        kept: Sequence[int],
        occurred: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        skipped: list[tuple[int, str]],
        models: set[str | None],
    ) -> NDArray[np.intp] | None:
        """Return which events are the model's and of a credible time; None where all are."""
        strangers = (
            [i for i, event in enumerate(events) if event.model not in models]
            if not {event.model for event in events} <= models
            else []
        )
        at = np.asarray(kept, np.intp)
        future = np.flatnonzero(occurred > np.maximum(timestamps[at], 0) + self._max_future).tolist()
        if not strangers and not future:
            return None
        skipped += [(int(at[i]), "from the future") for i in sorted(set(future) - set(strangers))]
        good = np.ones(len(events), np.bool_)
        good[[*strangers, *future]] = False
        return np.flatnonzero(good)


def _event(features: Sequence[tuple[str, str]], *, strict: bool) -> Any:
    """Return the struct an event is decoded into: typed channels, or any value at all."""
    fields = [
        (f"f{index}", _TYPES[kind] | None if strict else Any, None)
        for index, (_, kind) in enumerate(features)
    ]
    rename = {f"f{index}": name for index, (name, _) in enumerate(features)}
    inner = msgspec.defstruct("features", fields, rename=rename.get, gc=False)
    return msgspec.defstruct(
        "event",
        [("features", inner), ("occurred_at", OccurredAt), ("model", str | None, None)],
        gc=False,
    )


class _Prediction(msgspec.Struct, gc=False):
    """The fields of a prediction that the channels need; a canary's answers are its own version's."""

    model: str
    model_version: str
    score: Score
    occurred_at: EpochMs
    source: Source
    label: str | None = None


_prediction = msgspec.json.Decoder(_Prediction).decode


@dataclass(slots=True)
class PredictionRows:
    """The predictions among some records, as columns.

    Attributes
    ----------
    kept
        Position of each among the records, ascending.
    models, versions
        What answered.
    source_offsets
        Offset of the event each one answers, in the event's partition.
    """

    kept: NDArray[np.intp]
    models: list[str]
    versions: list[str]
    source_offsets: NDArray[np.int64]
    occurred: NDArray[np.int64]
    scores: NDArray[np.float64]
    labels: list[str | None]
    skipped: list[tuple[int, str]] = field(default_factory=list)


def read_predictions(values: Sequence[bytes | None]) -> PredictionRows:
    """Return the predictions of these records; what is none is skipped."""
    kept: Any = range(len(values))
    skipped: list[tuple[int, str]] = []
    try:
        found = list(map(_prediction, values))  # type: ignore[arg-type]
    except _NOT_JSON:
        found, kept = [], []
        for position, value in enumerate(values):
            try:
                found.append(_prediction(value or b""))
                kept.append(position)
            except _NOT_JSON:
                skipped.append((position, "not a prediction"))
    return PredictionRows(
        kept=np.asarray(kept, np.intp),
        models=[one.model for one in found],
        versions=[one.model_version for one in found],
        source_offsets=np.array([one.source.offset for one in found], np.int64),
        occurred=np.array([one.occurred_at for one in found], np.int64),
        scores=np.array([one.score for one in found], np.float64),
        labels=[one.label for one in found],
        skipped=skipped,
    )
