"""A rollback by rule through all services: promoted by the gates, failing in its probation, taken back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from shared.bundle.gates import GatesSpec
from shared.messages import Alert, DecisionReport
from tests.integration.shadow import conftest
from tests.integration.shadow.conftest import ANN, Stage, blind_below_zero, unknown_operator
from tests.integration.shadow.test_judge import decisions
from tests.integration.shadow.test_service import START, done, make_events, running
from tests.processes import service
from tests.streams import produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]

GATES = GatesSpec(
    metric="none", automatic=True, min_events=600, max_error_rate=0.01, max_latency_ratio=50, probation=86_400
)


def sunny(first: int, count: int) -> list[tuple[int, bytes]]:
    """Events whose first feature is never negative."""
    made = []
    for number in range(first, first + count):
        features = {"f0": number % 9, "f1": number % 4, "f2": -(number % 7)}
        value = {"event_id": f"e{number}", "occurred_at": START + number * 3_000, "features": features}
        made.append((number % conftest.PARTITIONS, msgspec.json.encode(value)))
    return made


async def values(stage: Stage, topic: str) -> list[Any]:
    found = (await read_all(stage.client, topic)).values()
    return [record.value for records in found for record in records]


async def versions(stage: Stage, first: int) -> tuple[set[str], int]:
    """Who answered the events from this number on, and how many of them."""
    answers = [msgspec.json.decode(value) for value in await values(stage, stage.topics.predictions)]
    late = [a["model_version"] for a in answers if int(a["event_id"][1:]) >= first]
    return set(late), len(late)


async def rollback_alerts(stage: Stage) -> list[Alert]:
    alerts = [msgspec.json.decode(value, type=Alert) for value in await values(stage, stage.topics.alerts)]
    return [alert for alert in alerts if alert.rule == "rolled-back"]


async def test_a_gate_that_turns_in_the_probation_takes_the_new_champion_back(stage, monkeypatch):
    spec_of = conftest.spec_of
    monkeypatch.setattr(conftest, "spec_of", lambda v: msgspec.structs.replace(spec_of(v), gates=GATES))
    await stage.publish("1")
    await stage.publish("2", candidate=True, graph=blind_below_zero())
    settings = stage.settings | {"DRIFTLINE_JUDGE_SECONDS": "0.3"}
    telling = {key: value for key, value in stage.settings.items() if key != "DRIFTLINE_REPORT_SECONDS"}
    with ExitStack() as stack:
        alerting = stack.enter_context(service("alerting", stage.folder, telling))
        inference = stack.enter_context(service("inference", stage.folder, stage.settings))
        shadow = stack.enter_context(service("shadow", stage.folder, settings))
        for process in (inference, shadow, alerting):
            await process.ready()
        await running(shadow, "2")
        sent = 0

        async def decided(wanted: list[str], make: Any) -> bool:
            nonlocal sent
            await produce(stage.client, stage.topics.events, make(sent, 600))
            sent += 600
            await done(stage, sent, "inference")
            return await decisions(stage) == wanted

        await until(lambda: decided(["promoted"], sunny), every=0.5, seconds=120, what="the promotion")
        pointers = await stage.registry.pointers("demo")
        assert (pointers.champion, pointers.candidates) == ("2", ("1",))  # the probation
        shadow.part.kill()  # the judge is away while the gate turns, and comes back
        another = stack.enter_context(service("shadow", stage.folder, settings))
        await another.ready()
        await until(
            lambda: decided(["promoted", "rolled-back"], lambda n, k: make_events(n, k, bad_every=10**9)),
            every=0.5,
            seconds=120,
            what="the rollback",
        )

        async def served_by_the_old_one() -> bool:
            nonlocal sent
            first, sent = sent, sent + 60
            await produce(stage.client, stage.topics.events, make_events(first, 60, bad_every=10**9))
            await done(stage, sent, "inference")
            return await versions(stage, first) == ({"1"}, 60)

        await until(served_by_the_old_one, seconds=60, every=0.5, what="the old champion to answer")
        await until(lambda: rollback_alerts(stage), seconds=60, what="the alert")

    history = await stage.registry.history("demo")
    assert [entry.action for entry in history][:2] == ["rollback", "promote"]
    assert [entry.who for entry in history[:2]] == ["gates", "gates"]
    assert "the new champion failed on" in history[0].why
    pointers = await stage.registry.pointers("demo")
    assert (pointers.champion, pointers.candidates) == ("1", ())
    told = [
        msgspec.json.decode(value, type=DecisionReport)
        for value in await values(stage, stage.topics.reports)
        if b'"rolled-back"' in value
    ]
    assert {(report.revision, report.reason) for report in told} == {(history[0].revision, history[0].why)}
    (alert, *more) = await rollback_alerts(stage)
    assert {one.alert_id for one in more} <= {alert.alert_id}
    assert (alert.severity, alert.status, alert.model_version) == ("critical", "firing", "2")
    assert "the new champion failed on" in alert.summary
    # Whoever was champion when an event came, it was answered once or is a dead letter.
    answers = [msgspec.json.decode(value) for value in await values(stage, stage.topics.predictions)]
    letters = await values(stage, stage.topics.dead_letters)
    assert len(answers) + len(letters) == sent
    assert len({answer["event_id"] for answer in answers}) == len(answers)


async def test_a_new_champion_that_takes_inference_with_it_is_rolled_back(stage, monkeypatch):
    """Nothing is compared then, and so no other gate would ever turn."""
    spec_of, gates = conftest.spec_of, msgspec.structs.replace(GATES, answer_within=8)
    monkeypatch.setattr(conftest, "spec_of", lambda v: msgspec.structs.replace(spec_of(v), gates=gates))
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    settings = stage.settings | {"DRIFTLINE_JUDGE_SECONDS": "0.3"}
    with (
        service("inference", stage.folder, stage.settings) as inference,
        service("shadow", stage.folder, settings) as shadow,
    ):
        for process in (inference, shadow):
            await process.ready()
        await running(shadow, "2")
        sent = 0

        async def decided() -> bool:
            nonlocal sent
            await produce(stage.client, stage.topics.events, sunny(sent, 600))
            sent += 600
            await done(stage, sent, "inference")
            return await decisions(stage) == ["promoted"]

        await until(decided, every=0.5, seconds=120, what="the promotion")
        inference.part.kill()  # as a model that crashes its process does, again and again
        await running(shadow, "1")
        await produce(stage.client, stage.topics.events, sunny(sent, 60))

        async def rolled_back() -> bool:
            return await decisions(stage) == ["promoted", "rolled-back"]

        await until(rolled_back, every=0.5, seconds=90, what="the rollback")
    history = await stage.registry.history("demo")
    assert "answers: no champion has answered for" in history[0].why
    assert (await stage.registry.pointers("demo")).champion == "1"


async def test_a_canary_that_inference_cannot_load_is_given_up_and_the_champion_answers(stage, monkeypatch):
    spec_of = conftest.spec_of
    # So many events that nothing else is ever decided, not even that the shadow cannot load it either.
    gates = msgspec.structs.replace(GATES, min_events=10**9, answer_within=6)
    monkeypatch.setattr(conftest, "spec_of", lambda v: msgspec.structs.replace(spec_of(v), gates=gates))
    await stage.publish("1")
    await stage.publish("2", candidate=True, graph=unknown_operator())
    beating = stage.settings | {"DRIFTLINE_HEARTBEAT_SECONDS": "1"}
    with (
        service("inference", stage.folder, beating) as inference,
        service("shadow", stage.folder, stage.settings | {"DRIFTLINE_JUDGE_SECONDS": "0.3"}) as shadow,
    ):
        for process in (inference, shadow):
            await process.ready()
        await stage.registry.set_canary("demo", "2", percent=50, **ANN)
        await produce(stage.client, stage.topics.events, sunny(0, 600))
        await done(stage, 600, "inference", "shadow")

        async def given_up() -> bool:
            return await decisions(stage) == ["refused"]

        await until(given_up, every=0.5, seconds=90, what="the canary to be given up")
        assert await versions(stage, 0) == ({"1"}, 600)
    (entry, *_) = await stage.registry.history("demo")
    assert (entry.action, entry.from_version, entry.who) == ("remove-candidate", "2", "gates")
    assert "none of its 50 % of the traffic has been answered yet; inference cannot load it for" in entry.why
    assert "NoSuchOperator" in entry.why
    pointers = await stage.registry.pointers("demo")
    assert (pointers.champion, pointers.candidates, pointers.canary) == ("1", (), None)
