"""From standing and verdicts to the one change that is due."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.bundle.gates import GatesSpec
from shared.messages import Comparison as Counts
from shared.promotion import Evidence, Gate, Pair, Verdict
from shared.promotion.act import decision_report
from shared.promotion.evidence import Sums
from shared.promotion.rule import Act, hold, next_act
from shared.promotion.standing import Standing, standing
from shared.registry import CanaryShare, HistoryEntry, Pointers

AUTOMATIC = GatesSpec(automatic=True)
STEPS = GatesSpec(automatic=True, canary_steps=(5, 25), step_events=100)
MANUAL = GatesSpec()


def entry(revision: int, action: Any, before: str | None, after: str | None, **other: Any) -> HistoryEntry:
    defaults = {"who": "ann", "why": "", "request_id": str(revision)}
    return HistoryEntry(
        model="m", revision=revision, at=revision * 1_000, action=action,
        from_version=before, to_version=after, **(defaults | other),
    )  # fmt: skip


def stands(canary: CanaryShare | None = None, **since: int) -> Standing:
    """Champion "a" since revision 2, and candidates since the revisions given."""
    pointers = Pointers(
        model="m", champion="a", candidates=tuple(since), since=since, canary=canary,
        revision=9, champion_revision=2,
    )  # fmt: skip
    return standing(pointers)


def in_probation(**since: int) -> Standing:
    """Champion "b", promoted over "a" at revision 7, which kept "a" as candidate."""
    pointers = Pointers(
        model="m",
        champion="b",
        candidates=("a", *since),
        since={"a": 7} | since,
        revision=9,
        champion_revision=7,
    )
    return standing(pointers)


def due(stood: Standing, gates: GatesSpec, answered: int = 0, held: Any = (), **states: str) -> Act | None:
    verdicts, evidence = {}, {}
    for comparison in stood.comparisons:
        pair = comparison.pair
        state: Any = states.get(pair.candidate, "wait")
        verdicts[pair] = Verdict(pair=pair, gates=(Gate(name="brier", state=state, sentence=f"{state} it"),))
        evidence[pair] = Evidence(pair=pair, sums=Sums(comparison=Counts(canary=answered)))
    return next_act(stood, verdicts, evidence, gates, held)


def what(act: Act | None) -> tuple[Any, ...] | None:
    return None if act is None else (act.kind, act.version, act.percent, act.decision_id)


def test_a_comparison_begins_with_the_younger_of_both_changes():
    stood = stands(b=4, c=1)
    assert [(c.pair, c.basis) for c in stood.comparisons] == [
        (Pair("m", "b", "a"), 4),
        (Pair("m", "c", "a"), 2),
    ]
    assert stood.probation is None


def test_a_candidate_that_passes_is_promoted_when_the_gates_are_automatic():
    act = due(stands(b=4), AUTOMATIC, b="pass")
    assert what(act) == ("promoted", "b", None, "gates/promoted/b/4")
    assert act is not None
    assert (act.keep_former, act.reason) == (True, "brier: pass it")
    assert due(stands(b=4), MANUAL, b="pass") is None
    without = due(stands(b=4), msgspec.structs.replace(AUTOMATIC, probation=0), b="pass")
    assert without is not None
    assert not without.keep_former


@pytest.mark.parametrize("gates", [AUTOMATIC, MANUAL, STEPS])
def test_a_candidate_of_which_too_little_is_known_is_left_alone(gates):
    assert due(stands(b=4), gates) is None


def test_a_candidate_that_fails_is_refused_when_the_gates_are_automatic():
    assert what(due(stands(b=4), AUTOMATIC, b="fail")) == ("refused", "b", None, "gates/refused/b/4")
    assert due(stands(b=4), MANUAL, b="fail") is None


def test_the_first_candidate_that_has_something_due_is_next_and_refusals_come_first():
    assert what(due(stands(b=4, c=5), AUTOMATIC, b="wait", c="pass"))[:2] == ("promoted", "c")
    assert what(due(stands(b=4, c=5), AUTOMATIC, b="pass", c="pass"))[:2] == ("promoted", "b")
    # A promotion begins every other comparison anew: what is known against another would be lost.
    assert what(due(stands(b=4, c=5), AUTOMATIC, b="pass", c="fail"))[:2] == ("refused", "c")


def test_canary_steps_are_taken_one_after_the_other_and_then_the_promotion():
    assert what(due(stands(b=4), STEPS, b="pass")) == ("canary-step", "b", 5, "gates/canary-step/b/9/5")
    at5, at25 = CanaryShare("b", 5.0, 10), CanaryShare("b", 25.0, 11)
    assert due(stands(at5, b=4), STEPS, answered=99, b="pass") is None
    assert what(due(stands(at5, b=4), STEPS, answered=100, b="pass"))[:3] == ("canary-step", "b", 25)
    assert due(stands(at25, b=4), STEPS, answered=199, b="pass") is None
    assert what(due(stands(at25, b=4), STEPS, answered=200, b="pass"))[:2] == ("promoted", "b")


def share(revision: int, percent: float | None, who: str = "ann", was: str = "b") -> HistoryEntry:
    """A canary's share set, or ended, by a person or by the rule."""
    signed = {"who": who} | ({"request_id": f"gates/canary-step/b/{revision}"} if who == "gates" else {})
    if percent is None:
        return entry(revision, "remove-canary", was, None, **signed)
    return entry(revision, "set-canary", None, was, percent=percent, **signed)


