"""The inference step without a broker: what goes in comes out once, in order, scored or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.inference.metrics import InferenceMetrics
from services.inference.process import InferenceStep
from shared.dead_letters import read_dead_letter
from shared.kafka.records import Output, Records
from shared.messages import InferenceReport, Prediction
from shared.serving.models import ServedModel, ServedModels
from shared.serving.routing import MAX_CARRIED_BYTES
from shared.topics import TopicNames
from tests.models import linear, numeric_spec, table, table_spec, write_bundle

HOUR = 3_600_000
NOW = 10 * HOUR


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def event(event_id: str, *, at: int = NOW - 1000, **extra: Any) -> bytes:
    features = extra.pop("features", {"f0": 1, "f1": 2, "f2": 3})
    return msgspec.json.encode({"event_id": event_id, "occurred_at": at, "features": features} | extra)


def records(partition: int, values: list[bytes | None], first: int = 0, **columns: Any) -> Records:
    count = len(values)
    return Records(
        topic="events",
        start=first,
        end=first + count,
        partition=partition,
        offsets=list(range(first, first + count)),
        timestamps=columns.get("timestamps", [NOW - 100] * count),
        keys=columns.get("keys", [b"key"] * count),
        values=values,
        headers=columns.get("headers", [()] * count),
    )


class Harness:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.served = ServedModels()
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.step = InferenceStep(
            self.served, TopicNames(), InferenceMetrics(self.registry), clock=self.clock, report_interval=1000
        )

    def serve(self, version: str = "1", *, name: str = "demo", bias: float = 0.0) -> None:
        bundle = write_bundle(
            self.tmp_path / f"{name}-{version}",
            linear(3, [0.1, 0.2, -0.3], bias),
            numeric_spec(3, name=name, version=version, window=3600),
        )
        self.served.swap(ServedModel.load(bundle, max_event_bytes=1 << 20, threads=1))

    def run(self, *batch: Records) -> list[dict[str, Output]]:
        for part in batch:
            if (part.topic, part.partition) not in self.step._reports:
                self.step.open(part.topic, part.partition, part.offsets[0], None)
        work = self.step.decode(batch)
        self.step.compute(work)
        return [{out.topic: out for out in self.step.encode(work, i)} for i in range(len(batch))]

    def reports(self, partition: int = 0) -> list[InferenceReport]:
        self.clock.now += 1000
        return [
            msgspec.json.decode(value, type=InferenceReport)
            for output in self.step.flush("events", partition)
            for value in output.values
        ]


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)
    harness.serve()
    return harness


def predictions(outputs: dict[str, Output]) -> list[Prediction]:
    return [msgspec.json.decode(value, type=Prediction) for value in outputs["predictions"].values]


def test_predictions_keep_partition_order_key_headers_and_source(harness: Harness) -> None:
    first = records(0, [event("a", entity_id="N1"), event("b")], 7, keys=[b"N1", b"b"])
    second = records(3, [event("c")], 40, headers=[(("traceparent", b"00-1"),)])
    one, two = harness.run(first, second)
    a, b = predictions(one)
    (c,) = predictions(two)
    assert (a.event_id, b.event_id, c.event_id) == ("a", "b", "c")
    assert a.entity_id == "N1"
    assert b.entity_id is None
    assert (b.source.topic, b.source.partition, b.source.offset) == ("events", 0, 8)
    assert (c.source.partition, c.source.offset) == (3, 40)
    assert one["predictions"].keys == [b"N1", b"b"]
    assert one["predictions"].partition == 0
    assert one["predictions"].headers is None
    assert two["predictions"].headers == [(("traceparent", b"00-1"),)]
    assert two["predictions"].partition == 3
    np.testing.assert_allclose(a.score, 1 / (1 + np.exp(0.4)), atol=1e-6)
    assert (a.label, a.model, a.model_version) == ("no", "demo", "1")
    assert (a.occurred_at, a.scored_at) == (NOW - 1000, NOW)


def test_bad_rows_become_dead_letters_and_the_good_rows_are_scored(harness: Harness) -> None:
    bad = event("bad", features={"f0": 1, "f1": 5000, "f2": 3})
    part = records(2, [event("a"), b"{", event("b"), bad, None], 10, headers=[(("h", b"1"),)] * 5)
    (outputs,) = harness.run(part)
    assert [p.event_id for p in predictions(outputs)] == ["a", "b"]
    assert [p.source.offset for p in predictions(outputs)] == [10, 12]
    letters = outputs["dead-letters"]
    assert letters.values == [b"{", bad, None]
    reasons = [read_dead_letter(headers) for headers in letters.headers or ()]
    assert [(r.offset, r.partition, r.error, r.field) for r in reasons if r] == [
        (11, 2, "DecodeError", None),
        (13, 2, "ValidationError", "features.f1"),
        (14, 2, "DecodeError", None),
    ]
    assert reasons[1] is not None
    assert reasons[1].message == "features.f1 is 5000, above the declared maximum 1000"
    assert letters.headers is not None
    assert letters.headers[0][0] == ("h", b"1")


def test_a_row_the_model_raises_on_is_a_dead_letter_of_its_own(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    bundle = write_bundle(tmp_path / "t", table([0.5, 1.5]), table_spec(2))
    harness.served.swap(ServedModel.load(bundle, max_event_bytes=1 << 20, threads=1))
    rows = [event(str(i), features={"row": row}) for i, row in enumerate([0, 9, 1])]
    (outputs,) = harness.run(records(0, rows))
    assert [(p.event_id, p.score, p.label) for p in predictions(outputs)] == [
        ("0", 0.5, None),
        ("2", 1.5, None),
    ]
    letter = read_dead_letter((outputs["dead-letters"].headers or [[]])[0])
    assert letter is not None
    assert letter.error == "ProcessError"


def test_several_models_are_routed_by_name(harness: Harness) -> None:
    harness.serve(name="other", bias=5.0)
    values = [
        event("a", model="demo"),
        event("b", model="other"),
        event("c"),
        event("d", model="third"),
        b"x",
    ]
    values.append(event("e", model="demo"))
    (outputs,) = harness.run(records(0, values))
    assert [(p.event_id, p.model) for p in predictions(outputs)] == [
        ("a", "demo"),
        ("b", "other"),
        ("e", "demo"),
    ]
    reasons = [read_dead_letter(headers) for headers in outputs["dead-letters"].headers or ()]
    assert [r.message for r in reasons if r][:2] == [
        "model is missing, and this service serves several: demo, other",
        "model is 'third', which is not served here (served: demo, other)",
    ]


def test_an_event_from_the_far_future_is_refused(harness: Harness) -> None:
    (outputs,) = harness.run(records(0, [event("a"), event("b", at=NOW + 48 * HOUR)]))
    assert [p.event_id for p in predictions(outputs)] == ["a"]
    letter = read_dead_letter((outputs["dead-letters"].headers or [[]])[0])
    assert letter is not None
    assert letter.field == "occurred_at"
    assert letter.message == "occurred_at lies 48.0 hours after the record was written"


def test_a_key_or_headers_that_no_prediction_could_carry_are_refused(harness: Harness) -> None:
    size = MAX_CARRIED_BYTES
    part = records(
        0,
        [event(name) for name in "abcd"],
        keys=[b"k", b"k" * (size + 1), None, b"k" * size],
        headers=[(), (), (("h", b"v" * size),), ()],
    )
    (outputs,) = harness.run(part)
    assert [p.event_id for p in predictions(outputs)] == ["a", "d"]
    letters = [read_dead_letter(headers) for headers in outputs["dead-letters"].headers or ()]
    assert [(letter.error, letter.message) for letter in letters if letter] == [
        ("DecodeError", f"key and headers are {size + 1} bytes, the limit is {size}")
    ] * 2


def test_an_event_of_tomorrow_does_not_close_the_windows_of_today(harness: Harness) -> None:
    harness.run(records(0, [event("tomorrow", at=NOW + 20 * HOUR), event("now"), event("too")]))
    counted = {report.window.start: (report.predictions, report.late) for report in harness.reports()}
    assert counted == {NOW - HOUR: (2, 0), NOW + 20 * HOUR: (1, 0)}


def test_a_swap_shows_from_the_next_batch_on(harness: Harness) -> None:
    part = records(0, [event("a")])
    harness.step.open("events", 0, 0, None)
    work = harness.step.decode([part])
    harness.serve("2", bias=3.0)  # after decoding: this batch keeps the version it began with
    harness.step.compute(work)
    assert predictions({o.topic: o for o in harness.step.encode(work, 0)})[0].model_version == "1"
    (outputs,) = harness.run(records(0, [event("b")], 1))
    assert predictions(outputs)[0].model_version == "2"
    by_version = {r.model_version: r for r in harness.reports()}
    assert by_version["1"].first_offset == 0
    assert by_version["2"].first_offset == 1


def test_reports_are_cumulative_and_survive_a_restart(harness: Harness) -> None:
    harness.run(records(0, [event("a"), b"{"]))
    (report,) = harness.reports()
    assert (report.predictions, report.errors, report.final) == (1, {"DecodeError": 1}, False)
    assert (report.window.start, report.window.end) == (9 * HOUR, 10 * HOUR)
    assert harness.reports() == []
    state = harness.step.snapshot("events", 0)
    harness.step.close("events", 0)
    harness.step.open("events", 0, 2, state)
    harness.run(records(0, [event("b"), event("c")], 2))
    (report,) = harness.reports()
    assert (report.predictions, report.errors, report.next_offset) == (3, {"DecodeError": 1}, 4)
    assert sum(report.scores.counts) == 3
    assert sum(report.latency.counts) == 3


def test_a_window_closes_a_whole_window_after_its_end_and_late_events_are_counted(harness: Harness) -> None:
    harness.run(records(0, [event("a", at=1 * HOUR), event("b", at=2 * HOUR), event("c", at=3 * HOUR)]))
    first, second, third = harness.reports()
    assert [r.final for r in (first, second, third)] == [True, False, False]
    harness.run(records(0, [event("late", at=1 * HOUR)], 3))
    (report,) = harness.reports()
    assert (report.window.start, report.predictions, report.late) == (3 * HOUR, 2, 1)


def test_state_does_not_depend_on_how_the_records_were_batched(tmp_path: Path) -> None:
    values = [event(str(i), at=(1 + i // 10) * HOUR) if i % 7 else b"bad" for i in range(60)]
    snapshots = []
    for size in (60, 1, 13):
        harness = Harness(tmp_path / str(size))
        harness.serve()
        for first in range(0, 60, size):
            harness.run(records(0, values[first : first + size], first))
        reports = list(harness.step._reports["events", 0].due(60, 0))
        snapshots.append([msgspec.structs.replace(r, next_offset=0) for r in reports if not r.final])
    assert snapshots[0] == snapshots[1] == snapshots[2]


def test_a_partition_that_comes_back_says_again_which_version_answers_from_where(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    harness.run(records(0, [event("a")]), records(1, [event("b")]))
    harness.step.close("events", 0)
    harness.run(records(0, [event("c")], first=7), records(1, [event("d")], first=1))
    lines = [each for each in caplog.records if each.getMessage() == "model version answers from here"]
    said = [line.fields for line in lines]  # type: ignore[attr-defined]
    assert [(fields["partition"], fields["offset"]) for fields in said] == [(0, 0), (1, 0), (0, 7)]
