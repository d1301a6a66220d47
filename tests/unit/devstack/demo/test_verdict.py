import dataclasses
import json
from typing import Any

import pytest

from devstack.demo.events import Outgoing
from devstack.demo.options import Options
from devstack.demo.verdict import CONTRIBUTORS, Contribution, judge
from tests.unit.devstack.demo.runs import finished_run


def test_when_all_is_well_the_last_line_says_so_in_its_order() -> None:
    verdict = judge(finished_run())
    assert verdict.problems == []
    assert verdict.exit_code == 0
    assert verdict.remarks[0] == (
        "first prediction 1.0 s after the command\nfrom produce to visible prediction: p50 10 ms, p99 10 ms"
    )
    assert "two appear in the shadow after 9,000 and 15,000 events" in verdict.remarks[-1]
    assert list(json.loads(verdict.last_line()).items()) == [
        ("events", 9),
        ("predictions", 8),
        ("dead_letters", 1),
        ("events_per_second", 2.2),
        ("p99_ms", 10.0),
        ("champion", "v1"),
        ("drift_alarms", []),
        ("false_alarm_budget", None),
        ("auc", None),
        ("estimated_auc", None),
        ("kpi", None),
        ("labels_joined", 0),
        ("alerts_fired", 0),
        ("webhooks_delivered", 0),
        ("agreement", None),
        ("win_rate", None),
        ("promoted", None),
        ("refused", None),
    ]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_first_prediction_after_a_minute_is_late_unless_the_model_was_trained_first(fresh: bool) -> None:
    run = finished_run()
    run.model = dataclasses.replace(run.model, fresh=fresh)
    run.began_at = 1.010 - 60.0
    assert judge(run).problems == []
    run.began_at -= 0.6
    late = "the first prediction came 61 s after the command, and the model was there already"
    assert [problem.partition(":")[0] for problem in judge(run).problems] == ([] if fresh else [late])


def test_an_event_without_a_prediction_is_named() -> None:
    run = finished_run()
    run.ledger.sent(Outgoing(b"N2", b"x", "2013-02-02-AA1-JFK"), 2.0)
    verdict = judge(run)
    assert verdict.problems == ["1 events have no prediction, among them 2013-02-02-AA1-JFK"]
    assert verdict.exit_code == 1


@pytest.mark.parametrize(
    ("kafka", "problems"),
    [
        ("apache", ["1 events have more than one prediction, and exactly-once was promised"]),
        ("embedded", []),
    ],
)
def test_a_second_prediction_breaks_exactly_once_only(kafka: Any, problems: list[str]) -> None:
    run = finished_run(Options(kafka=kafka))
    run.ledger.predicted("2013-02-01-UA0-EWR", "v1", None, 3.0)
    assert judge(run).problems == problems


def test_a_bad_event_that_was_swallowed_is_a_problem() -> None:
    run = finished_run()
    run.ledger.sent(Outgoing(b"N2", b"[", None, "JSON cut off"), 2.0)
    assert judge(run).problems == ["1 bad events are in no dead letter"]


def test_another_champion_is_a_problem() -> None:
    run = finished_run()
    run.champion = "v0"
    run.ledger.versions["v0"] += 1
    assert judge(run).problems == [
        "the registry's champion is v0, promoted was v1",
        "versions that were never promoted answered: v0",
    ]


def test_a_service_that_is_not_ready_is_named() -> None:
    run = finished_run()
    run.sights["inference"].state = "not ready"
    assert judge(run).problems == ["the service inference is not ready"]


def test_a_server_that_ended_is_named() -> None:
    run = finished_run()
    part: Any = run.servers.parts[0]
    part.running = False
    assert judge(run).problems == ["Tansu is not running any more"]


def test_a_run_that_sent_nothing_is_not_well() -> None:
    verdict = judge(finished_run(good=0, bad=0))
    assert verdict.problems == ["nothing was sent"]
    assert json.loads(verdict.last_line())["p99_ms"] is None


def test_what_went_wrong_on_the_way_comes_first() -> None:
    run = finished_run()
    run.problems.append("the replay broke off: KafkaTimeoutError")
    assert judge(run).problems == ["the replay broke off: KafkaTimeoutError"]


def test_a_later_part_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = [*CONTRIBUTORS, lambda run: Contribution({"alerts": 2}, ["no drift was found in April"])]
    monkeypatch.setattr("devstack.demo.verdict.CONTRIBUTORS", drift)
    verdict = judge(finished_run())
    assert list(verdict.facts)[-1] == "alerts"
    assert verdict.problems == ["no drift was found in April"]
