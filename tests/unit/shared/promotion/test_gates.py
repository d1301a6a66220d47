"""Every gate passes, waits and fails where it should, and says why."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from shared.messages import Comparison, Judged, Ranking, ShadowReport, Sums, Timing, Window
from shared.promotion import Evidence, Gathered, Pair, judge_candidate, judge_probation
from shared.promotion.gates import shown_above
from shared.promotion.segments import segment_count
from tests.unit.shared.promotion.reports import GATES, HOUR, SPEC, both_reports, report, story, world

PAIR = Pair("flights", "2", "1")


def gathered(*reports: ShadowReport) -> Evidence:
    found = Gathered()
    for one in reports:
        found.take(one)
    return found.evidence(PAIR)


def states(verdict) -> dict[str, str]:
    return {gate.name: gate.state for gate in verdict.gates}


def gate(verdict, name: str):
    (found,) = [gate for gate in verdict.gates if gate.name == name]
    return found


def changed(**keys):
    return msgspec.structs.replace(GATES, **keys)


def test_an_equal_candidate_passes_as_non_inferior():
    verdict = judge_candidate(gathered(*both_reports(world(8_000, 1))), SPEC, GATES)
    assert states(verdict) == {
        "events": "pass", "errors": "pass", "latency": "pass", "brier": "pass", "segment carrier": "pass",
    }  # fmt: skip
    assert verdict.state == "pass"
    assert "8,000 labels); must be shown to be no worse than by 0.01" in gate(verdict, "brier").sentence


def test_the_same_candidate_is_not_superior_and_waits():
    evidence = gathered(*both_reports(world(8_000, 1)))
    verdict = judge_candidate(evidence, SPEC, changed(rule="superior", margin=0.0))
    assert (verdict.state, gate(verdict, "brier").state) == ("wait", "wait")
    assert verdict.reason.startswith("brier: ")


@pytest.mark.parametrize("metric", ["brier", "log_loss", "accuracy", "win_rate"])
def test_a_better_candidate_is_superior_and_the_reverse_fails(metric):
    carrier, truth, champion, candidate = world(8_000, 2, noise=0.02)
    worse = 0.5 * champion + 0.5 * (1 - champion)
    gates = changed(metric=metric, rule="superior", margin=0.0, guard_segments=())
    better = judge_candidate(gathered(*both_reports((carrier, truth, worse, candidate))), SPEC, gates)
    assert gate(better, metric).state == "pass", gate(better, metric).sentence
    reverse = judge_candidate(gathered(*both_reports((carrier, truth, candidate, worse))), SPEC, gates)
    assert reverse.state == "fail"
    assert "worse by" in reverse.reason


def test_a_candidate_that_is_worse_for_one_carrier_alone_fails_and_the_carrier_is_named():
    evidence = gathered(*both_reports(world(12_000, 3, worse_in="WN", worse_by=0.6)))
    lenient = judge_candidate(evidence, SPEC, changed(guard_segments=(), margin=0.05))
    assert lenient.state == "pass"
    verdict = judge_candidate(evidence, SPEC, changed(margin=0.05, segment_margin=0.05))
    failed = gate(verdict, "segment carrier")
    assert (failed.state, failed.segment) == ("fail", "carrier=WN")
    assert "is shown to be worse by more than 0.05 in carrier=WN (worse by 0.1" in verdict.reason


def test_a_segment_that_looks_worse_and_is_not_shown_to_be_holds_the_promotion_up():
    evidence = gathered(*both_reports(world(3_000, 4, worse_in="WN", worse_by=0.4)))
    found = gate(judge_candidate(evidence, SPEC, changed(margin=0.2)), "segment carrier")
    assert (found.state, found.segment) == ("wait", "carrier=WN")
    assert "may be worse by more than 0.03 in carrier=WN" in found.sentence


def test_a_segment_with_few_labels_decides_nothing_and_is_counted():
    evidence = gathered(*both_reports(world(3_000, 4, worse_in="WN", worse_by=1.0)))
    found = gate(judge_candidate(evidence, SPEC, changed(min_segment_labels=500)), "segment carrier")
    assert found.state == "pass"
    assert "1 have fewer than 500 labels and decide nothing" in found.sentence


def test_alpha_is_shared_among_all_segments_there_can_be():
    assert segment_count(SPEC, GATES) == 4  # three declared carriers and what is missing


def test_too_few_events_and_labels_wait():
    verdict = judge_candidate(gathered(*both_reports(world(400, 5))), SPEC, GATES)
    assert states(verdict) == {
        "events": "wait", "errors": "wait", "latency": "wait", "brier": "wait", "segment carrier": "pass",
    }  # fmt: skip
    assert gate(verdict, "events").sentence == "400 pairs of answers of the 1,000 needed"
    assert gate(verdict, "brier").sentence.endswith("400 labels of the 500 needed")


def test_nothing_at_all_waits():
    verdict = judge_candidate(gathered(), SPEC, GATES)
    assert verdict.state == "wait"
    assert gate(verdict, "brier").sentence.startswith("no labels yet; 0 labels")


def test_with_few_labels_nothing_is_decided_against_a_candidate_either():
    """What is true of one day need not be of the next: ``min_labels`` says how many it takes."""
    carrier, truth, champion, _ = world(450, 6)
    evidence = gathered(*both_reports((carrier, truth, champion, 1 - champion)))
    verdict = judge_candidate(evidence, SPEC, changed(min_segment_labels=50))
    assert [gate(verdict, name).state for name in ("brier", "segment carrier")] == ["wait", "wait"]
    decided = judge_candidate(evidence, SPEC, changed(min_segment_labels=50, min_labels=450))
    assert [gate(decided, name).state for name in ("brier", "segment carrier")] == ["fail", "fail"]


def test_an_exact_metric_rolls_back_from_the_first_label_on_and_an_area_does_not():
    carrier, truth, champion, _ = world(450, 6)
    evidence = gathered(*both_reports((carrier, truth, 1 - champion, champion)))
    assert gate(judge_probation(evidence, SPEC, GATES), "brier").state == "fail"
    assert gate(judge_probation(evidence, SPEC, changed(metric="auc")), "auc").state == "wait"


def test_what_a_probation_tolerates():
    assert GATES.tolerated_in_probation == 0.01
    assert changed(rule="superior", margin=0.0).tolerated_in_probation == 0.03
    assert changed(probation_margin=0.5).tolerated_in_probation == 0.5


def test_errors_fail_as_soon_as_they_cannot_be_mended():
    few = report(comparison=Comparison(both=300, champion_only=10))
    assert gate(judge_candidate(gathered(few), SPEC, GATES), "errors").state == "wait"
    more = report(comparison=Comparison(both=300, champion_only=40), errors={"Timeout": 40})
    found = gate(judge_candidate(gathered(more), SPEC, GATES), "errors")
    assert found.state == "fail"
    assert found.sentence == (
        "the candidate failed on 40 of 340 events (11.76%; at most 1.00%) (40 Timeout)"
    )  # fmt: skip


def test_errors_a_little_above_the_limit_wait_and_do_not_refuse():
    above = report(comparison=Comparison(both=9_989, champion_only=11))
    verdict = judge_candidate(gathered(above), SPEC, changed(max_error_rate=0.001, min_events=10_000))
    assert gate(verdict, "errors").state == "wait"
    none = judge_candidate(gathered(above), SPEC, changed(max_error_rate=0.0))
    assert gate(none, "errors").state == "fail"


def test_a_rate_at_its_limit_is_hardly_ever_refused_however_often_one_looks():
    rng, alpha, limit = np.random.default_rng(5), 0.1, 0.02
    refused = crossed = 0
    for _ in range(100):
        hits = rng.random(3_000) < limit
        looks = [(int(hits[:n].sum()), n) for n in range(100, 3_001, 100)]
        refused += any(shown_above(*look, limit, alpha) for look in looks)
        crossed += any(found > limit * n for found, n in looks)
    assert crossed > 80, "a point estimate crosses it nearly always"
    assert refused <= 10


def test_a_candidate_that_never_answers_fails_although_it_never_has_enough_pairs():
    dead = report(comparison=Comparison(champion_only=5_000), errors={"Crash": 5_000}, trouble="it crashed")
    verdict = judge_candidate(gathered(dead), SPEC, GATES)
    assert verdict.state == "fail"
    assert gate(verdict, "events").sentence.endswith("the candidate gives no answers now: it crashed")


@pytest.mark.parametrize("metric", ["brier", "win_rate", "auc"])
def test_sums_that_no_pairs_could_have_decide_nothing(metric):
    """A correction whose first label was counted elsewhere: one pair, two wins."""
    judged = Judged(pairs=1, wins=2, ties=-1, brier=Sums(n=1, total=1.5, squares=1.25))
    edges = {"edges": (0.5,), "joint_edges": (0.5,)}
    counts = {
        f"{who}_{what}": (-1, 2) for who in ("champion", "candidate") for what in ("positive", "negative")
    }
    odd = report(source_topic="labelled", judged=judged, ranking=Ranking(**edges, **counts))
    gates = changed(metric=metric, min_labels=1)
    for verdict in (judge_candidate(gathered(odd), SPEC, gates), judge_probation(gathered(odd), SPEC, gates)):
        assert gate(verdict, metric).state == "wait"
        assert "nothing can be said" in gate(verdict, metric).sentence


def test_what_a_canary_could_not_answer_is_judged():
    def verdict(answered: int, failed: int):
        live = report(comparison=Comparison(both=2_000, canary=answered), fallbacks=failed)
        return judge_candidate(gathered(live), SPEC, GATES)

    assert "canary" not in states(verdict(0, 0))
    assert [states(verdict(1_000 - n, n))["canary"] for n in (0, 10, 15, 60)] == [
        "pass",
        "pass",
        "wait",
        "fail",
    ]
    assert gate(verdict(940, 60), "canary").sentence == (
        "could not answer 60 of its 1,000 events (6.00%; at most 1.00%)"
    )


def test_a_slow_candidate_fails():
    def windows(*seconds: float) -> list[ShadowReport]:
        return [
            report(
                comparison=Comparison(both=2_000, agreed=2_000),
                window=Window(start=hour * HOUR, end=(hour + 1) * HOUR),
                champion_timing=Timing(events=2_000, seconds=0.01),
                candidate_timing=Timing(events=2_000, seconds=spent),
            )
            for hour, spent in enumerate(seconds)
        ]

    found = gate(judge_candidate(gathered(*windows(0.05, 0.05, 0.05)), SPEC, GATES), "latency")
    assert (found.state, found.sentence) == (
        "fail",
        "25.0 us per event against 5.0, 5.00 times (at most 2), too slow in 3 of 3 windows",
    )
    # One busy hour, and too few hours, decide nothing yet.
    for waiting in (windows(0.05, 0.05), windows(0.01, 0.3, 0.01, 0.01), windows(0.3)):
        assert gate(judge_candidate(gathered(*waiting), SPEC, GATES), "latency").state == "wait"
    assert (
        gate(judge_candidate(gathered(*windows(0.3, *[0.01] * 40)), SPEC, GATES), "latency").state == "pass"
    )


def test_agreement_is_a_gate_only_where_it_is_asked_for():
    rows = report(comparison=Comparison(both=2_000, agreed=1_500))
    assert "agreement" not in states(judge_candidate(gathered(rows), SPEC, GATES))
    found = gate(judge_candidate(gathered(rows), SPEC, changed(min_agreement=0.8)), "agreement")
    assert (found.state, found.sentence) == (
        "fail", "the same label in 75.00% of 2,000 pairs (at least 80.00%)",
    )  # fmt: skip


def test_without_labels_only_the_other_gates_decide():
    (events, _) = both_reports(world(2_000, 7))
    verdict = judge_candidate(gathered(events), SPEC, changed(metric="none", guard_segments=()))
    assert (verdict.state, list(states(verdict))) == ("pass", ["events", "errors", "latency"])


def swapped(data):
    """The old champion as candidate of the new one."""
    carrier, truth, champion, candidate = data
    return carrier, truth, candidate, champion


def test_a_probation_is_passed_when_its_time_is_over_and_nothing_turned():
    data = swapped(world(4_000, 8))
    early = judge_probation(gathered(*story(data, windows=2)), SPEC, GATES)
    assert states(early)["probation"] == "wait"
    assert early.state == "wait"
    ahead = report(window=Window(start=500_000 * HOUR, end=500_001 * HOUR), comparison=Comparison(both=1))
    assert states(judge_probation(gathered(*story(data, windows=2), ahead), SPEC, GATES)) == states(early)
    late = judge_probation(gathered(*story(data, windows=3)), SPEC, GATES)
    assert late.state == "pass", late


def test_a_probation_is_not_passed_before_the_labels_have_come():
    (events, _) = both_reports(swapped(world(4_000, 8)))
    verdict = judge_probation(gathered(events), SPEC, GATES)
    assert (verdict.state, states(verdict)["brier"]) == ("wait", "wait")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"waiting_seconds": 601.0}, "no champion has answered for 601 s (at most 600 s)"),
        (
            {"superseded": 40, "superseded_seconds": 700.0},
            "2 still answered 700 s after the promotion (40 events) (at most 600 s)",
        ),
    ],
)
def test_a_new_champion_that_does_not_answer_fails_its_probation(said, why):
    found = judge_probation(gathered(report(final=False, **said)), SPEC, GATES)
    assert (gate(found, "answers").state, gate(found, "answers").sentence) == ("fail", why)
    assert "answers" not in states(judge_candidate(gathered(report(**said)), SPEC, GATES))


def test_a_new_champion_that_was_slow_to_begin_and_answers_now_is_left_in_its_probation():
    slow = report(written_at=10, waiting_seconds=900.0, superseded=40, superseded_seconds=500.0)
    later = report(written_at=20, window=Window(start=2 * HOUR, end=3 * HOUR), comparison=Comparison(both=5))
    for reports in ([slow, later], [later, slow]):
        found = gate(judge_probation(gathered(*reports), SPEC, GATES), "answers")
        assert (found.state, found.sentence) == ("pass", "the new champion answers (within 600 s)")


def test_a_new_champion_that_turns_out_worse_fails_its_probation():
    carrier, truth, champion, candidate = world(4_000, 9, worse_in="AA", worse_by=0.5)
    verdict = judge_probation(gathered(*both_reports((carrier, truth, candidate, champion))), SPEC, GATES)
    assert verdict.state == "fail"
    assert "the old champion is better by" in gate(verdict, "brier").sentence
    assert gate(verdict, "segment carrier").segment == "carrier=AA"


def test_a_new_champion_that_fails_on_events_the_old_one_answers_fails_its_probation():
    rows = report(comparison=Comparison(both=500, candidate_only=200))
    verdict = judge_probation(gathered(rows), SPEC, GATES)
    assert gate(verdict, "errors").state == "fail"
    assert "the new champion failed on 200 of 700 events" in verdict.reason
