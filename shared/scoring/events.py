"""Event bytes to typed columns: one decode call per event validates everything the model declares.

The decoder is compiled from ``model.toml``: a struct with one typed field per feature, so that
type, presence, range and category are checked in C while the bytes are parsed. Only a record that
fails is looked at a second time, in Python, to find the sentence that names the field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import DecodeError, ServiceError, ValidationError
from shared.messages import NOT_JSON, EntityId, EventId, OccurredAt, epoch_ms
from shared.scoring.diagnosis import bounds, explain
from shared.scoring.matrix import Column

MAX_EVENT_BYTES = 1 << 20
"""Largest event accepted, in bytes; Kafka's own default limit of a message."""

Columns = list[Column]
"""One column per feature, in the model's order."""


@dataclass(slots=True)
class DecodedEvents:
    """The good events of a micro-batch as columns, and what was wrong with the others.

    Attributes
    ----------
    kept
        Position in the micro-batch of each good event, ascending; ``None`` when all are good.
    event_ids, entity_ids, occurred_at
        One entry per good event; ``occurred_at`` in epoch milliseconds.
    features
        One column per feature, each with one value per good event.
    rejected
        ``(position, error)`` of each bad event, ascending.
    """

    kept: list[int] | None
    event_ids: Sequence[str]
    entity_ids: Sequence[str | None]
    occurred_at: list[int]
    features: Columns
    rejected: list[tuple[int, ServiceError]]

    def __len__(self) -> int:
        return len(self.event_ids)

    def select(self, rows: list[int]) -> DecodedEvents:
        """Return the same with only ``rows`` (positions among the good events)."""
        kept = self.kept if self.kept is not None else range(len(self))
        return DecodedEvents(
            kept=[kept[row] for row in rows],
            event_ids=[self.event_ids[row] for row in rows],
            entity_ids=[self.entity_ids[row] for row in rows],
            occurred_at=[self.occurred_at[row] for row in rows],
            features=[[column[row] for row in rows] for column in self.features],
            rejected=self.rejected,
        )


