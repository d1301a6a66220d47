"""Redis or the broker goes away at any step of a promotion: it has happened once, or not at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
import redis.asyncio as aioredis

from devstack.redis_server import RedisServer
from shared.errors import ServiceError, TransientError
from shared.promotion.judge import Judge
from shared.registry.order import now_ms
from tests.integration.promotion.conftest import ANN, ListedReports
from tests.unit.shared.promotion.reports import both_reports, world

CALLS = ("history", "pointers", "version", "request", "write", "models", "entry")


class Breaking:
    """Counts what a registry asks Redis, and breaks Redis before or after the ``nth`` question."""

    def __init__(self, registry, server: RedisServer, nth: int, *, after: bool) -> None:
        self.asked = 0
        self._server, self._nth, self._after = server, nth, after
        ledger = registry._ledger
        for name in CALLS:
            setattr(ledger, name, self._wrapped(getattr(ledger, name)))

    @property
    def broke(self) -> bool:
        return self.asked >= self._nth

    def _wrapped(self, ask):
        async def asked(*args, **kwargs):
            self.asked += 1
            if self.asked != self._nth:
                return await ask(*args, **kwargs)
            if self._after:
                await ask(*args, **kwargs)
            self._server.kill()
            if self._after:
                raise TransientError("the answer was lost")
            return await ask(*args, **kwargs)

        return asked


async def promoted(registry) -> list[str | None]:
    """Who was promoted, oldest first, without the first champion."""
    history = (await registry.history("flights"))[::-1]
    assert [entry.revision for entry in history] == list(range(1, len(history) + 1))
    return [entry.to_version for entry in history if entry.action == "promote"][1:]


@pytest.fixture
def broken_stage(open_registry, own_redis, bundles):
    """Return a function that sets the stage of a promotion in a Redis that keeps every write at once."""

    async def prepare(prefix: str):
        async with aioredis.Redis.from_url(own_redis.url) as client:
            await client.config_set("appendfsync", "always")

        def opened():
            return open_registry(own_redis.url, prefix=prefix)

        registry = opened()
        for bundle in bundles:
            await registry.register(bundle, **ANN)
        await registry.promote("flights", "1", **ANN)
        await registry.set_candidate("flights", "2", **ANN)
        return opened, ListedReports(both_reports(world(8_000, 1), written_at=now_ms(), basis=4))

    return prepare


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_redis_is_killed_at_each_step_of_a_promotion(broken_stage, own_redis, after):
    outcomes = []
    for nth in range(1, 30):
        opened, topic = await broken_stage(f"round{nth}:")
        registry = opened()
        breaking = Breaking(registry, own_redis, nth, after=after)
        with suppress(ServiceError):
            await Judge(registry, topic).turn()
        if not breaking.broke:
            break  # every step had its turn
        own_redis.start()
        fresh = opened()
        outcomes.append(await promoted(fresh))
        assert outcomes[-1] in ([], ["2"])
        # Nothing is half done: pointer, probation and history agree.
        champion = "2" if outcomes[-1] else "1"
        pointers = await fresh.pointers("flights")
        assert (pointers.champion, pointers.candidates) == (champion, ("1" if champion == "2" else "2",))
        told = ListedReports(topic.reports)
        for _ in range(2):
            await Judge(fresh, told).turn()
        assert await promoted(fresh) == ["2"]
        assert {decision.revision for decision in told.decisions} == {5}
    else:
        pytest.fail("the promotion never ran through")
    assert [] in outcomes  # some were broken before it happened
    assert (["2"] in outcomes) == after  # and some between that and the answer


async def test_redis_is_frozen_while_it_is_told_to_promote(broken_stage, own_redis):
    """The command lies in Redis' own queue: it is carried out after the client has given up."""
    opened, topic = await broken_stage("frozen:")
    registry = opened()
    write = registry._ledger.write

    async def frozen(*args, **kwargs):
        own_redis.suspend()
        return await write(*args, **kwargs)

    registry._ledger.write = frozen
    with pytest.raises(TransientError, match="repeat it with the request id gates/promoted/2/4"):
        await Judge(registry, topic).turn()
    own_redis.resume()
    fresh = opened()
    for _ in range(3):
        await Judge(fresh, ListedReports(topic.reports)).turn()
    assert await promoted(fresh) == ["2"]


async def test_a_decision_that_the_broker_did_not_take_is_told_later(stage):
    registry, topic, judge = stage
    topic.reports += both_reports(world(8_000, 1), written_at=now_ms())
    write, attempts = topic.write, []

    async def away(report):
        attempts.append(report)
        raise TransientError("the broker is away")

    topic.write = away
    for _ in range(3):
        with pytest.raises(TransientError):
            await judge.turn()
    topic.write = write
    await judge.turn()
    await judge.turn()
    assert [d.decision for d in topic.decisions] == ["promoted"]
    assert {a.revision for a in attempts} == {topic.decisions[0].revision}
    assert (await registry.history("flights"))[0].action == "promote"


async def test_nothing_is_decided_while_the_broker_is_away(stage):
    registry, topic, judge = stage
    topic.reports += both_reports(world(8_000, 1), written_at=now_ms())

    async def away(take):
        raise TransientError("the broker is away")

    read, topic.read_to_end = topic.read_to_end, away
    with pytest.raises(TransientError):
        await judge.turn()
    assert (await registry.history("flights"))[0].action == "set-candidate"
    topic.read_to_end = read
    assert [entry.action for entry in await judge.turn()] == ["promote"]
