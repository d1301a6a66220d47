"""What services log of what happens to them: with trace, model and place, as docs/logs.md promises."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from services.drift.process import CountStep
from services.drift.watching import Watchlist
from services.performance.metrics import PerformanceMetrics
from services.performance.routing import RouteStep
from shared.drift.stream.partials import encode_partial
from shared.drift.stream.telling import AlarmLog
from shared.kafka.records import Output, Records
from shared.messages import DriftMoment, Source
from shared.reports import decode_report, reports_output
from shared.topics import TopicNames
from shared.tracing import trace_of
from tests.captured_logs import captured_logs
from tests.unit.services.alerting.test_exposition import drift_report
from tests.unit.shared.drift.stream.streams import baseline, partitions, told_by, watched

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
NOW = 1_700_000_000_000
HOUR = 3_600_000
PREDICTION = {
    "event_id": "e1", "model": "m", "model_version": "1", "score": 0.25, "occurred_at": NOW + 100 * HOUR,
    "scored_at": NOW, "source": {"topic": "events", "partition": 0, "offset": 3},
}  # fmt: skip


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    with captured_logs("a-service", monkeypatch) as stream:
        yield stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def records(topic: str, *values: bytes, offset: int = 40) -> Records:
    count = len(values)
    offsets = range(offset, offset + count)
    return Records(
        topic, 2, offset, offset + count, offsets, [NOW] * count, [b"k"] * count, values, [[TRACE]] * count
    )


@pytest.mark.parametrize(
    ("topic", "value", "fields"),
    [
        ("labels", b"{", {"reason": "DecodeError", "field": None}),
        (
            "predictions",
            msgspec.json.encode(PREDICTION),
            {"reason": "ValidationError", "field": "occurred_at", "model": "m"},
        ),
    ],
)
def test_performance_says_what_it_refused(
    stream: io.StringIO, topic: str, value: bytes, fields: dict[str, Any]
) -> None:
    step = RouteStep(
        TopicNames(), PerformanceMetrics(CollectorRegistry()), partitions=1, by_entity=lambda *_: True,
        clock=lambda: NOW, idle_after=1_000, grace=0, max_future=HOUR,
    )  # fmt: skip
    step.open(topic, 2, 0, None)
    work = step.decode([records(topic, value)])
    step.compute(work)
    (letter,) = [one for one in step.encode(work, 0) if one.topic == "dead-letters"]
    assert letter.values == [value]
    (line,) = lines(stream)
    where = {"topic": topic, "partition": 2, "offset": 40, "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert line.items() >= ({"event": "record refused"} | fields | where).items()


@pytest.mark.parametrize(
    ("topic", "reason"), [("events", "not an event"), ("predictions", "not a prediction")]
)
def test_drift_says_what_it_did_not_count(stream: io.StringIO, topic: str, reason: str) -> None:
    watchlist = Watchlist()
    watchlist.put(watched(baseline()))
    step = CountStep(
        watchlist, TopicNames(), DriftMetrics(CollectorRegistry()), idle=1_000, clock=lambda: NOW
    )
    step.decode([records(topic, b"{", b"{")])
    (line,) = lines(stream)
    where = {"topic": topic, "partition": 2, "offset": 40, "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert line.items() >= ({"event": "record not counted", "reason": reason} | where).items()
    assert line.get("model") == ("m" if topic == "events" else None)


def test_a_drift_alarm_is_logged_once_under_the_trace_of_its_report_and_so_is_its_end(
    stream: io.StringIO,
) -> None:
    report = drift_report()
    (channel, other), log = report.channels, AlarmLog()
    assert channel.alarm is not None
    over = DriftMoment(events=900, occurred_at=9_000, source=Source("events", 1, 77))
    again = msgspec.structs.replace(channel.alarm, times=4)
    cleared = msgspec.structs.replace(again, cleared=over)
    reports = [
        msgspec.structs.replace(
            report,
            next_offset=report.next_offset + n,
            channels=(msgspec.structs.replace(channel, alarm=alarm), other),
        )
        for n, alarm in enumerate((channel.alarm, again, cleared, cleared))
    ]
    outputs = [reports_output("reports", 0, [one]) for one in reports]
    for one, output in zip(reports, outputs, strict=True):
        log.tell([one], output)
    raised, ended = lines(stream)
    about = {
        "model": "m",
        "model_version": "1",
        "channel": "dep_delay",
        "change": "location",
        "topic": "events",
    }
    assert raised.items() >= ({"event": "drift alarm", "partition": 0, "offset": 9} | about).items()
    assert ended.items() >= ({"event": "drift alarm over", "partition": 1, "offset": 77} | about).items()
    assert [raised["trace_id"], ended["trace_id"]] == [trace_id(outputs[0]), trace_id(outputs[2])]


def trace_id(output: Output) -> str:
    trace = trace_of((output.headers or [[]])[0])
    assert trace is not None
    return trace.trace_id


def test_the_drift_service_logs_the_alarms_of_the_reports_it_writes(stream: io.StringIO) -> None:
    (told,) = told_by(watched(baseline()), partitions(4_000, 1), random.Random(1))
    topic = TopicNames().drift_counts
    values = [encode_partial(one) for one in told]
    step = MergeStep(
        TopicNames(), DriftMetrics(CollectorRegistry()), clock=lambda: NOW, report_interval=1_000
    )
    step.open(topic, 0, 0, None)
    batch = Records(topic, 0, 0, len(values), range(len(values)), *([[None] * len(values)] * 2), values, [])
    outputs = [*step.encode(step.decode([batch]), 0), *step.flush(topic, 0, leaving=True)]
    said = lines(stream)
    reports = [decode_report(bytes(value)) for output in outputs for value in output.values]
    alarming = {channel.name for report in reports for channel in report.channels if channel.alarming}  # type: ignore[union-attr]
    assert alarming
    assert {line["channel"] for line in said} == alarming
    assert len(said) == len(alarming)
    traces = {trace.trace_id for o in outputs for h in o.headers or () if (trace := trace_of(h))}
    assert {line["trace_id"] for line in said} <= traces
