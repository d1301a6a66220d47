from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from jsonschema import Draft202012Validator

from shared import messages, schemas
from shared.dead_letters import HEADERS
from shared.messages import Message

DOCS = Path(__file__).parents[3] / "docs"
WINDOW = messages.Window(start=0, end=60_000)
HISTOGRAM = messages.Histogram(edges=(0.1, 1.0), counts=(1, 2, 3))
MOMENT = messages.DriftMoment(events=4_096, occurred_at=5, source=messages.Source("events", 3, 41))

SAMPLES: list[Message] = [
    messages.Event(
        event_id="e1", features={"hour": 5, "carrier": "UA", "wet": True, "x": None}, occurred_at=1
    ),
    messages.Event(event_id="e2", features={}, occurred_at=2, model="m", entity_id="N14228"),
    messages.Prediction("e1", "m", "1", 0.08, 1, 2, messages.Source("events", 3, 41)),
    messages.Prediction(
        "e1",
        "m",
        "1",
        0.5,
        1,
        2,
        messages.Source("events", 3, 41),
        "N1",
        "late",
        {"late": 0.5, "on time": 0.5},
    ),
    messages.Label(event_id="e1", label="late", observed_at=3),
    messages.Outcome(kpi="revenue", value=12.5, observed_at=3, entity_id="N14228"),
    messages.Labelled(
        event_id="e1",
        model="m",
        source=messages.Source("events", 3, 41),
        occurred_at=1,
        observed_at=3,
        truth="late",
        answers=(messages.Answer(model_version="1", score=0.5, scored_at=2, label="late"),),
        segments={"carrier": "UA"},
    ),
    messages.InferenceReport(
        model="m",
        model_version="1",
        window=WINDOW,
        source_topic="events",
        partition=3,
        first_offset=0,
        next_offset=6,
        written_at=9,
        predictions=6,
        errors={"ValidationError": 1},
        latency=HISTOGRAM,
        scores=HISTOGRAM,
    ),
    messages.ServiceReport(
        service="inference",
        instance="box:7",
        version="0.1.0",
        started_at=1,
        written_at=9,
        interval=5_000,
        not_ready={"models": "no champion loaded yet for m"},
        lag={"events": 4},
        partitions=3,
        consumed={"events": 10},
        dead_letters={"ProcessError": 1},
        prediction_failures=1,
        model_load_failures=1,
        model_trouble={"m": "version 2: damaged"},
        registry_up=False,
    ),
    messages.ShadowReport(
        model="m",
        model_version="2",
        champion_version="1",
        window=WINDOW,
        source_topic="events",
        partition=3,
        first_offset=0,
        next_offset=6,
        written_at=9,
        comparison=messages.Comparison(
            both=2, agreed=1, flips={"no": {"yes": 1}}, difference=messages.Sums(n=2, total=0.1, squares=0.2)
        ),
        judged=messages.Judged(pairs=1, wins=1, brier=messages.Sums(n=1, total=0.1, squares=0.01)),
        ranking=messages.Ranking(edges=(0.5,), champion_positive=(0, 1), joint_positive=((0, 1, 1),)),
        segments={"carrier": {"UA": messages.Segment(comparison=messages.Comparison(both=2))}},
        errors={"Timeout": 4},
        difference=HISTOGRAM,
        candidate_timing=messages.Timing(events=2, seconds=0.1),
        examples=(
            messages.Example(
                event_id="e1",
                partition=3,
                offset=41,
                occurred_at=1,
                champion_score=0.1,
                candidate_score=0.9,
                segments={"carrier": "UA"},
            ),
        ),
        trouble="it did not answer within 5 s",
    ),
    messages.DecisionReport(
        model="m",
        model_version="2",
        window=messages.Window(start=9, end=9),
        source_topic="registry",
        partition=0,
        first_offset=7,
        next_offset=8,
        written_at=9,
        final=True,
        decision="promoted",
        other_version="1",
        revision=7,
        who="gates",
        reason="brier: better by 0.01 (0.005 to 0.015)",
    ),
    messages.DriftReport(
        model="m",
        model_version="1",
        window=WINDOW,
        source_topic="drift-counts",
        partition=0,
        first_offset=0,
        next_offset=6,
        written_at=9,
        events=6,
        predictions=6,
        baseline_rows=80_000,
        budget=messages.DriftBudget(
            false_alarms_per_30_days=1.0,
            events_per_30_days=27_000.0,
            rate_from="measured",
            events_between_false_alarms=27_000.0,
            threshold=4.43,
            expected_false_alarms=0.2,
            floor=0.06,
        ),
        channels=(
            messages.DriftChannel(name="id", kind="categorical", source="features", reason="an identifier"),
            messages.DriftChannel(
                name="temp",
                kind="numeric",
                source="features",
                evidence=1.5,
                peak=4.5,
                floor=0.06,
                alarm=messages.DriftAlarm(
                    change="location",
                    detail="mean +1.28 sd",
                    evidence=4.5,
                    raised=MOMENT,
                    change_point=MOMENT,
                    explanation="mean 61 instead of 38",
                ),
                figures=messages.DriftFigures(
                    events=6,
                    psi=0.3,
                    jensen_shannon=0.2,
                    wasserstein=1.1,
                    mean=61.0,
                    quantiles=(1.0, 2.0),
                    top=(("JFK", 3),),
                ),
                bins=("[-inf, 5)", "[5, inf)", "<missing>"),
                reference=(10, 10, 0),
                current=(1, 5, 0),
            ),
        ),
    ),
    messages.PerformanceReport(
        model="m",
        model_version="1",
        window=WINDOW,
        source_topic="performance-log",
        partition=3,
        first_offset=0,
        next_offset=6,
        written_at=9,
        task="binary",
        answered=2,
        horizon=3_600_000,
        edges=(0.5,),
        threshold=0.5,
        positive="late",
        labels=messages.LabelCounts(joined=1, missing=1),
        quality=messages.Realised(
            predictions=2,
            labels=1,
            correct=1,
            scores=(1, 1),
            expected=(0.2, 0.7),
            labelled=(0, 1),
            positives=(0, 1),
            confusion={"late": {"late": 1}},
            log_loss=messages.Sums(n=1, total=0.3, squares=0.09),
        ),
        segments={"carrier": {"UA": messages.Realised(predictions=2)}},
        kpis={"cost": messages.KpiSums(value=messages.Sums(n=1, total=-3.0, squares=9.0))},
    ),
    messages.Alert(
        alert_id="a",
        rule="r",
        severity="warning",
        status="firing",
        summary="s",
        subject="features.hour",
        started_at=1,
    ),
    messages.Silence(
        who="ana", at=1, silence_id="night", match={"model": "m*"}, starts_at=1, ends_at=2, why="moving"
    ),
    messages.Redeliver(who="ana", at=1, receiver="chat", alert_id="a"),
]


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(
        (DOCS / "schemas" / f"{schemas._file_name(kind)}.json").read_bytes()
    )
    return loaded


