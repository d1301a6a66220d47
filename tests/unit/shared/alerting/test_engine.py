"""What fires, when, and under which id; in the time of the reports."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import yaml

from shared.alerting.engine import FORGET_AFTER, Engine
from shared.alerting.readings import MOST_CELLS
from shared.alerting.rules_file import load_rules, parse_rules
from shared.messages import DecisionReport, Window
from tests.alert_oracle import FAILING, oracle, stream
from tests.reports import MINUTE, T0, inference, service

START = T0 - T0 % MINUTE


def engine(*rules: dict[str, Any]) -> Engine:
    text = yaml.safe_dump({"defaults": False, "rules": list(rules)})
    return Engine(parse_rules(text, "test").conditions)


def said(changes: Iterable[Any]) -> list[tuple[str, str]]:
    return [(change.alert.rule, change.alert.status) for change in changes]


def test_it_fires_once_and_resolves_once() -> None:
    alerting = engine(FAILING)
    seen = []
    for minute, failures in enumerate((0, 200, 300, 200, 0, 0)):
        seen.append(said(alerting.take(inference(minute=minute, failures=failures))))
    assert seen == [[], [("failing", "firing")], [], [], [("failing", "resolved")], []]


def test_too_few_events_say_nothing_and_what_was_found_stands() -> None:
    alerting = engine(FAILING)
    assert said(alerting.take(inference(minute=0, failures=200))) == [("failing", "firing")]
    assert said(alerting.take(inference(minute=1, predictions=50, failures=0))) == []
    assert said(alerting.take(inference(minute=1, predictions=500, second=20))) == [("failing", "resolved")]


def test_a_window_is_judged_over_all_its_partitions() -> None:
    alerting = engine(FAILING | {"min_count": 1_500})
    assert said(alerting.take(inference(failures=90, partition=0))) == []
    assert said(alerting.take(inference(failures=90, partition=1))) == [("failing", "firing")]


def test_for_counts_in_the_time_of_the_reports() -> None:
    alerting = engine(FAILING | {"for": "2m"})
    assert said(alerting.take(inference(minute=0, failures=200))) == []
    assert alerting.watches[next(iter(alerting.watches))].status == "pending"
    assert said(alerting.take(inference(minute=1, failures=200))) == []
    (change,) = alerting.take(inference(minute=2, failures=200))
    assert (change.alert.status, change.alert.started_at) == ("firing", START + 5_000)
    assert change.alert.changed_at == START + 5_000 + 2 * MINUTE


def test_what_is_over_before_its_time_never_fired() -> None:
    alerting = engine(FAILING | {"for": "2m"})
    for minute, failures in enumerate((200, 0, 200, 0, 0, 0)):
        assert said(alerting.take(inference(minute=minute, failures=failures))) == []
    assert alerting.watches == {}


def test_a_tick_and_the_next_report_find_the_same_firing() -> None:
    rule = FAILING | {"for": "30s"}
    live, replay = engine(rule), engine(rule)
    live.take(inference(minute=0, failures=200))
    (fired,) = live.tick(START + 40_000)
    replay.take(inference(minute=0, failures=200))
    found = replay.take(inference(minute=1))
    assert said(found) == [("failing", "firing"), ("failing", "resolved")]
    assert found[0].alert == fired.alert
    assert said(live.take(inference(minute=1))) == [("failing", "resolved")]


def test_keep_firing_bridges_a_short_good_spell() -> None:
    alerting = engine(FAILING | {"keep_firing": "2m"})
    found = [
        said(alerting.take(inference(minute=m, failures=f))) for m, f in enumerate((200, 0, 200, 0, 0, 0))
    ]
    assert found == [[("failing", "firing")], [], [], [], [], [("failing", "resolved")]]


@pytest.mark.parametrize("tick", [1_000, 15_000, 700_000, None])
def test_an_alert_ends_at_the_same_time_whenever_somebody_looks(tick: int | None) -> None:
    """The time of a tick got into the idempotency key: two processes, two keys."""
    alerting = engine(FAILING | {"keep_firing": "2m"})
    reports = [inference(minute=m, failures=f) for m, f in ((0, 200), (1, 0), (9, 200), (10, 0))]
    found, now = [], START
    for report in reports:
        while tick is not None and now + tick < report.written_at:
            now += tick
            found += alerting.tick(now)
        found += alerting.take(report)
    assert [(c.alert.status, c.alert.changed_at - START) for c in found] == [
        ("firing", 5_000),
        ("resolved", 5_000 + 3 * MINUTE),
        ("firing", 5_000 + 9 * MINUTE),
    ]


@pytest.mark.parametrize("late", [1, 40_000, FORGET_AFTER])
def test_what_is_forgotten_ends_at_the_same_time_whenever_somebody_looks(late: int) -> None:
    alerting = engine(FAILING, {"name": "gone", "reports": "service", "absent": "30s"})
    alerting.take(inference(failures=200))
    alerting.take(service("drift", START + 5_000))
    (missed,) = alerting.tick(START + 36_000 + late % FORGET_AFTER)
    assert missed.alert.evidence["silent"] == 30_000
    (over,) = alerting.tick(START + 5_000 + FORGET_AFTER + late)
    assert over.alert.changed_at == START + 5_000 + FORGET_AFTER


def test_a_group_is_one_alert_with_its_worst_as_the_reason() -> None:
    rule = FAILING | {"group_by": [], "summary": "{model} {value:percent}, {matching} models"}
    alerting = engine(rule)
    (change,) = alerting.take(inference("a", failures=100))
    assert change.alert.summary == "a 9.09 %, 1 models"
    assert said(alerting.take(inference("b", failures=900))) == []
    assert said(alerting.take(inference("a", minute=1))) == []
    (change,) = alerting.take(inference("b", minute=1))
    assert change.alert.status == "resolved"


def test_what_was_over_and_comes_back_in_a_group_that_fires_on_is_said_again() -> None:
    rule = FAILING | {"group_by": [], "tell_again": "30s", "summary": "{model} {matching}"}
    live, replay = engine(rule), engine(rule)
    reports = [
        inference(model, minute, failures=200 if model == "b" or minute != 1 else 0)
        for minute in range(4)
        for model in ("a", "b")
    ]
    found = [change.alert for report in reports for change in live.take(report)]
    assert [(one.summary, one.status) for one in found] == [
        ("a 1", "firing"),
        ("b 1", "firing"),
        ("a 2", "firing"),  # back since minute 2, after its all clear of minute 1
    ]
    kept: dict[str, bytes | None] = {}
    again = []
    for report in reports:  # killed before each report, and the one before is read again
        part = engine(rule)
        part.load({key: value for key, value in kept.items() if value is not None})
        for one in reports[max(0, reports.index(report) - 1) : reports.index(report) + 1]:
            again += [change.alert for change in part.take(one)]
        kept |= part.drain()
    assert again == found
    assert [change.alert for report in reports for change in replay.take(report)] == found


def test_something_new_in_a_group_is_said_again_where_the_rule_wants_it() -> None:
    rule = FAILING | {"group_by": [], "tell_again": "2m", "summary": "{model} {matching}"}
    live, replay = engine(rule), engine(rule)
    reports = [inference(model, minute, failures=200) for minute in range(6) for model in "abc"[: minute + 1]]
    found = []
    for report in reports:
        found += live.take(report)
        if report.window.start == START + MINUTE:
            assert live.tick(report.written_at + 1_000) == []
    assert [(c.alert.summary, (c.alert.changed_at - START) // 1000) for c in found] == [
        ("a 1", 5),
        ("b 2", 125),
        ("c 3", 245),
    ]
    assert len({change.alert.alert_id for change in found}) == 1
    assert [c.alert for report in reports for c in replay.take(report)] == [c.alert for c in found]
    assert said(live.take(inference("d", 7, failures=300))) == [("failing", "firing")]
    for model in "abcd":
        found += live.take(inference(model, 9))
    assert said(found)[-1] == ("failing", "resolved")


def test_a_service_that_falls_silent_is_missed_and_one_that_says_goodbye_is_not() -> None:
    rule = {
        "name": "gone",
        "reports": "service",
        "absent": "30s",
        "summary": "{service} silent {silent:duration}",
    }
    alerting = engine(rule)
    alerting.take(service("drift"))
    alerting.take(service("shadow"))
    alerting.take(service("shadow", T0 + 5_000, stopping=True))
    assert said(alerting.tick(T0 + 30_000)) == []
    (change,) = alerting.tick(T0 + 31_000)
    assert (change.alert.subject, change.alert.summary) == ("drift", "drift silent 30 s")
    assert said(alerting.tick(T0 + 60_000)) == []
    assert said(alerting.take(service("drift", T0 + 61_000))) == [("gone", "resolved")]
    assert said(alerting.tick(T0 + 90_000)) == []


def test_one_instance_of_several_is_no_absence_and_all_of_them_are() -> None:
    alerting = engine({"name": "gone", "reports": "service", "absent": "30s"})
    alerting.take(service(at=T0, instance="a"))
    alerting.take(service(at=T0 + 20_000, instance="b"))
    assert said(alerting.tick(T0 + 49_000)) == []
    assert said(alerting.tick(T0 + 51_000)) == [("gone", "firing")]


def test_a_slow_heartbeat_must_be_missed_three_times() -> None:
    alerting = engine({"name": "gone", "reports": "service", "absent": "30s"})
    alerting.take(service(interval=60_000))
    assert said(alerting.tick(T0 + 170_000)) == []
    assert said(alerting.tick(T0 + 181_000)) == [("gone", "firing")]


def test_a_rate_is_what_a_count_grew_by_and_a_restart_is_no_negative_one() -> None:
    rule = {"name": "rate", "reports": "service", "figure": "dead_letters", "rate_over": "10s", "above": 4}
    alerting = engine(rule)
    counts = [1_000, 1_010, 1_060, 5, 10, 15]
    found = [
        said(alerting.take(service(at=T0 + 5_000 * n, dead_letters={"x": count})))
        for n, count in enumerate(counts)
    ]
    assert found == [[], [], [("rate", "firing")], [("rate", "resolved")], [], []]


def test_a_ratio_to_the_windows_before() -> None:
    rule = {
        "name": "jump", "reports": "inference", "figure": "latency_p99", "above": 2.0,
        "relative_to": {"windows": 5, "at_least": 3},
    }  # fmt: skip
    alerting = engine(rule)
    slow = (0, 0, 1_000, 0, 0)
    found = [
        said(alerting.take(inference(minute=m, latency=slow if m in (2, 6) else (0, 1_000, 0, 0, 0))))
        for m in range(8)
    ]
    assert found[:6] == [[]] * 6
    assert found[6:] == [[("jump", "firing")], [("jump", "resolved")]]


def test_what_is_wrong_for_long_does_not_become_what_is_usual() -> None:
    """A level shift resolved itself once the median had swallowed it."""
    rule = {
        "name": "jump", "reports": "inference", "figure": "latency_p99", "above": 2.0,
        "relative_to": {"windows": 5, "at_least": 3},
    }  # fmt: skip
    alerting = engine(rule)
    fast, slow = (0, 1_000, 0, 0, 0), (0, 0, 1_000, 0, 0)
    found = [
        (m, change.alert.status)
        for m in range(60)
        for change in alerting.take(inference(minute=m, latency=slow if 8 <= m < 50 else fast))
    ]
    assert found == [(8, "firing"), (50, "resolved")]


def test_a_version_that_was_replaced_keeps_no_alert_alive() -> None:
    alerting = engine(FAILING)
    alerting.take(inference(minute=0, failures=200, version="1"))
    assert said(alerting.take(inference(minute=0, version="2", second=30))) == []
    assert said(alerting.take(inference(minute=2, version="2"))) == [("failing", "resolved")]


def test_what_is_silent_for_a_day_is_forgotten_and_its_alert_resolved() -> None:
    alerting = engine(FAILING)
    alerting.take(inference(failures=200))
    alerting.drain()
    assert said(alerting.tick(START + FORGET_AFTER)) == []
    assert said(alerting.tick(START + FORGET_AFTER + MINUTE)) == [("failing", "resolved")]
    assert set(alerting.drain().values()) == {None}


def test_what_is_watched_is_bounded_and_so_is_what_is_kept() -> None:
    alerting = engine(FAILING | {"group_by": []})
    kept: set[str] = set()
    for n in range(MOST_CELLS + 500):
        alerting.take(inference(f"m{n}", failures=200))
        for key, value in alerting.drain().items():
            (kept.add if value is not None else kept.discard)(key)
    assert len(kept) == MOST_CELLS + 1


def test_what_was_kept_brings_the_same_state_back() -> None:
    rules = (FAILING | {"for": "2m"}, {"name": "gone", "reports": "service", "absent": "30s"})
    whole, kept = engine(*rules), dict[str, bytes]()
    reports = [
        *(
            inference(model, minute, failures=200 if minute > 2 else 0)
            for minute in range(9)
            for model in "ab"
        ),
        service(at=START + 8 * MINUTE),
    ]
    expected = [change.alert for report in reports for change in whole.take(report)]
    expected += [change.alert for change in whole.tick(START + 9 * MINUTE)]
    found = []
    for report in [*reports, None]:
        part = engine(*rules)  # killed and started again before each report
        part.load(kept)
        changes = part.tick(START + 9 * MINUTE) if report is None else part.take(report)
        found += [change.alert for change in changes]
        for key, value in part.drain().items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
    assert found == expected
    assert {alert.rule for alert in found} == {"failing", "gone"}


def test_a_rule_that_is_gone_leaves_no_alert_behind() -> None:
    first = engine(FAILING)
    first.take(inference(failures=200))
    second = engine(FAILING | {"name": "other"})
    second.load({key: value for key, value in first.drain().items() if value is not None})
    found = second.take(inference(failures=210, second=6))
    assert sorted(said(found)) == [("failing", "resolved"), ("other", "firing")]


@pytest.mark.parametrize("seed", range(5))
def test_ids_are_those_of_an_oracle_also_over_kills_and_repetitions(seed: int) -> None:
    reports = stream(seed)
    expected = oracle(reports)
    assert len(expected) > 20
    random_ = random.Random(seed)
    alerting, kept, found = engine(FAILING), dict[str, bytes](), []
    later = reports[-1].written_at + MINUTE
    for n, report in enumerate(reports):
        found += alerting.take(report)
        changes = list(alerting.drain().items())
        killed = random_.random() < 0.15
        for key, value in changes[: random_.randint(0, len(changes)) if killed else None]:
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
        if killed:  # in the middle of a write; and time passes before the reports are read again
            alerting = engine(FAILING)
            alerting.load(kept)
            found += alerting.tick(later)
            for again in reports[max(0, n - 3) : n + 1]:
                found += alerting.take(again)
    unique = list(dict.fromkeys((c.alert.alert_id, c.alert.status, c.alert.changed_at) for c in found))
    assert unique == expected
    resolved = [one for one in unique if one[1] == "resolved"]
    assert {one[0] for one in resolved} <= {one[0] for one in unique if one[1] == "firing"}


def test_a_replay_over_what_is_known_says_nothing_new() -> None:
    reports = stream(7)
    alerting = engine(FAILING)
    first = {
        (c.alert.alert_id, c.alert.status, c.alert.changed_at) for r in reports for c in alerting.take(r)
    }
    again = {
        (c.alert.alert_id, c.alert.status, c.alert.changed_at) for r in reports for c in alerting.take(r)
    }
    assert again <= first


def test_evidence_is_what_a_message_can_carry() -> None:
    alerting = engine(FAILING)
    (change,) = alerting.take(inference(failures=200))
    assert msgspec.json.decode(msgspec.json.encode(change.alert), type=type(change.alert)) == change.alert
    assert change.alert.evidence["events"] == 1_200


def test_a_rollback_by_rule_fires_with_the_reason_and_other_decisions_do_not() -> None:
    alerting = Engine(load_rules().conditions)

    def decided(revision: int, kind: Any) -> DecisionReport:
        return DecisionReport(
            model="m", model_version="2", window=Window(start=T0 + revision, end=T0 + revision),
            source_topic="registry", partition=0, first_offset=revision, next_offset=revision + 1,
            written_at=T0 + revision, final=True, decision=kind, other_version="1", revision=revision,
            who="gates", reason="errors: the new champion failed on 60 of 860 events",
        )  # fmt: skip

    assert said(alerting.take(decided(5, "promoted"))) == []
    (change,) = alerting.take(decided(6, "rolled-back"))
    alert = change.alert
    assert (alert.rule, alert.status, alert.severity) == ("rolled-back", "firing", "critical")
    assert alert.summary == "m 2 was rolled back by rule: errors: the new champion failed on 60 of 860 events"
    assert said(alerting.take(decided(6, "rolled-back"))) == []  # told again, fired once
    (second,) = alerting.take(decided(9, "rolled-back"))
    assert (second.alert.status, second.alert.subject) == ("firing", "rolled-back")
    assert second.alert.alert_id != alert.alert_id, "another rollback, also of the same version"
