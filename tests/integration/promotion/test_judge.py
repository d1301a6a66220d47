"""The judge on a real Redis: promotes, refuses, goes by steps, and rolls back, each once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from shared.bundle.write import encode_spec
from shared.errors import ProcessError
from shared.messages import Comparison, DecisionReport, Histogram, ServiceReport, Window
from shared.promotion.judge import Judge
from shared.registry.order import now_ms
from tests.integration.promotion.conftest import ANN, AUTOMATIC, ListedReports
from tests.unit.shared.promotion.reports import GATES, HOUR, SPEC, both_reports, report, story, world

GOOD = world(8_000, 1)


def reports(data=GOOD, **fields):
    """Reports of the comparison that began with the candidate of :func:`stage`, at revision 5."""
    return both_reports(data, written_at=now_ms(), **fields)


PROBATION = {"model_version": "1", "champion_version": "2", "basis": 6}
"""Of the comparison that the promotion of that candidate begins."""


def swapped(data):
    carrier, truth, champion, candidate = data
    return carrier, truth, candidate, champion


def kinds(topic: ListedReports) -> list[str]:
    return [decision.decision for decision in topic.decisions]


async def actions(registry) -> list[str]:
    return [entry.action for entry in reversed(await registry.history("flights"))]


async def test_a_candidate_that_passes_is_promoted_and_the_old_champion_kept(stage):
    registry, topic, judge = stage
    assert await judge.turn() == []
    topic.reports += reports()
    (entry,) = await judge.turn()
    assert (entry.action, entry.from_version, entry.to_version, entry.who) == ("promote", "1", "2", "gates")
    assert "brier: " in entry.why
    assert "segment carrier: " in entry.why
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.candidates) == ("2", ("1",))
    assert pointers.since == {"1": pointers.champion_revision}
    (told,) = topic.decisions
    assert isinstance(told, DecisionReport)
    assert (told.decision, told.model_version, told.other_version) == ("promoted", "2", "1")
    assert (told.revision, told.reason) == (entry.revision, entry.why)
    # However often it looks again: the probation has begun, and nothing else happens.
    for _ in range(3):
        assert await judge.turn() == []
    assert kinds(topic) == ["promoted"]


async def test_a_probation_is_passed(stage):
    registry, topic, judge = stage
    topic.reports += reports()
    await judge.turn()
    topic.reports += story(swapped(GOOD), 3, written_at=now_ms(), **PROBATION)
    (entry,) = await judge.turn()
    assert (entry.action, entry.from_version) == ("remove-candidate", "1")
    assert (await registry.pointers("flights")).candidates == ()
    assert kinds(topic) == ["promoted", "probation-passed"]


async def test_a_gate_that_turns_rolls_back_and_the_reason_is_in_the_history(stage):
    registry, topic, judge = stage
    topic.reports += reports()
    await judge.turn()
    # The new champion fails on the events of a carrier that the old one answers.
    topic.reports.append(
        report(**PROBATION, written_at=now_ms(), comparison=Comparison(both=800, candidate_only=60))
    )
    (entry,) = await judge.turn()
    assert (entry.action, entry.from_version, entry.to_version) == ("rollback", "2", "1")
    assert "the new champion failed on 60 of 860 events" in entry.why
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.candidates) == ("1", ())
    assert kinds(topic) == ["promoted", "rolled-back"]
    assert topic.decisions[-1].reason == entry.why
    assert await judge.turn() == []


async def test_what_was_rolled_back_is_not_promoted_again_on_the_old_evidence(stage):
    registry, topic, judge = stage
    topic.reports += reports()
    await judge.turn()
    topic.reports.append(
        report(**PROBATION, written_at=now_ms(), comparison=Comparison(both=800, candidate_only=60))
    )
    await judge.turn()
    await registry.set_candidate("flights", "2", **ANN)
    # Whatever is still told of the earlier comparison, and whenever.
    topic.reports += reports(window=Window(start=9 * HOUR, end=10 * HOUR))
    assert await judge.turn() == []
    pointers = await registry.pointers("flights")
    assert pointers.candidates == ("2",)
    topic.reports += reports(basis=pointers.basis("2"))
    assert [entry.action for entry in await judge.turn()] == ["promote"]


async def test_a_worse_candidate_is_refused_with_the_segment_and_the_reason(stage):
    registry, topic, judge = stage
    topic.reports += reports(world(12_000, 3, worse_in="WN", worse_by=0.6))
    (entry,) = await judge.turn()
    assert (entry.action, entry.from_version) == ("remove-candidate", "2")
    assert "carrier=WN" in entry.why
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.candidates) == ("1", ())
    assert kinds(topic) == ["refused"]
    assert "carrier=WN" in topic.decisions[0].reason


async def test_two_judges_at_once_decide_once(stage, open_registry):
    registry, topic, _ = stage
    topic.reports += reports()
    others = [ListedReports(topic.reports) for _ in range(4)]
    judges = [Judge(open_registry(), other) for other in others]
    answers = await asyncio.gather(*(judge.turn() for judge in judges), return_exceptions=True)
    # Whoever came second found it done, or found the model changed and says so; nothing else.
    assert all(isinstance(a, list) or "expected flights at revision" in str(a) for a in answers)
    for judge in judges:
        await judge.turn()
    assert (await actions(registry)).count("promote") == 2  # the first champion's, and this one
    assert {d.revision for other in others for d in other.decisions} == {6}
    assert all(kinds(other) == ["promoted"] for other in others)


async def test_a_judge_that_was_killed_before_it_told_tells_when_it_is_back(stage):
    registry, topic, judge = stage
    topic.reports += reports()

    async def away(report):
        raise asyncio.CancelledError

    topic.write = away
    with pytest.raises(asyncio.CancelledError):
        await judge.turn()
    again = ListedReports(topic.reports)
    await Judge(registry, again).turn()
    assert kinds(again) == ["promoted"]
    # And where the topic says so already, it is not told a second time.
    third = ListedReports([*topic.reports, *again.decisions])
    await Judge(registry, third).turn()
    assert third.decisions == []


async def test_what_was_decided_long_ago_is_not_told_again(stage):
    registry, topic, judge = stage
    topic.reports += reports()
    await judge.turn()
    later = ListedReports(topic.reports)
    await Judge(registry, later, clock=lambda: now_ms() + 2 * 86_400_000).turn()
    assert later.decisions == []


async def at_the_first_step(open_registry, register):
    """A judge that has just given the candidate its first share of the traffic, 5 of then 50 per cent."""
    registry, topic = open_registry(), ListedReports()
    gates = msgspec.structs.replace(AUTOMATIC, canary_steps=(5, 50), step_events=100)
    await register(registry, "1", "2", gates=gates)
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    judge = Judge(registry, topic)
    topic.reports += reports(basis=4)
    assert [e.percent for e in await judge.turn()] == [5.0]
    return registry, topic, judge


async def test_canary_steps_and_then_the_promotion(open_registry, register):
    registry, topic, judge = await at_the_first_step(open_registry, register)
    assert await judge.turn() == []
    canary = (await registry.pointers("flights")).canary
    assert canary is not None
    assert (canary.version, canary.percent) == ("2", 5.0)
    topic.reports.append(report(basis=4, partition=1, written_at=now_ms(), comparison=Comparison(canary=100)))
    assert [e.percent for e in await judge.turn()] == [50.0]
    topic.reports.append(report(basis=4, partition=2, written_at=now_ms(), comparison=Comparison(canary=100)))
    assert [e.action for e in await judge.turn()] == ["promote"]
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.canary) == ("2", None)
    assert kinds(topic) == ["canary-step", "canary-step", "promoted"]


async def test_without_automatic_only_people_promote_but_a_failing_canary_is_stopped(open_registry, register):
    registry, topic = open_registry(), ListedReports()
    await register(registry, "1", "2", gates=GATES)
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    judge = Judge(registry, topic)
    topic.reports += reports(basis=4)
    assert await judge.turn() == []
    await registry.set_canary("flights", "2", percent=10, **ANN)
    topic.reports.append(
        report(basis=4, partition=1, written_at=now_ms(), comparison=Comparison(champion_only=4_000))
    )
    assert [e.action for e in await judge.turn()] == ["remove-canary"]
    pointers = await registry.pointers("flights")
    assert (pointers.canary, pointers.candidates) == (None, ("2",))
    assert kinds(topic) == ["canary-paused"]


async def test_the_gates_in_force_are_the_champions(open_registry, register):
    """A candidate cannot promote itself with lax gates of its own."""
    registry, topic = open_registry(), ListedReports()
    strict = msgspec.structs.replace(AUTOMATIC, min_labels=1_000_000)
    await register(registry, "1", gates=strict)
    await register(registry, "2", gates=AUTOMATIC)
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    topic.reports += reports(basis=4)
    assert await Judge(registry, topic).turn() == []


async def test_a_model_without_gates_is_left_to_people(open_registry, register):
    registry, topic = open_registry(), ListedReports()
    await register(registry, "1", "2", gates=None)
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    topic.reports += reports(basis=4)
    assert await Judge(registry, topic).turn() == []


async def test_a_canary_that_a_person_ended_is_held_until_a_person_gives_it_more(open_registry, register):
    registry, topic, judge = await at_the_first_step(open_registry, register)
    await registry.remove_canary("flights", **ANN)
    topic.reports.append(report(basis=4, partition=1, comparison=Comparison(canary=500)))
    for _ in range(3):
        assert await judge.turn() == []
    assert (await registry.pointers("flights")).canary is None
    await registry.set_canary("flights", "2", percent=5, **ANN)
    assert [e.percent for e in await judge.turn()] == [50.0]
    await registry.set_canary("flights", "2", percent=5, **ANN)  # lowered: held again
    assert await judge.turn() == []
    await registry.set_canary("flights", "2", percent=20, **ANN)
    assert [e.percent for e in await judge.turn()] == [50.0]
    assert [e.action for e in await judge.turn()] == ["promote"]


@pytest.mark.parametrize("final", [True, False])
async def test_reports_of_one_model_that_cannot_be_added_up_stop_no_other_ones_judging(
    stage, make_bundle, final
):
    registry, topic, judge = stage
    spec = msgspec.structs.replace(SPEC, name="before", version="1", gates=AUTOMATIC)
    for version in "12":
        other = msgspec.structs.replace(spec, version=version)
        bundle = make_bundle(f"b{version}", graph=version.encode(), model_toml=encode_spec(other))
        await registry.register(bundle, **ANN)
    await registry.promote("before", "1", **ANN)
    await registry.set_candidate("before", "2", **ANN)
    basis = (await registry.pointers("before")).basis("2")
    for partition, edges in enumerate([(0.5,), (0.4,), (0.5,)]):
        odd = {"partition": partition, "difference": Histogram(edges=edges, counts=(1, 1))}
        topic.reports.append(report(model="before", basis=basis, final=final, **odd))
    topic.reports += reports()
    with pytest.raises(ProcessError, match="before, 2 against 1, cannot be added up"):
        await judge.turn()
    assert (await registry.pointers("flights")).champion == "2"
    assert kinds(topic) == ["promoted"]


def unloaded(at: int) -> ServiceReport:
    """Inference says of itself that it cannot load the canary."""
    return ServiceReport(
        service="inference",
        instance="box:1",
        version="1",
        started_at=0,
        written_at=at,
        interval=5_000,
        not_loaded={"flights": {"2": "version 2: no such operator"}},
    )


@pytest.mark.parametrize(
    ("gates", "decided", "action"),
    [
        (AUTOMATIC, "refused", "remove-candidate"),
        (msgspec.structs.replace(AUTOMATIC, automatic=False), "canary-paused", "remove-canary"),
    ],
)
async def test_a_canary_that_inference_cannot_load_is_given_up_with_the_error(
    open_registry, register, gates, decided, action
):
    registry, topic = open_registry(), ListedReports()
    await register(registry, "1", "2", gates=msgspec.structs.replace(gates, min_events=10**6))
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    await registry.set_canary("flights", "2", percent=5, **ANN)
    judge, now = Judge(registry, topic), now_ms()
    topic.reports += [*reports(basis=4), *[unloaded(now + 5_000 * number) for number in range(100)]]
    assert await judge.turn() == [], "its patience is 600 s"
    judge = Judge(registry, topic)  # another one, which reads it all again
    topic._read = 0
    topic.reports += [unloaded(now + 5_000 * number) for number in range(100, 125)]
    (entry,) = await judge.turn()
    assert entry.action == action
    assert "inference cannot load it for 620 s (box:1; at most 600 s): version 2: no such op" in entry.why
    assert (await registry.pointers("flights")).canary is None
    assert [(told.decision, told.reason) for told in topic.decisions] == [(decided, entry.why)]
    assert await judge.turn() == []
