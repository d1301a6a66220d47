"""Every kind of bad event names its field; every good one of the same micro-batch is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.errors import DecodeError, ValidationError
from shared.scoring.events import EventDecoder

SPEC = ModelSpec(
    name="flights",
    version="1",
    task="regression",
    output=OutputSpec(score="y"),
    features=(
        FeatureSpec(name="delay", min=-60, max=2000),
        FeatureSpec(name="wind speed", nullable=True),
        FeatureSpec(name="carrier", kind="categorical", categories=("AA", "UA")),
        FeatureSpec(name="dest", kind="categorical", categories=("LAX",), unknown="missing", nullable=True),
        FeatureSpec(name="holiday", kind="boolean"),
        FeatureSpec(name="hour", dtype="int64", min=0, max=23),
        FeatureSpec(name="seats", dtype="int64"),
        FeatureSpec(name="weight"),
    ),
)
FEATURES: dict[str, Any] = {
    "delay": 5,
    "wind speed": None,
    "carrier": "AA",
    "dest": "XNA",
    "holiday": False,
    "hour": 7,
    "seats": 180,
    "weight": 1e38,
}


def event(**changes: Any) -> bytes:
    return json.dumps({"event_id": "a", "occurred_at": 5, "features": FEATURES} | changes).encode()


def with_feature(name: str, value: Any) -> bytes:
    return event(features=FEATURES | {name: value})


def without(name: str) -> bytes:
    return event(features={k: v for k, v in FEATURES.items() if k != name})


BAD = {
    "not JSON": (b"{", DecodeError, None, "not JSON"),
    "not UTF-8": (b'{"event_id": "\xff"}', DecodeError, None, "UTF-8"),
    "tombstone": (None, DecodeError, None, "no value"),
    "array": (b"[1]", DecodeError, None, "array"),
    "empty": (b"", DecodeError, None, "not JSON"),
    "trailing": (event() + b"x", DecodeError, None, "not JSON"),
    "deep": (b"[" * 100_000, DecodeError, None, "nested too deeply"),
    "no id": (b'{"occurred_at": 1, "features": {}}', ValidationError, "event_id", "event_id is missing"),
    "empty id": (event(event_id=""), ValidationError, "event_id", "length >= 1"),
    "number id": (event(event_id=4), ValidationError, "event_id", "event_id is 4"),
    "no time": (
        json.dumps({"event_id": "a", "features": FEATURES}).encode(),
        ValidationError,
        "occurred_at",
        "missing",
    ),
    "naive time": (event(occurred_at="2013-01-01T00:00:00"), ValidationError, "occurred_at", "timezone"),
    "wrong time": (event(occurred_at="yesterday"), ValidationError, "occurred_at", "yesterday"),
    "negative time": (event(occurred_at=-1), ValidationError, "occurred_at", ">= 0"),
    "before 1970": (
        event(occurred_at="1969-12-31T00:00:00Z"),
        ValidationError,
        "occurred_at",
        "before 1970",
    ),
    "no 64-bit integer": (
        with_feature("seats", 2**63),
        ValidationError,
        "features.seats",
        "too large for a 64-bit integer",
    ),
    "no 32-bit float": (
        with_feature("weight", -1e39),
        ValidationError,
        "features.weight",
        "too large for a 32-bit float",
    ),
    "no features": (
        b'{"event_id": "a", "occurred_at": 1}',
        ValidationError,
        "features",
        "features is missing",
    ),
    "features a list": (event(features=[1]), ValidationError, "features", "array"),
    "missing": (without("delay"), ValidationError, "features.delay", "is missing"),
    "unknown": (
        with_feature("colour", 1),
        ValidationError,
        "features.colour",
        "not a feature of model flights",
    ),
    "wrong type": (with_feature("delay", "5"), ValidationError, "features.delay", "expected a number"),
    "boolean for number": (
        with_feature("delay", True),
        ValidationError,
        "features.delay",
        "expected a number",
    ),
    "null": (with_feature("delay", None), ValidationError, "features.delay", "not nullable"),
    "below": (
        with_feature("delay", -61),
        ValidationError,
        "features.delay",
        "below the declared minimum -60",
    ),
    "above": (
        with_feature("delay", 2001),
        ValidationError,
        "features.delay",
        "above the declared maximum 2000",
    ),
    "category": (with_feature("carrier", "ZZ"), ValidationError, "features.carrier", '"ZZ"'),
    "category type": (with_feature("carrier", 1), ValidationError, "features.carrier", "expected a string"),
    "NaN": (with_feature("delay", float("nan")), ValidationError, "features.delay", "NaN"),
    "infinite": (
        event().replace(b'"delay": 5', b'"delay": 1e999'),
        ValidationError,
        "features.delay",
        "too large",
    ),
    "not whole": (with_feature("hour", 7.5), ValidationError, "features.hour", "whole number"),
    "boolean": (with_feature("holiday", 1), ValidationError, "features.holiday", "true or false"),
    "model": (event(model="trains"), ValidationError, "model", "not served here (served: flights)"),
    "model and features": (
        json.dumps({"event_id": "a", "occurred_at": 1, "model": "trains", "features": {"x": 1}}).encode(),
        ValidationError,
        "model",
        "trains",
    ),
    "lone surrogate": (
        b'{"event_id": "\\ud800", "occurred_at": 1, "features": {}}',
        DecodeError,
        None,
        "UTF-8",
    ),
    "too large": (event(event_id="a" * 3000), DecodeError, None, "the limit is 2000"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_event_is_refused_by_name_and_its_neighbours_are_kept(name: str) -> None:
    value, kind, field, text = BAD[name]
    decoded = EventDecoder(SPEC, max_bytes=200_000 if name == "deep" else 2000).decode(
        [event(event_id="first"), value, event(event_id="last")]
    )
    assert list(decoded.event_ids) == ["first", "last"]
    assert decoded.kept == [0, 2]
    ((position, error),) = decoded.rejected
    assert position == 1
    assert type(error) is kind
    assert error.field == field
    assert text in str(error)


def test_good_events_come_out_as_columns_in_the_models_order() -> None:
    values = [event(), event(event_id="b", entity_id="N1", occurred_at="2013-01-01T05:15:00-05:00")]
    decoded = EventDecoder(SPEC).decode(values)
    assert decoded.kept is None
    assert decoded.rejected == []
    assert list(decoded.entity_ids) == [None, "N1"]
    assert decoded.occurred_at == [5, 1357035300000]
    assert [list(column) for column in decoded.features] == [
        [5.0, 5.0],
        [None, None],
        ["AA", "AA"],
        ["XNA", "XNA"],
        [False, False],
        [7, 7],
        [180, 180],
        [1e38, 1e38],
    ]


def test_numbers_alone_come_out_in_the_models_order_too() -> None:
    features = tuple(FeatureSpec(name=name) for name in ("z", "a b", "m"))
    spec = ModelSpec(
        name="n", version="1", task="regression", output=OutputSpec(score="y"), features=features
    )
    raw = [b'{"event_id":"e","occurred_at":5,"features":{"m":%d,"z":1,"a b":2.5}}' % m for m in (3, 4)]
    decoder = EventDecoder(spec)

    assert [column.tolist() for column in decoder.decode(raw).features] == [
        [1.0, 1.0],
        [2.5, 2.5],
        [3.0, 4.0],
    ]
    assert [column.tolist() for column in decoder.decode([b"{", raw[1]]).features] == [[1], [2.5], [4]]
    assert [len(column) for column in decoder.decode([b"{"]).features] == [0, 0, 0]


def test_an_absent_nullable_feature_is_null() -> None:
    assert EventDecoder(SPEC).decode([without("wind speed")]).features[1] == [None]


def test_unknown_fields_outside_features_are_let_through() -> None:
    assert len(EventDecoder(SPEC).decode([event(source="web", nested={"a": [1]})])) == 1


def test_several_problems_are_told_at_once() -> None:
    (_, error), *_ = EventDecoder(SPEC).decode([event(event_id=4, features={})]).rejected
    assert str(error).startswith("event_id is 4")
    assert "features.delay is missing" in str(error)
    assert "(and 4 more)" in str(error)
