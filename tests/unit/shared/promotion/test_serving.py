"""What inference says of itself: for how long a version could not be loaded, and by whom."""

from __future__ import annotations

from typing import Any

from shared.messages import Comparison, ServiceReport
from shared.promotion import judge_candidate
from shared.promotion.serving import MOST_PROCESSES, CanaryNow, NotLoaded, Serving
from tests.unit.shared.promotion.reports import GATES, SPEC, report
from tests.unit.shared.promotion.test_gates import changed, gate, gathered

SECOND = 1_000


def said(at: int, *, instance: str = "box:1", **fields: Any) -> ServiceReport:
    given = {"service": "inference", "not_loaded": {"flights": {"2": "no such operator"}}}
    return ServiceReport(
        instance=instance,
        version="1",
        started_at=0,
        written_at=at * SECOND,
        interval=5 * SECOND,
        **(given | fields),
    )


def serving(*reports: ServiceReport) -> Serving:
    found = Serving()
    for one in reports:
        found.take(one)
    return found


def seconds(*reports: ServiceReport) -> float | None:
    found = serving(*reports).not_loaded("flights", "2")
    return None if found is None else found.seconds


def test_the_time_is_that_of_reports_without_a_break() -> None:
    every = [said(at) for at in range(100, 200, 5)]
    assert seconds(*every) == 95
    assert seconds(*every, *every[:3]) == 95, "read again"
    assert seconds(*every, said(200, not_loaded={})) is None
    assert seconds(*every, said(200, not_loaded={}), said(205)) == 0


def test_while_the_broker_is_away_nobody_is_to_blame() -> None:
    assert seconds(*[said(at) for at in range(100, 200, 5)], said(800), said(805)) == 5


def test_a_process_that_is_gone_says_nothing_any_more() -> None:
    first = [said(at) for at in range(100, 200, 5)]
    well = [said(at, instance="box:2", not_loaded={}) for at in range(150, 260, 5)]
    assert seconds(*first, *well) is None
    assert seconds(*first, *well[:5]) == 95
    assert seconds(*first, said(200, stopping=True)) is None
    assert seconds(said(100, service="shadow")) is None


def test_partitions_may_be_read_one_after_the_other() -> None:
    one = [said(at) for at in range(100, 300, 5)]
    other = [said(at, instance="box:2", not_loaded={}) for at in range(100, 300, 5)]
    mixed = [r for chunk in range(0, 40, 10) for r in (*other[chunk : chunk + 10], *one[chunk : chunk + 10])]
    assert seconds(*one, *other) == seconds(*other, *one) == seconds(*mixed) == 195


def test_so_many_processes_are_remembered() -> None:
    found = serving(*[said(number, instance=f"box:{number}") for number in range(MOST_PROCESSES + 50)])
    assert len(found._processes) == MOST_PROCESSES


def canary(evidence: Any, now: CanaryNow | None, **keys: Any) -> Any:
    return gate(judge_candidate(evidence, SPEC, changed(**keys), now), "canary")


def test_a_canary_that_inference_cannot_load_waits_and_is_given_up() -> None:
    evidence = gathered(report(comparison=Comparison(both=5_000)))
    early = canary(evidence, CanaryNow(5.0, NotLoaded("no such operator", 30.0, "box:1")))
    assert early.state == "wait"
    assert early.sentence == (
        "none of its 5 % of the traffic has been answered yet; inference cannot load it for 30 s "
        "(box:1; at most 600 s): no such operator"
    )
    late = canary(evidence, CanaryNow(5.0, NotLoaded("no such operator", 601.0, "box:1")))
    assert late.state == "fail"
    # One replica of several: its keys are answered by the champion.
    some = gathered(report(comparison=Comparison(both=5_000, canary=400)))
    assert canary(some, CanaryNow(5.0, NotLoaded("no disk", 30.0, "box:1"))).state == "wait"
    assert canary(some, CanaryNow(5.0, NotLoaded("no disk", 601.0, "box:1"))).state == "fail"
    assert canary(some, CanaryNow(5.0)).state == "pass"


def test_a_canary_that_has_answered_nothing_yet_waits_and_one_that_is_none_is_not_judged() -> None:
    evidence = gathered(report(comparison=Comparison(both=5_000)))
    assert canary(evidence, CanaryNow(5.0)).state == "wait"
    assert "canary" not in [g.name for g in judge_candidate(evidence, SPEC, GATES).gates]


def test_a_canary_with_which_nobody_answers_any_more_is_given_up() -> None:
    evidence = gathered(report(comparison=Comparison(both=5_000, canary=300), waiting_seconds=700.0))
    found = canary(evidence, CanaryNow(25.0))
    assert found.state == "fail"
    assert "nobody has answered for 700 s (at most 600 s)" in found.sentence
    assert canary(evidence, None).state == "pass", "it is no canary any more"


def test_a_candidate_that_the_shadow_cannot_load_is_refused_with_the_loading_error() -> None:
    failed = report(
        comparison=Comparison(champion_only=5_000),
        errors={"Unavailable": 5_000},
        trouble="version 2: no such operator",
        final=False,
    )
    verdict = judge_candidate(gathered(failed), SPEC, GATES)
    assert verdict.state == "fail"
    assert "5,000 Unavailable: version 2: no such operator" in verdict.reason