@pytest.mark.parametrize(
    ("shares", "held"),
    [
        ([], None),
        ([share(5, 5, "gates")], None),
        ([share(5, 5, "gates"), share(6, None)], 6),  # ended
        ([share(5, 5, "gates"), share(6, 25, "gates"), share(7, 5)], 7),  # lowered
        ([share(5, 5, "gates"), share(6, None), share(7, 5)], None),  # given again
        ([share(5, 5, "gates"), share(6, 10)], None),  # raised
        ([share(5, 5), share(6, None, was="c")], None),  # another one's
        ([share(3, 5), share(4, None)], None),  # of an earlier comparison
    ],
)
def test_a_person_who_gives_a_canary_less_holds_it(shares, held):
    (comparison,) = stands(b=4).comparisons
    found = hold(comparison, shares[::-1])
    assert (found and found.revision) == held


def test_who_is_held_goes_no_further_and_is_still_refused():
    pair = Pair("m", "b", "a")
    assert due(stands(b=4), STEPS, held=[pair], b="pass") is None
    assert due(stands(b=4), AUTOMATIC, held=[pair], b="pass") is None
    assert what(due(stands(b=4), STEPS, held=[pair], b="fail"))[:2] == ("refused", "b")


def test_a_step_is_not_taken_while_a_gate_waits_or_another_version_is_the_canary():
    assert due(stands(CanaryShare("b", 5.0, 10), b=4), STEPS, answered=500, b="wait") is None
    assert due(stands(CanaryShare("c", 5.0, 10), b=4, c=4), STEPS, answered=500, b="pass") is None


def test_a_canary_that_fails_loses_its_traffic_also_when_a_person_gave_it():
    canary = CanaryShare("b", 10.0, 6)
    assert what(due(stands(canary, b=4), MANUAL, b="fail")) == (
        "canary-paused", "b", None, "gates/canary-paused/b/6",
    )  # fmt: skip
    assert what(due(stands(canary, b=4), AUTOMATIC, b="fail"))[:2] == ("refused", "b")


@pytest.mark.parametrize("gates", [AUTOMATIC, MANUAL])
def test_a_probation_ends_one_way_or_the_other(gates):
    stood = in_probation()
    assert stood.probation is not None
    assert stood.probation.pair == Pair("m", "a", "b")
    assert due(stood, gates, a="wait") is None
    assert what(due(stood, gates, a="fail")) == ("rolled-back", "b", None, "gates/rolled-back/b/7")
    assert what(due(stood, gates, a="pass")) == (
        "probation-passed", "b", None, "gates/probation-passed/b/7",
    )  # fmt: skip


def test_nobody_is_promoted_in_a_probation_but_refusals_go_on():
    stood = in_probation(c=8)
    assert due(stood, AUTOMATIC, a="wait", c="pass") is None
    assert what(due(stood, AUTOMATIC, a="wait", c="fail"))[:2] == ("refused", "c")
    assert what(due(stood, AUTOMATIC, a="fail", c="fail"))[:2] == ("rolled-back", "b")


def test_an_old_champion_that_a_person_made_candidate_again_is_no_probation():
    pointers = Pointers(
        model="m", champion="b", candidates=("a",), since={"a": 8}, revision=8, champion_revision=7
    )
    assert standing(pointers).probation is None


def test_a_model_without_champion_has_no_comparison():
    pointers = Pointers(model="m", candidates=("a",), since={"a": 2}, revision=2)
    assert standing(pointers).comparisons == ()


def test_what_is_told_comes_from_the_history_alone():
    told = decision_report(
        entry(8, "rollback", "b", "a", who="gates", why="errors: many", request_id="gates/rolled-back/b/7")
    )
    assert told is not None
    assert (told.decision, told.model_version, told.other_version) == ("rolled-back", "b", "a")
    assert (told.revision, told.reason, told.written_at, told.subject) == (
        8,
        "errors: many",
        8_000,
        "revision 8",
    )
    step = decision_report(
        entry(5, "set-canary", "b", "b", percent=25.0, request_id="gates/canary-step/b/4/25")
    )
    assert step is not None
    assert (step.decision, step.percent, step.other_version) == ("canary-step", 25.0, None)
    assert decision_report(entry(5, "promote", "a", "b", request_id="gates/nonsense/b/4")) is None
    assert decision_report(entry(5, "promote", "a", "b")) is None
