"""Who is gone, who said what before it went, and which topic nobody reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from shared.alerting.engine import FORGET_AFTER, Engine
from shared.alerting.rules_file import load_rules, parse_rules
from shared.alerting.watching import Change
from shared.messages import ServiceReport
from tests.reports import MINUTE, T0, inference, service

GONE = {"name": "gone", "reports": "service", "absent": "30s"}
SILENT = {"name": "silent-topic", "reports": "topic", "where": {"topic": "*events"}, "absent": "10m"}


def engine(*rules: dict[str, Any]) -> Engine:
    return Engine(parse_rules(yaml.safe_dump({"defaults": False, "rules": list(rules)}), "test").conditions)


def said(changes: Iterable[Change]) -> list[tuple[str, str]]:
    return [(change.alert.rule, change.alert.status) for change in changes]


def restarted(one: Engine, again: Engine) -> Engine:
    """What the next process makes of what the first one kept."""
    again.load({key: value for key, value in one.drain().items() if value is not None})
    return again


def pod(name: str, second: float, **fields: Any) -> ServiceReport:
    return service("inference", T0 + int(1000 * second), instance=name, **fields)


def test_a_process_that_was_killed_keeps_no_alert_alive_while_another_of_its_service_is_well() -> None:
    """It held `lag` and `registry-away` for a day."""
    alerting = Engine(load_rules().conditions)
    found = []
    for second in range(0, 90, 5):
        found += alerting.take(pod("a", second, lag={"events": 20_000}, registry_up=False))
        found += alerting.take(pod("b", second + 1, lag={"events": 3}, registry_up=True))
    assert sorted(said(found)) == [("lag", "firing"), ("registry-away", "firing")]
    assert said(alerting.take(pod("b", 96))) == []  # a was there 11 s ago
    over = alerting.take(pod("b", 101))
    assert sorted(said(over)) == [("lag", "resolved"), ("registry-away", "resolved")]
    assert "the process that said so is gone" in over[0].alert.evidence["resolved_because"]  # type: ignore[operator]
    assert said(alerting.take(pod("b", 106))) == []


def test_what_a_dead_process_said_does_not_come_back_with_a_restart() -> None:
    alerting = Engine(load_rules().conditions)
    alerting.take(pod("a", 0, model_trouble={"m": "no such file"}))
    alerting.take(pod("b", 20))
    again = restarted(alerting, Engine(load_rules().conditions))
    assert said(again.take(pod("b", 25))) == []
    assert again.watches == {}
    back = again.take(pod("a", 30, model_trouble={"m": "no such file"}))
    assert said(back) == [("model-load-failed", "firing")], "it was only slow, and says it again"


def test_the_last_process_of_a_service_does_not_take_its_trouble_with_it() -> None:
    """Nobody has said that all is well: only somebody else of the service can."""
    alerting = Engine(load_rules().conditions)
    alerting.take(pod("a", 0, model_trouble={"m": "no such file"}))
    assert said(alerting.tick(T0 + 31_000)) == [("service-gone", "firing")]
    assert {key.rule for key in alerting.watches} == {"model-load-failed", "service-gone"}


def test_a_service_that_stays_away_stays_missed() -> None:
    """After a day it was resolved with `it said goodbye`."""
    alerting = engine(GONE)
    alerting.take(pod("a", 0))
    alerting.take(pod("b", 5))
    (fired,) = alerting.tick(T0 + MINUTE)
    assert said(alerting.tick(T0 + FORGET_AFTER + MINUTE)) == []
    alerting = restarted(alerting, engine(GONE))
    assert said(alerting.tick(T0 + 3 * FORGET_AFTER)) == []
    (over,) = alerting.take(pod("c", 3.1 * FORGET_AFTER / 1000))
    assert (over.alert.alert_id, over.alert.status) == (fired.alert.alert_id, "resolved")


def test_of_processes_that_were_replaced_each_is_missed_for_a_day() -> None:
    rule = GONE | {"group_by": ["service", "instance"]}
    alerting = engine(rule)
    alerting.take(pod("a", 0))
    alerting.take(pod("b", MINUTE / 1000))
    assert [change.alert.labels["instance"] for change in alerting.tick(T0 + MINUTE)] == ["a"]
    for hour in range(1, 26):
        over = alerting.take(pod("b", 3_600 * hour)) + alerting.tick(T0 + 60 * MINUTE * hour)
    assert [change.alert.labels["instance"] for change in over] == ["a"]
    assert over[0].alert.evidence["resolved_because"] == "nothing has been reported on it for a day"
    assert not alerting.watches


def test_one_of_several_topics_of_a_group_that_is_read_is_enough() -> None:
    rule = SILENT | {"where": {"topic": "*"}}
    alerting = engine(rule)
    found = []
    for second in range(0, 900, 5):
        found += alerting.take(pod("a", second, consumed={"events": second, "quiet": 0}))
        found += alerting.tick(T0 + second * 1000)
    assert found == []


def test_a_model_that_nobody_uses_any_more_is_missed_for_a_day_and_the_reason_is_true() -> None:
    alerting = engine({"name": "quiet", "reports": "inference", "absent": "1h"})
    alerting.take(inference())
    assert said(alerting.tick(T0 + 2 * 60 * MINUTE)) == [("quiet", "firing")]
    (over,) = alerting.tick(T0 + FORGET_AFTER + MINUTE)
    assert over.alert.evidence["resolved_because"] == "nothing has been reported on it for a day"


def test_whoever_a_rule_names_outright_is_missed_although_never_heard_of() -> None:
    rule = GONE | {"where": {"service": "shadow"}, "summary": "{service} for {silent:duration}"}
    alerting = engine(rule, GONE | {"name": "any", "where": {"service": "*"}})
    alerting.take(service("drift", T0))
    assert said(alerting.tick(T0)) == []
    assert said(alerting.take(service("drift", T0 + 25_000))) == []
    assert said(alerting.tick(T0 + 30_000)) == []
    (change,) = alerting.tick(T0 + 30_001)
    assert change.alert.summary == "shadow for 30 s"
    assert said(alerting.take(service("shadow", T0 + 40_000))) == [("gone", "resolved")]
    alerting.take(service("shadow", T0 + 45_000, stopping=True))
    alerting.take(service("drift", T0 + 90_000))
    assert said(alerting.tick(T0 + 100_000)) == [], "it said goodbye"


def test_a_topic_is_silent_once_nobody_has_read_a_record_of_it_for_so_long() -> None:
    """Every process reports its topics as long as it lives: none was ever absent."""
    alerting = engine(SILENT)
    found = []
    for second in range(0, 1_300, 5):
        count = min(second, 300)
        found += alerting.take(pod("a", second, consumed={"events": count, "other": 0}))
        found += alerting.take(pod("b", second, consumed={"events": 7}))  # it owns no partition
        found += alerting.tick(T0 + second * 1000)
        if second == 600:
            alerting = restarted_over(alerting)
    assert said(found) == [("silent-topic", "firing")]
    assert found[0].alert.started_at == T0 + 900_000
    assert found[0].alert.labels == {"service": "inference"}
    assert said(alerting.take(pod("b", 1_305, consumed={"events": 8}))) == [("silent-topic", "resolved")]


def restarted_over(one: Engine) -> Engine:
    return restarted(one, engine(SILENT))


@pytest.mark.parametrize("counts", [[0, 0, 1], [5, 5, 5]])
def test_too_little_is_said_only_of_a_time_that_is_known(counts: list[int]) -> None:
    """It fired on the second report."""
    rate = SILENT | {"figure": "consumed", "rate_over": "10m", "below": 0.001}
    del rate["absent"]
    alerting = engine(rate)
    for n, count in enumerate(counts):
        assert said(alerting.take(pod("a", 5 * n, consumed={"events": count}))) == []
    steady = [alerting.take(pod("a", second, consumed={"events": 9})) for second in range(15, 700, 5)]
    changes = [change for changes in steady for change in changes]
    assert said(changes) == [("silent-topic", "firing")]


def test_what_a_topic_grows_by_is_added_over_the_processes_that_read_it() -> None:
    """The one that owns no partition fired alone."""
    rate = SILENT | {"figure": "consumed", "rate_over": "1m", "below": 0.001}
    del rate["absent"]
    alerting, found = engine(rate, rate | {"name": "fast", "below": 250.0}), []
    for second in range(0, 200, 5):
        for name, each in (("a", 0), ("b", 200), ("c", 100)):
            found += alerting.take(pod(name, second, consumed={"events": 50 + each * second}))
    assert found == []
    for second in range(200, 400, 5):  # c is killed: what it read within the minute still counts
        for name, each in (("a", 0), ("b", 200)):
            found += alerting.take(pod(name, second, consumed={"events": 50 + each * second}))
    assert said(found) == [("fast", "firing")]
    assert 205 <= (found[0].alert.started_at - T0) / 1000 <= 240