def test_what_is_checked_in_is_current() -> None:
    assert schemas.stale(DOCS) == [], "run python -m shared.schemas --write"


def test_every_message_type_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == set(chain.from_iterable(messages.TOPIC_MESSAGES.values()))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_written_message_is_valid(sample: Message) -> None:
    schema = schema_of(type(sample))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(orjson.loads(msgspec.json.encode(sample)))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_message_without_a_required_field_is_not(sample: Message) -> None:
    schema = schema_of(type(sample))
    validator = Draft202012Validator(schema)
    whole = orjson.loads(msgspec.json.encode(sample))
    required = schema["$defs"][type(sample).__name__]["required"]
    assert required
    for name in required:
        assert not validator.is_valid({key: value for key, value in whole.items() if key != name}), name


def test_the_limits_of_an_event_are_in_its_schema() -> None:
    validator = Draft202012Validator(schema_of(messages.Event))
    good = {"event_id": "e", "features": {"hour": 5}, "occurred_at": "2013-01-01T05:15:00-05:00"}
    assert validator.is_valid(good)
    assert validator.is_valid(good | {"unknown": 1})
    for bad in ({"event_id": ""}, {"event_id": "e" * 201}, {"occurred_at": -1}, {"features": {"hour": [5]}}):
        assert not validator.is_valid(good | bad), bad


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = schemas.asyncapi()

    def check(node: Any) -> int:
        if isinstance(node, list):
            return sum(map(check, node))
        if not isinstance(node, dict):
            return 0
        reference = node.get("$ref")
        if isinstance(reference, str):
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
        return sum(map(check, node.values())) + int(reference is not None)

    assert check(document) >= 3 * len(messages.TOPIC_MESSAGES)


def test_the_asyncapi_document_has_every_dead_letter_header() -> None:
    headers = schemas.asyncapi()["components"]["messages"]["dead-letters"]["headers"]
    assert headers["required"] == list(HEADERS)
    assert set(headers["properties"]) == {*HEADERS, "traceparent"}


def test_stale_missing_and_left_over_files_are_named_and_mended(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    assert schemas.main(["--check", "--docs", str(tmp_path)]) == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "schemas" / "label.json").unlink()
    (tmp_path / "schemas" / "gone.json").write_text("{}")
    assert schemas.stale(tmp_path) == ["schemas/label.json", "asyncapi.json", "schemas/gone.json"]
    assert schemas.main(["--check", "--docs", str(tmp_path)]) == 1
    assert schemas.main(["--write", "--docs", str(tmp_path)]) == 0
    assert schemas.stale(tmp_path) == []


def test_descriptions_are_free_of_markup() -> None:
    event = schema_of(messages.Event)["$defs"]["Event"]
    assert event["description"] == "What a producer sends: the features of one thing that happened."
    assert event["properties"]["model"]["description"].startswith("Which model scores it")