class EventDecoder:
    """Decodes events for one model.

    Parameters
    ----------
    spec
        The model whose features the events must carry.
    max_bytes
        Larger events are refused unread.

    Examples
    --------
    >>> from shared.bundle.spec import OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="hour", min=0, max=23),))
    >>> good = b'{"event_id": "a", "occurred_at": 5, "features": {"hour": 7}}'
    >>> decoded = EventDecoder(spec).decode([good, good.replace(b"7", b"77")])
    >>> decoded.event_ids, decoded.features
    (['a'], [array([7.])])
    >>> print(decoded.rejected[0][1])
    features.hour is 77, above the declared maximum 23
    """

    def __init__(self, spec: ModelSpec, *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._spec = spec
        self._max_bytes = max_bytes
        self._columns_of: Callable[[list[Any]], Columns] = (
            partial(_numbers, len(spec.features)) if _all_numbers(spec) else _any_kind(spec)
        )
        self._decode = msgspec.json.Decoder(event_type(spec)).decode

    def decode(self, values: Sequence[bytes | None]) -> DecodedEvents:
        """Return the columns of all good events among ``values``; never raises for a bad one."""
        try:
            if max(map(len, values), default=0) > self._max_bytes:  # type: ignore[arg-type]
                return self._decode_one_by_one(values)
            events = list(map(self._decode, values))  # type: ignore[arg-type]
        except (*NOT_JSON, TypeError):  # TypeError: a null value
            return self._decode_one_by_one(values)
        decoded = self._columns(events, None, [])
        if min(decoded.occurred_at, default=0) < 0:
            return self._decode_one_by_one(values)
        return decoded

    def _decode_one_by_one(self, values: Sequence[bytes | None]) -> DecodedEvents:
        events, kept, rejected = [], [], []
        for position, value in enumerate(values):
            try:
                events.append(self._decode_one(value))
                kept.append(position)
            except ServiceError as error:
                rejected.append((position, error))
        return self._columns(events, kept, rejected)

    def _decode_one(self, value: bytes | None) -> Any:
        if value is None:
            raise DecodeError("the record has no value (a tombstone), an event is a JSON object")
        if len(value) > self._max_bytes:
            raise DecodeError(f"the event is {len(value)} bytes, the limit is {self._max_bytes}")
        try:
            event = self._decode(value)
        except NOT_JSON as error:
            raise explain(value, self._spec, str(error)) from error
        if epoch_ms(event.occurred_at) < 0:  # a string: of a number the decoder knows the bound
            raise ValidationError(f"occurred_at is {event.occurred_at}, before 1970", field="occurred_at")
        return event

    def _columns(
        self, events: list[Any], kept: list[int] | None, rejected: list[tuple[int, ServiceError]]
    ) -> DecodedEvents:
        features = [event.features for event in events]
        times = [event.occurred_at for event in events]
        return DecodedEvents(
            kept=kept,
            event_ids=[event.event_id for event in events],
            entity_ids=[event.entity_id for event in events],
            occurred_at=times if set(map(type, times)) <= {int} else [epoch_ms(time) for time in times],
            features=self._columns_of(features),
            rejected=rejected,
        )


def wrong_model(model: str | None, served: Sequence[str]) -> ValidationError:
    """Return the error for an event whose ``model`` this service does not serve."""
    if model is None:
        text = f"model is missing, and this service serves several: {', '.join(served)}"
    else:
        text = f"model is {model!r}, which is not served here (served: {', '.join(served)})"
    return ValidationError(text, field="model")


def event_type(spec: ModelSpec) -> Any:
    """Return the struct that decodes an event of this model, features typed and constrained."""
    fields: list[Any] = []
    rename: dict[str, str] = {}
    for index, feature in enumerate(spec.features):
        attribute = f"f{index}"  # a feature's name need not be a Python identifier
        rename[attribute] = feature.name
        kind = _feature_type(feature)
        fields.append((attribute, kind | None, None) if feature.nullable else (attribute, kind))
    features = msgspec.defstruct(
        "features", fields, rename=rename.get, forbid_unknown_fields=True, gc=False, kw_only=True
    )
    return msgspec.defstruct(
        "event",
        [
            ("event_id", EventId),
            ("features", features),
            ("occurred_at", OccurredAt),
            ("model", Literal[spec.name] | None, None),  # left out where one model is served
            ("entity_id", EntityId | None, None),
        ],
        gc=False,
    )


_ARRAYS: dict[str, Any] = {"float32": np.float64, "float64": np.float64, "int64": np.int64, "bool": np.bool_}
"""A float32 feature is parsed as float64 and rounded once, on its way into the graph."""


def _all_numbers(spec: ModelSpec) -> bool:
    """Return whether every feature is a number that cannot be missing."""
    return all(
        feature.kind == "numeric" and not feature.nullable and _ARRAYS.get(feature.dtype) is np.float64
        for feature in spec.features
    )


def _numbers(width: int, features: list[Any]) -> Columns:
    """Return the columns of events that carry numbers only, row by row: twice as fast as one at a time."""
    rows = chain.from_iterable(map(msgspec.structs.astuple, features))
    return list(np.fromiter(rows, np.float64, len(features) * width).reshape(len(features), width).T)


def _any_kind(spec: ModelSpec) -> Callable[[list[Any]], Columns]:
    """Return what gathers the features of any kind, one after the other."""
    gather = [_extractor(index, feature) for index, feature in enumerate(spec.features)]
    return lambda features: [column(features) for column in gather]


def _extractor(index: int, feature: FeatureSpec) -> Callable[[list[Any]], Column]:
    """Return what gathers one feature of many decoded events into a column."""
    get = attrgetter(f"f{index}")
    if feature.nullable or feature.kind == "categorical":
        return lambda features: list(map(get, features))
    dtype = np.bool_ if feature.kind == "boolean" else _ARRAYS[feature.dtype]
    return lambda features: np.fromiter(map(get, features), dtype, len(features))


def _feature_type(feature: FeatureSpec) -> Any:
    if feature.kind == "boolean":
        return bool
    if feature.kind == "categorical":
        closed = feature.categories is not None and feature.unknown == "reject"
        return Literal[feature.categories] if closed else str
    low, high = bounds(feature)
    if feature.dtype == "int64":
        # msgspec wants whole bounds for an integer; these admit the same integers.
        return Annotated[int, msgspec.Meta(ge=math.ceil(low), le=math.floor(high))]
    return Annotated[float, msgspec.Meta(ge=low, le=high)]
