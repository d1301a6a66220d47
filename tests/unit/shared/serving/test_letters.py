"""Refused records: one log line each kind, under the record's own trace, and no flood."""

from __future__ import annotations

import io
from collections.abc import Iterator

import orjson
import pytest

from shared.errors import DecodeError, ServiceError, ValidationError
from shared.kafka.records import Records
from shared.serving.letters import dead_letters
from tests.captured_logs import captured_logs

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with captured_logs("inference", monkeypatch) as stream:
        yield stream


def refuse(*errors: ServiceError) -> None:
    count = len(errors)
    records = Records(
        "events", 3, 40, 40 + count, range(40, 40 + count), [0] * count,
        [b"k"] * count, [b'{"card": "4111"}'] * count, [[TRACE]] + [[]] * (count - 1),
    )  # fmt: skip
    refused = list(enumerate(errors))
    dead_letters("dead-letters", records, refused, service="inference", now=1, models={0: "flights"})


def test_a_refused_record_is_one_line_with_its_place_and_trace_but_not_its_content(
    stream: io.StringIO,
) -> None:
    refuse(ValidationError("card is 4111, which is no card", field="features.card"))
    text = stream.getvalue()
    line = orjson.loads(text)
    assert line.pop("ts")
    assert line == {
        "level": "warning",
        "service": "inference",
        "logger": "shared.refusals",
        "event": "record refused",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "reason": "ValidationError",
        "field": "features.card",
        "model": "flights",
        "topic": "events",
        "partition": 3,
        "offset": 40,
        "held_back": 0,
    }
    assert "4111" not in text


def test_a_stream_of_refused_records_is_a_line_per_reason_and_field(stream: io.StringIO) -> None:
    bad = [ValidationError("x", field=f"features.f{number % 2}") for number in range(5_000)]
    refuse(*bad, *(DecodeError("x") for _ in range(5_000)))
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["reason"], line["field"], line["offset"]) for line in lines] == [
        ("ValidationError", "features.f0", 40),
        ("ValidationError", "features.f1", 41),
        ("DecodeError", None, 5_040),
    ]
    assert "trace_id" not in lines[1]
