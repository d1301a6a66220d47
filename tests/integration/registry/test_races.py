"""Writers at once, and Redis going away in the middle of a change: no change is lost or made twice."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import RegistryError, TransientError

ANN = {"who": "ann", "why": "race"}


@pytest.fixture
async def pair(open_registry, make_bundle):
    """Two clients of a registry with versions 1 and 2 of flights (revisions 1 and 2)."""
    first, second = open_registry(), open_registry()
    for version in "12":
        await first.register(make_bundle(version, graph=version.encode()), who="ann", why="trained")
    return first, second


async def test_changes_that_commute_all_happen(pair):
    async def toggle(registry, version: str) -> None:
        for _ in range(100):
            await registry.set_candidate("flights", version, **ANN)
            await registry.remove_candidate("flights", version, **ANN)

    await asyncio.gather(toggle(pair[0], "1"), toggle(pair[1], "2"))
    entries = (await pair[0].history("flights"))[::-1]
    assert [e.revision for e in entries] == list(range(1, 403))
    for version in "12":
        own = [e.action for e in entries if version in (e.from_version, e.to_version)]
        assert own == ["register", *["set-candidate", "remove-candidate"] * 100]
    pointers = await pair[0].pointers("flights")
    assert (pointers.candidates, pointers.revision) == ((), 402)


async def test_of_two_promotions_at_one_revision_one_wins(pair):
    for _ in range(200):
        revision = (await pair[0].pointers("flights")).revision
        champion = (await pair[0].pointers("flights")).champion
        other = "2" if champion == "1" else "1"
        answers = await asyncio.gather(
            *(
                r.promote("flights", other, who=w, why="race", expect_revision=revision)
                for r, w in zip(pair, "ab", strict=True)
            ),
            return_exceptions=True,
        )
        won = [a for a in answers if not isinstance(a, BaseException)]
        lost = [a for a in answers if isinstance(a, RegistryError)]
        assert (len(won), len(lost)) == (1, 1)
        assert str(won[0]) in str(lost[0])
    assert [e.revision for e in await pair[0].history("flights")] == list(range(202, 0, -1))


async def test_a_promotion_is_not_repeated_over_another_champion(pair):
    """Without an expected revision, a promotion goes ahead only while the champion it found is there."""
    ledger, real = pair[0]._ledger, pair[0]._ledger.write

    async def late(*args, **kwargs):
        ledger.write = real
        await pair[1].promote("flights", "2", who="bob", why="first")
        return await real(*args, **kwargs)

    ledger.write = late
    with pytest.raises(
        RegistryError,
        match=r"promote expected flights with champion none, but it is at revision 3 with champion 2\. "
        r"Newest first: revision 3: promoted 2, by bob \(first\)",
    ):
        await pair[0].promote("flights", "1", **ANN)
    assert (await pair[0].pointers("flights")).champion == "2"


async def test_a_promotion_is_repeated_over_a_change_that_does_not_touch_it(pair):
    ledger, real = pair[0]._ledger, pair[0]._ledger.write

    async def late(*args, **kwargs):
        ledger.write = real
        await pair[1].set_candidate("flights", "2", who="bob", why="first")
        return await real(*args, **kwargs)

    ledger.write = late
    assert (await pair[0].promote("flights", "1", **ANN)).revision == 4
    pointers = await pair[0].pointers("flights")
    assert (pointers.champion, pointers.candidates) == ("1", ("2",))


async def test_a_promotion_whose_answer_is_lost_happens_once(open_registry, own_redis, make_bundle):
    registry = open_registry(own_redis.url + "?socket_timeout=0.3")
    await registry.register(make_bundle("1"), who="ann", why="trained")
    real = registry._ledger.write

    async def write(*args, **kwargs):
        own_redis.suspend()  # the command is sent, and lies unread in the socket of a Redis that stands still
        return await real(*args, **kwargs)

    registry._ledger.write = write
    with pytest.raises(TransientError, match=r"whether flights was changed is unknown, .* request id r1"):
        await registry.promote("flights", "1", request_id="r1", **ANN)
    own_redis.resume()
    registry._ledger.write = real
    done = await registry.promote("flights", "1", request_id="r1", **ANN)
    assert (done.revision, done.request_id) == (2, "r1")
    assert [e.action for e in await registry.history("flights")] == ["promote", "register"]


async def test_a_promotion_that_never_arrived_happens_once(open_registry, own_redis, make_bundle):
    registry = open_registry(own_redis.url)
    await registry.register(make_bundle("1"), who="ann", why="trained")
    real = registry._ledger.write

    async def write(*args, **kwargs):
        own_redis.stop()
        return await real(*args, **kwargs)

    registry._ledger.write = write
    with pytest.raises(TransientError, match="request id r1"):
        await registry.promote("flights", "1", request_id="r1", **ANN)
    own_redis.start()
    registry._ledger.write = real
    assert (await registry.promote("flights", "1", request_id="r1", **ANN)).revision == 2
    assert [e.action for e in await registry.history("flights")] == ["promote", "register"]


async def test_a_request_is_not_refused_over_its_own_late_copy(pair):
    """The first copy, given up for lost, arrives just when the repetition begins to look."""
    ledger, real = pair[0]._ledger, pair[0]._ledger.pointers

    async def late(models):
        ledger.pointers = real
        await pair[1].promote("flights", "1", request_id="r1", expect_revision=2, **ANN)
        return await real(models)

    ledger.pointers = late
    done = await pair[0].promote("flights", "1", request_id="r1", expect_revision=2, **ANN)
    assert (done.revision, done.request_id) == (3, "r1")
