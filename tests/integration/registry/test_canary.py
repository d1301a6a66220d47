"""The canary's share among the pointers: compare and set, history, and what ends it."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import RegistryError
from shared.registry import CanaryShare

ANN = {"who": "ann", "why": "AUC"}


@pytest.fixture
async def registry(open_registry, make_bundle):
    """Champion 1, candidates 2 and 3: revision 6."""
    registry = open_registry()
    for version in "123":
        await registry.register(make_bundle(version, graph=version.encode()), **ANN)
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    await registry.set_candidate("flights", "3", **ANN)
    return registry


async def test_a_share_is_set_changed_and_taken_back(registry):
    await registry.set_canary("flights", "2", percent=5, **ANN)
    assert (await registry.pointers("flights")).canary == CanaryShare("2", 5.0, 7)
    await registry.set_canary("flights", "3", percent=12.5, **ANN)
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.candidates, pointers.canary) == (
        "1", ("2", "3"), CanaryShare("3", 12.5, 8),
    )  # fmt: skip
    await registry.remove_canary("flights", **ANN)
    assert (await registry.pointers("flights")).canary is None
    lines = [str(entry) for entry in await registry.history("flights", limit=3)][::-1]
    assert lines == [
        "revision 7: let 2 answer 5 % of the traffic, by ann (AUC)",
        "revision 8: let 3 answer 12.5 % of the traffic, by ann (AUC)",
        "revision 9: let 3 answer no traffic any more, by ann (AUC)",
    ]


@pytest.mark.parametrize("end", ["promote", "promote another", "remove the candidate"])
async def test_what_ends_a_canary(registry, end):
    await registry.set_canary("flights", "2", percent=5, **ANN)
    if end == "remove the candidate":
        await registry.remove_candidate("flights", "2", **ANN)
    else:
        await registry.promote("flights", "2" if end == "promote" else "3", **ANN)
    assert (await registry.pointers("flights")).canary is None


async def test_a_rollback_ends_a_canary_and_another_candidate_leaving_does_not(registry):
    await registry.set_canary("flights", "2", percent=5, **ANN)
    await registry.remove_candidate("flights", "3", **ANN)
    assert (await registry.pointers("flights")).canary == CanaryShare("2", 5.0, 7)
    await registry.promote("flights", "3", **ANN)
    await registry.set_canary("flights", "2", percent=5, **ANN)
    await registry.rollback("flights", **ANN)
    assert (await registry.pointers("flights")).canary is None


async def test_what_is_refused(registry):
    with pytest.raises(RegistryError, match="version 1 of flights is no candidate"):
        await registry.set_canary("flights", "1", percent=5, **ANN)
    for percent in (0, -1, 100.5, float("nan")):
        with pytest.raises(RegistryError, match="more than 0 and at most 100 %"):
            await registry.set_canary("flights", "2", percent=percent, **ANN)
    with pytest.raises(RegistryError, match="flights has no canary"):
        await registry.remove_canary("flights", **ANN)
    with pytest.raises(RegistryError, match="expected flights at revision 3"):
        await registry.set_canary("flights", "2", percent=5, expect_revision=3, **ANN)


async def test_a_request_that_is_repeated_happens_once_and_only_as_it_was(registry):
    answers = await asyncio.gather(
        *(registry.set_canary("flights", "2", percent=5, request_id="r", **ANN) for _ in range(10))
    )
    assert {answer.revision for answer in answers} == {7}
    with pytest.raises(RegistryError, match="request id 'r' was used before"):
        await registry.set_canary("flights", "2", percent=50, request_id="r", **ANN)


async def test_a_watcher_sees_the_share_change(registry, open_registry):
    changes = open_registry().watch(["flights"])
    assert (await anext(changes)).after.canary is None
    await registry.set_canary("flights", "2", percent=5, **ANN)
    assert (await asyncio.wait_for(anext(changes), 10)).after.canary == CanaryShare("2", 5.0, 7)
