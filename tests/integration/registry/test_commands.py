"""What the registry's commands do and refuse, on a real Redis."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
import redis.asyncio as aioredis

from shared.errors import BundleError, RegistryError, TransientError
from shared.registry import Pointers, Registry

ANN = {"who": "ann", "why": "better AUC"}


@pytest.fixture
def registry(open_registry) -> Registry:
    return open_registry()


@pytest.fixture
async def three(registry, make_bundle):
    """The registry with versions 1, 2 and 3 of flights registered (revisions 1 to 3)."""
    for version in "123":
        await registry.register(make_bundle(version, graph=version.encode()), who="ann", why="trained")
    return registry


async def steps(registry) -> list[tuple[int, str, str | None, str | None]]:
    return [
        (e.revision, e.action, e.from_version, e.to_version)
        for e in (await registry.history("flights"))[::-1]
    ]


async def test_an_empty_registry(registry):
    assert await registry.models() == ()
    assert await registry.versions("flights") == ()
    assert await registry.pointers("flights") == Pointers(model="flights")
    assert await registry.history("flights") == ()
    assert registry.available


async def test_register_makes_no_champion(registry, make_bundle):
    info = await registry.register(make_bundle("1"), who="ann", why="first")
    assert (info.model, info.version, info.task, info.features, info.who) == (
        "flights",
        "1",
        "regression",
        1,
        "ann",
    )
    assert await registry.models() == ("flights",)
    assert await registry.versions("flights") == (info,)
    pointers = await registry.pointers("flights")
    assert (pointers.champion, pointers.candidates, pointers.revision) == (None, (), 1)
    assert pointers.last == (await registry.history("flights"))[0]
    assert ((await registry.fetch("flights", "1")) / "model.onnx").read_bytes() == b"graph"


async def test_register_again_changes_nothing(registry, make_bundle):
    bundle = make_bundle("1")
    first = await registry.register(bundle, who="ann", why="first")
    assert await registry.register(bundle, who="bob", why="again") == first
    assert await steps(registry) == [(1, "register", None, "1")]


async def test_register_refuses_to_rewrite_a_version(registry, make_bundle, tmp_path):
    await registry.register(make_bundle("1"), who="ann", why="first")
    other = make_bundle("1", graph=b"another")
    with pytest.raises(RegistryError, match="version 1 of flights was registered by ann with other contents"):
        await registry.register(other, who="bob", why="sly")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(RegistryError, match="was registered by ann with other contents"):
        await registry.register(other, who="bob", why="sly")


async def test_two_bundles_registered_at_once_as_one_version(open_registry, make_bundle):
    bundles = [make_bundle("1", graph=bytes([i]) * 100_000) for i in range(4)]
    registries = [open_registry() for _ in bundles]
    answers = await asyncio.gather(
        *(
            r.register(b, who=f"w{i}", why="race")
            for i, (r, b) in enumerate(zip(registries, bundles, strict=True))
        ),
        return_exceptions=True,
    )
    refused = [a for a in answers if isinstance(a, RegistryError)]
    assert len(refused) == 3
    assert all("never rewritten" in str(a) for a in refused)
    assert len(await steps(registries[0])) == 1
    (winner,) = await registries[0].versions("flights")
    graph = ((await registries[0].fetch("flights", "1")) / "model.onnx").read_bytes()
    assert graph[0] == int(winner.who[1:])


async def test_a_damaged_bundle_is_not_registered(registry, make_bundle):
    bundle = make_bundle("1")
    (bundle / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        await registry.register(bundle, who="ann", why="oops")
    assert await registry.models() == ()


async def test_promote_and_a_chain_of_rollbacks(three):
    for version in "123":
        await three.promote("flights", version, **ANN)
    assert (await three.rollback("flights", who="bob", why="slow")).to_version == "2"
    assert (await three.rollback("flights", who="bob", why="slow too")).to_version == "1"
    with pytest.raises(RegistryError, match="flights has no earlier champion to go back to"):
        await three.rollback("flights", who="bob", why="more")
    await three.promote("flights", "3", **ANN)
    assert (await three.rollback("flights", who="bob", why="no")).to_version == "1"
    assert await steps(three) == [
        (1, "register", None, "1"),
        (2, "register", None, "2"),
        (3, "register", None, "3"),
        (4, "promote", None, "1"),
        (5, "promote", "1", "2"),
        (6, "promote", "2", "3"),
        (7, "rollback", "3", "2"),
        (8, "rollback", "2", "1"),
        (9, "promote", "1", "3"),
        (10, "rollback", "3", "1"),
    ]
    assert [e.revision for e in await three.history("flights", 2)] == [10, 9]
    newest = (await three.history("flights", 1))[0]
    assert (newest.who, newest.why, newest.model) == ("bob", "no", "flights")


async def test_promoting_the_champion_answers_with_what_made_it(three):
    made = await three.promote("flights", "1", **ANN)
    await three.set_candidate("flights", "2", **ANN)
    assert await three.promote("flights", "1", who="bob", why="again") == made
    assert (await three.pointers("flights")).revision == 5


@pytest.mark.parametrize(
    ("model", "version", "message"),
    [
        ("flights", "9", "version 9 of flights is not registered; registered are 1, 2, 3"),
        ("trains", "1", "version 1 of trains is not registered; the registry does not know the model"),
    ],
)
async def test_what_is_not_registered_is_not_promoted(three, model, version, message):
    with pytest.raises(RegistryError, match=message):
        await three.promote(model, version, **ANN)
    assert (await three.pointers("flights")).revision == 3


async def test_a_missing_or_damaged_bundle_is_not_promoted(three, tmp_path):
    shutil.rmtree(tmp_path / "store" / "flights" / "2")
    (tmp_path / "store" / "flights" / "3" / "model.onnx").write_bytes(b"x")
    with pytest.raises(
        RegistryError, match=r"version 2 of flights cannot be used: the bundle store .* register it"
    ):
        await three.promote("flights", "2", **ANN)
    with pytest.raises(RegistryError, match=r"version 3 of flights cannot be used: .*model\.onnx is damaged"):
        await three.set_candidate("flights", "3", **ANN)
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        await three.fetch("flights", "3")
    assert (await three.pointers("flights")).revision == 3


async def test_a_rollback_to_a_missing_bundle_is_refused(three, tmp_path):
    await three.promote("flights", "1", **ANN)
    await three.promote("flights", "2", **ANN)
    shutil.rmtree(tmp_path / "store" / "flights" / "1")
    with pytest.raises(RegistryError, match="version 1 of flights cannot be used"):
        await three.rollback("flights", **ANN)
    assert (await three.pointers("flights")).champion == "2"


async def test_candidates_come_and_go_and_keep_their_order(three):
    await three.promote("flights", "1", **ANN)
    await three.set_candidate("flights", "3", **ANN)
    await three.set_candidate("flights", "2", **ANN)
    assert (await three.pointers("flights")).candidates == ("3", "2")
    for call, message in [
        (three.set_candidate("flights", "2", **ANN), "version 2 of flights is a candidate already"),
        (three.set_candidate("flights", "1", **ANN), "version 1 of flights is the champion and no candidate"),
        (three.remove_candidate("flights", "1", **ANN), "version 1 of flights is no candidate"),
    ]:
        with pytest.raises(RegistryError, match=message):
            await call
    await three.promote("flights", "3", **ANN)
    assert (await three.pointers("flights")).candidates == ("2",)
    await three.remove_candidate("flights", "2", **ANN)
    pointers = await three.pointers("flights")
    assert (pointers.champion, pointers.candidates, pointers.revision) == ("3", (), 8)


async def test_a_candidate_with_fields_of_a_later_version_is_read(three, redis_server):
    await three.set_candidate("flights", "2", **ANN)
    async with aioredis.Redis.from_url(redis_server.url) as client:
        key = three._ledger.key("flights", "pointers")
        await client.hset(key, "candidate:2", '{"since":4,"share":0.05}')
    assert (await three.pointers("flights")).candidates == ("2",)


async def test_a_repeated_request_happens_once(three):
    first = await three.promote("flights", "1", request_id="r1", **ANN)
    await three.promote("flights", "2", **ANN)
    assert await three.promote("flights", "1", request_id="r1", **ANN) == first
    assert (await three.pointers("flights")).champion == "2"
    back = await three.rollback("flights", request_id="r2", **ANN)
    assert await three.rollback("flights", request_id="r2", **ANN) == back
    assert (await three.pointers("flights")).revision == 6


async def test_a_repeated_request_is_answered_though_the_bundle_is_gone(three, tmp_path):
    first = await three.promote("flights", "1", request_id="r1", **ANN)
    shutil.rmtree(tmp_path / "store")
    assert await three.promote("flights", "1", request_id="r1", expect_revision=3, **ANN) == first


async def test_a_request_id_is_not_used_for_two_different_changes(three):
    await three.promote("flights", "1", request_id="r1", **ANN)
    with pytest.raises(
        RegistryError, match=r"request id 'r1' was used before, for another change of flights: rev"
    ):
        await three.promote("flights", "2", request_id="r1", **ANN)
    with pytest.raises(RegistryError, match="request id 'r1' was used before"):
        await three.rollback("flights", request_id="r1", **ANN)


async def test_the_same_request_sent_by_several_at_once_happens_once(three, open_registry):
    registries = [open_registry() for _ in range(8)]
    answers = await asyncio.gather(*(r.promote("flights", "1", request_id="r1", **ANN) for r in registries))
    assert {a.revision for a in answers} == {4}
    assert len(await three.history("flights")) == 4


async def test_an_expected_revision_that_has_passed_is_refused(three):
    await three.promote("flights", "1", who="bob", why="hotfix")
    with pytest.raises(RegistryError) as caught:
        await three.promote("flights", "2", expect_revision=3, **ANN)
    assert str(caught.value) == (
        "promote expected flights at revision 3, but it is at revision 4 with champion 1. "
        "Newest first: revision 4: promoted 1, by bob (hotfix)"
    )
    assert (await three.promote("flights", "2", expect_revision=4, **ANN)).revision == 5


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        ({"who": "", "why": "x"}, "who"),
        ({"who": "ann", "why": None}, "why"),
        ({"who": "ann", "why": "x" * 2001}, "why"),
        ({"who": "ann", "why": "x", "request_id": "r" * 201}, "request_id"),
    ],
)
async def test_what_no_reader_could_read_is_not_written(three, signature, field):
    with pytest.raises(RegistryError, match=rf"promote of flights cannot be recorded: .* at `\$\.{field}`"):
        await three.promote("flights", "1", **signature)
    assert (await three.pointers("flights")).revision == 3


async def test_scripts_forgotten_by_redis_are_loaded_again(three, redis_server):
    async with aioredis.Redis.from_url(redis_server.url) as client:
        await client.script_flush()
    assert (await three.promote("flights", "1", **ANN)).revision == 4


async def test_after_a_loss_of_redis_the_bundles_are_registered_from_the_store(three, redis_server, tmp_path):
    await three.promote("flights", "1", **ANN)
    async with aioredis.Redis.from_url(redis_server.url) as client:
        await client.delete(*await client.keys(three._ledger.prefix + "*"))
    assert await three.models() == ()
    for version in "21":
        await three.register(
            tmp_path / "store" / "flights" / version, who="ann", why="after the loss of Redis"
        )
    await three.promote("flights", "2", **ANN)
    assert [info.version for info in await three.versions("flights")] == ["2", "1"]
    assert ((await three.fetch("flights", "2")) / "model.onnx").read_bytes() == b"2"


async def test_prefixes_keep_installations_apart(three, open_registry):
    assert await open_registry(prefix="another-installation:").models() == ()


async def test_damaged_data_is_named(three, redis_server):
    key = three._ledger.key("flights", "versions")
    async with aioredis.Redis.from_url(redis_server.url) as client:
        await client.hset(key, "1", "{}")
    with pytest.raises(RegistryError, match=f"{key} in Redis is damaged: .*missing required field"):
        await three.versions("flights")


async def test_redis_away_is_a_transient_error_without_the_password(open_registry, own_redis):
    registry = open_registry(own_redis.url.replace("://", "://:hunter2@"))
    own_redis.kill()
    with pytest.raises(
        TransientError, match=r"Redis at redis://:\*\*\*@127\.0\.0\.1:\d+/0 does not answer"
    ) as caught:
        await registry.pointers("flights")
    assert "hunter2" not in str(caught.value)
    assert not registry.available


async def test_passwords_are_used_and_never_shown(open_registry, own_redis):
    async with aioredis.Redis.from_url(own_redis.url) as client:
        await client.config_set("requirepass", "right")
    assert await open_registry(own_redis.url.replace("://", "://:right@")).models() == ()
    wrong = open_registry(own_redis.url.replace("://", "://:wrong@"))
    with pytest.raises(RegistryError, match=r"Redis at redis://:\*\*\*@.* refuses the login: ") as caught:
        await wrong.models()
    assert "://:wrong" not in str(caught.value)
    with pytest.raises(RegistryError, match="refuses the login: Authentication required"):
        await open_registry(own_redis.url).models()


READER = "+hgetall +hget +hvals +smembers +xrange +xrevrange +subscribe +ping"
WRITER = "+evalsha +script|load +xadd +hset +hdel +sadd +publish +set +get +del"


async def test_the_rights_that_the_documentation_names_are_enough(open_registry, own_redis, make_bundle):
    documentation = " ".join((Path(__file__).parents[3] / "docs" / "registry.md").read_text().split())
    assert READER in documentation
    assert WRITER in documentation
    async with aioredis.Redis.from_url(own_redis.url) as client:
        for name, rights in [("reader", READER), ("writer", f"{READER} {WRITER}")]:
            own = f"on >secret resetkeys ~driftline:* resetchannels &driftline:changes -@all {rights}"
            await client.execute_command("ACL", "SETUSER", name, *own.split())
    reader, writer = (
        open_registry(own_redis.url.replace("://", f"://{name}:secret@"), prefix="driftline:")
        for name in ("reader", "writer")
    )
    watch = reader.watch()
    bundle = make_bundle("1")
    await writer.register(bundle, **ANN)
    await writer.promote("flights", "1", **ANN)
    await writer.register(make_bundle("2", graph=b"2"), **ANN)
    await writer.set_candidate("flights", "2", **ANN)
    await writer.remove_candidate("flights", "2", **ANN)
    await writer.promote("flights", "2", **ANN)
    await writer.rollback("flights", **ANN)
    assert (await asyncio.wait_for(anext(watch), 20)).after.champion == "1"
    assert len(await reader.history("flights")) == 7
    assert [info.version for info in await reader.versions("flights")] == ["1", "2"]
    await reader.fetch("flights", "1")
    with pytest.raises(RegistryError, match="refuses the command"):
        await reader.promote("flights", "2", **ANN)
