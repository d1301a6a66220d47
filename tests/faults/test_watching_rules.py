"""The rules of drift and alerting, and who is at the end: a sentence for each thing that is doctored."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from shared.alerting.formats import VERSION, Notification
from shared.alerting.states import Watch
from shared.drift import Baseline
from shared.messages import Alert, DriftReport, Prediction, Source, Window
from shared.topics import TopicNames
from tests.alert_oracle import FAILING, oracle, stream
from tests.drift_oracle import answer, settled_rows
from tests.faults import progress
from tests.faults.answers import score
from tests.faults.limits import EVENTS_PER_DAY, PARTITIONS
from tests.faults.rules import alerting as alerting_rule
from tests.faults.rules import drifting as drifting_rule
from tests.faults.rules.alerting import alert_state, alerting
from tests.faults.rules.drifting import drifting
from tests.faults.rules.found import Found
from tests.faults.test_rules import Record
from tests.faults.traffic import MODEL, POISON, STEP_MS, bad_event, good_event
from tests.faults.versions import fitted
from tests.reports import record
from tests.webhooks import Request, WebhookReceiver

TOPICS = TopicNames()
COUNT = 1_200


# -- drift ------------------------------------------------------------------------------------------


def a_stream() -> tuple[dict[int, list[Record]], dict[int, list[Record]]]:
    """Events, some of them bad, and the predictions of the good ones, by partition."""
    rng = random.Random(7)
    events: dict[int, list[Record]] = {p: [] for p in range(PARTITIONS)}
    predictions: dict[int, list[Record]] = {p: [] for p in range(PARTITIONS)}
    for number in range(COUNT):
        partition, at = number % PARTITIONS, number * STEP_MS
        bad = number % 50 == 49
        value = (bad_event if bad else good_event)(number, rng)
        events[partition].append(Record(number, value, POISON if bad else b"k", timestamp=at))
        if bad:
            continue
        event = msgspec.json.decode(value)
        probability = score("1", event["features"])
        made = Prediction(
            event["event_id"],
            MODEL,
            "1",
            probability,
            event["occurred_at"],
            at,
            Source("events", partition, number),
            None,
            "yes" if probability >= 0.5 else "no",
        )
        predictions[partition].append(Record(number, msgspec.json.encode(made), timestamp=at))
    return events, predictions


class Counted:
    """Stands in for what the drift service has committed: as the offline computation has it."""

    def __init__(self, found: Found) -> None:
        baseline = fitted()
        of = len(baseline.calibrated) + len(baseline.of_predictions().calibrated)
        self.orders = {"features": SimpleNamespace(unordered=0)}
        self.groups: dict[str, Any] = {}
        for name, rows, its in (
            (
                "features",
                drifting_rule._event_rows(found),
                Baseline(channels=baseline.channels, joint=baseline.joint),
            ),
            ("predictions", drifting_rule._prediction_rows(found, "1"), baseline.of_predictions()),
        ):
            settled = settled_rows(rows)
            made = answer(rows, its, of=of, declared=EVENTS_PER_DAY * 30, rows=settled)
            self.groups[name] = SimpleNamespace(detector=made.detector, rate=SimpleNamespace(events=settled))

    def watch(self, name: str) -> Any:
        return self.groups.get(name)

    def report(self, **changed: int) -> Record:
        window = Window(start=0, end=3_600_000)
        report = DriftReport(
            model=MODEL,
            model_version="1",
            window=window,
            source_topic=TOPICS.drift_counts,
            partition=0,
            first_offset=0,
            next_offset=1,
            written_at=1,
            events=self.groups["features"].rate.events,
            predictions=self.groups["predictions"].rate.events,
        )
        return Record(0, msgspec.json.encode(msgspec.structs.replace(report, **changed)))


async def drift_says(
    monkeypatch: pytest.MonkeyPatch,
    doctored: Callable[[Counted, dict[int, list[Record]], list[Record]], None] = lambda *_: None,
    champions: Sequence[str] = ("1",),
) -> list[str]:
    events, predictions = a_stream()
    reports: list[Record] = []
    found = Found(
        TOPICS,
        {
            TOPICS.events: events,
            TOPICS.predictions: predictions,
            TOPICS.reports: {0: reports},
            TOPICS.drift_counts: {0: []},
        },
    )
    counted = Counted(found)
    reports.append(counted.report())
    doctored(counted, events, reports)

    async def merger(*_: Any) -> Any:
        return SimpleNamespace(models={MODEL: SimpleNamespace(versions={"1": counted})})

    monkeypatch.setattr(drifting_rule, "_merger", merger)
    stage: Any = SimpleNamespace(champions=list(champions))
    return await drifting(stage, found)


async def test_nothing_is_said_of_detectors_that_are_those_of_the_topics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await drift_says(monkeypatch) == []


def lose_an_event(_: Counted, events: dict[int, list[Record]], __: list[Record]) -> None:
    del events[0][5]


def change_a_feature(_: Counted, events: dict[int, list[Record]], __: list[Record]) -> None:
    there = events[0][5]
    message = msgspec.json.decode(there.value)
    message["features"]["f0"] += 2.5
    events[0][5] = Record(there.offset, msgspec.json.encode(message), timestamp=there.timestamp)


def count_once_more(counted: Counted, _: Any, __: Any) -> None:
    counted.groups["features"].rate.events += 1


def stay_behind(counted: Counted, _: Any, reports: list[Record]) -> None:
    counted.groups["predictions"].rate.events -= 16
    reports[:] = [counted.report()]


def report_too_few(counted: Counted, _: Any, reports: list[Record]) -> None:
    reports[:] = [counted.report(events=1)]


def lose_the_detector(counted: Counted, _: Any, __: Any) -> None:
    counted.groups["features"].detector = None


def mix_slots(counted: Counted, _: Any, __: Any) -> None:
    counted.orders["features"].unordered = 2


@pytest.mark.parametrize(
    ("doctored", "said"),
    [
        (lose_an_event, "drift: "),
        (change_a_feature, "the detector of features after "),
        (count_once_more, "drift reports of version 1: "),
        (stay_behind, "predictions have reached the detector, "),
        (report_too_few, "drift reports of version 1: 1 features, the state has "),
        (lose_the_detector, "no detector of features"),
        (mix_slots, "2 slots out of order"),
    ],
)
async def test_a_detector_that_is_not_right_is_noticed(
    monkeypatch: pytest.MonkeyPatch, doctored: Any, said: str
) -> None:
    problems = await drift_says(monkeypatch, doctored)
    assert any(said in problem for problem in problems), problems


async def test_after_a_second_champion_only_counts_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await drift_says(monkeypatch, change_a_feature, champions=("1", "2")) == []
    assert len(await drift_says(monkeypatch, report_too_few, champions=("1", "2"))) == 1


# -- alerting ---------------------------------------------------------------------------------------

PLANTED = stream(5, models=3, minutes=8)
TOLD = oracle(PLANTED)


def alert(alert_id: str, status: Any, changed_at: int) -> Alert:
    return Alert(
        alert_id=alert_id,
        rule=FAILING["name"],  # type: ignore[arg-type]
        severity="warning",
        status=status,
        summary="x",
        subject="s",
        started_at=0,
        changed_at=changed_at,
    )


def delivery(one: Alert, key: str = "") -> Request:
    key = key or f"{one.alert_id}/{one.status}/{one.changed_at}"
    body = Notification(version=VERSION, idempotency_key=key, receiver="hook", alert=one)
    return Request("/hook", {"Idempotency-Key": key}, msgspec.json.encode(body))


def alerted(published: Sequence[Alert]) -> Found:
    reports = [Record(at, record(report)[1]) for at, report in enumerate(PLANTED)]
    alerts = [Record(at, msgspec.json.encode(one)) for at, one in enumerate(published)]
    return Found(TOPICS, {TOPICS.reports: {0: reports}, TOPICS.alerts: {0: alerts}})


ALERTS = [alert(*one) for one in TOLD]


def received(alerts: Sequence[Alert]) -> WebhookReceiver:
    return WebhookReceiver(taken=[delivery(one) for one in alerts])


def test_nothing_is_said_of_the_alerts_of_the_oracle_even_twice() -> None:
    assert len(ALERTS) > 4
    assert alerting(alerted(ALERTS), received(ALERTS)) == []
    assert alerting(alerted([*ALERTS, *ALERTS]), received([*ALERTS, ALERTS[0]])) == []


def test_an_alert_that_is_lost_foreign_late_or_under_two_keys_is_noticed() -> None:
    (lost,) = alerting(alerted(ALERTS[1:]), received(ALERTS))
    assert lost.startswith(f"alerts: 1 of {len(ALERTS)} missing")
    (undelivered,) = alerting(alerted(ALERTS), received(ALERTS[:-1]))
    assert undelivered.startswith(f"webhook: 1 of {len(ALERTS)} missing")
    (foreign,) = alerting(alerted([*ALERTS, alert("nobody's", "firing", 1)]), received(ALERTS))
    assert foreign.startswith("alerts: 1 that should not be")
    twice = received(ALERTS)
    twice.taken.append(delivery(ALERTS[0], "another key"))
    (keys,) = alerting(alerted(ALERTS), twice)
    assert keys.endswith("came under 2 keys")
    turned = next(at for at, one in enumerate(ALERTS) if one.status == "resolved")
    late = [ALERTS[turned], *ALERTS[:turned], *ALERTS[turned + 1 :]]
    (order,) = alerting(alerted(late), received(ALERTS))
    assert "out of order" in order


async def test_what_the_state_holds_as_firing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    firing = {one.alert_id: one for one in ALERTS if one.status == "firing"}
    for one in ALERTS:
        if one.status == "resolved":
            firing.pop(one.alert_id, None)
    held: Mapping[str, Alert] = firing

    async def state(*_: Any) -> Any:
        watches = [
            Record(at, msgspec.json.encode(a_watch(one)), b"watch/%d" % at)
            for at, one in enumerate(held.values())
        ]
        return {0: [*watches, Record(99, b"{}", b"reading/1"), Record(100, b"", b"watch/gone")]}

    monkeypatch.setattr(alerting_rule, "read_all", state)
    stage: Any = SimpleNamespace(client={}, topics=TOPICS)
    assert await alert_state(stage, alerted(ALERTS)) == []
    held = firing | {"nobody's": alert("nobody's", "firing", 1)}
    said = await alert_state(stage, alerted(ALERTS))
    assert said == ["alerting-state: 1 fire that should not, 0 do not"]


def a_watch(one: Alert) -> Watch:
    return Watch(rule=one.rule, group=[], alert_id=one.alert_id, since=1, fired_at=1, alert=one)  # type: ignore[arg-type]


# -- at the end -------------------------------------------------------------------------------------


async def test_a_group_or_a_state_that_is_not_at_the_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = {p: [Record(at, b"x") for at in range(5)] for p in range(PARTITIONS)}
    told = {("inference", "events", p): 5 for p in range(PARTITIONS)}
    held = dict.fromkeys(range(PARTITIONS), 5)

    async def positions(_: Any) -> Any:
        return told

    class Reader:
        def __init__(self, *_: Any) -> None: ...

        async def last(self, tp: Any) -> Any:
            at = held[tp.partition]
            return None if at is None else SimpleNamespace(next_offset=at)

    monkeypatch.setattr(progress, "positions", positions)
    monkeypatch.setattr(progress, "StateReader", Reader)
    stage: Any = SimpleNamespace(topics=TOPICS, services=("inference",), client={})
    found = Found(TOPICS, {TOPICS.events: events})
    assert await progress.everybody_at_the_end(stage, found) == []
    told["inference", "events", 1] = 4
    assert await progress.groups_at_the_end(stage, found) == [
        "group inference is at 4 of events[1], whose records end at 5"
    ]
    told["inference", "events", 1], held[0], held[2] = (
        7,
        3,
        6,
    )  # 7: behind the state
    assert await progress.everybody_at_the_end(stage, found) == [
        "state of inference is at 3 of events[0], records end at 5",
        "group inference is at 7 of events[1], beyond its state at 5",
    ]
