"""The judge inside the shadow service: real reports decide, inference follows, everybody is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.bundle.gates import GatesSpec
from shared.messages import DecisionReport
from tests.integration.shadow import conftest
from tests.integration.shadow.test_service import done, make_events, running
from tests.processes import service
from tests.streams import produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

GATES = GatesSpec(
    metric="none", automatic=True, min_events=600, max_error_rate=0.01, max_latency_ratio=50, probation=600
)


async def decisions(stage: Any) -> list[str]:
    found = {}
    for records in (await read_all(stage.client, stage.topics.reports)).values():
        for record in records:
            if record.key.startswith(b"decision/"):
                told = msgspec.json.decode(record.value, type=DecisionReport)
                found[told.revision] = told.decision
    return [found[revision] for revision in sorted(found)]


async def test_a_candidate_is_promoted_by_rule_and_proves_itself(stage, monkeypatch):
    spec_of = conftest.spec_of
    monkeypatch.setattr(conftest, "spec_of", lambda v: msgspec.structs.replace(spec_of(v), gates=GATES))
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    settings = stage.settings | {"DRIFTLINE_JUDGE_SECONDS": "0.3"}
    with (
        service("inference", stage.folder, stage.settings) as inference,
        service("shadow", stage.folder, settings) as shadow,
        service("shadow", stage.folder, settings) as another,  # two judges
    ):
        for process in (inference, shadow, another):
            await process.ready()
        await running(shadow, "2")
        await running(another, "2")
        sent = 0

        async def decided(count: int) -> bool:
            nonlocal sent
            await produce(stage.client, stage.topics.events, make_events(sent, 600, bad_every=10**9))
            sent += 600
            await done(stage, sent, "inference")
            return len(await decisions(stage)) >= count

        await until(lambda: decided(2), every=0.5, seconds=150, what="the promotion and its probation")
    assert await decisions(stage) == ["promoted", "probation-passed"]
    history = (await stage.registry.history("demo"))[::-1]
    assert [entry.action for entry in history][2:] == [
        "register",
        "set-candidate",
        "promote",
        "remove-candidate",
    ]
    assert [entry.who for entry in history[-2:]] == ["gates", "gates"]
    pointers = await stage.registry.pointers("demo")
    assert (pointers.champion, pointers.candidates) == ("2", ())
    answered = [
        msgspec.json.decode(record.value)["model_version"]
        for records in (await read_all(stage.client, stage.topics.predictions)).values()
        for record in records
    ]
    assert set(answered) == {"1", "2"}
    assert len(answered) == sent
