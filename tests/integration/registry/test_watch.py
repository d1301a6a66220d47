"""Watching through lost messages, restarts and the loss of all data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
import redis.asyncio as aioredis

ANN = {"who": "ann", "why": "test"}


async def soon(watch, seconds: float = 20.0):
    return await asyncio.wait_for(anext(watch), seconds)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def nothing(watch, seconds: float = 0.6) -> None:
    """Three poll intervals go by and nothing is yielded."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watch), seconds)


@pytest.fixture
def bundles(make_bundle):
    return [make_bundle(version, graph=version.encode()) for version in "123"]


async def test_it_begins_with_the_present_state_and_goes_on_with_changes(open_registry, bundles):
    writer, reader = open_registry(), open_registry(poll_interval=60.0)
    await writer.register(bundles[0], who="ann", why="trained")
    await writer.promote("flights", "1", **ANN)
    watch = reader.watch(["flights"])
    first = await soon(watch)
    assert (first.model, first.before, first.after.champion, first.after.revision) == (
        "flights",
        None,
        "1",
        2,
    )
    await writer.register(bundles[1], who="ann", why="trained")
    second = await soon(watch)
    assert (second.before, second.after.champion, second.after.revision) == (first.after, "1", 3)
    await writer.promote("flights", "2", who="bob", why="better")
    third = await soon(watch)
    assert third.after.champion == "2"
    assert (third.after.last.who, third.after.last.why) == ("bob", "better")


async def test_only_the_models_asked_for_are_yielded(open_registry, make_bundle):
    writer, reader = open_registry(), open_registry()
    watch = reader.watch(["trains"])
    await writer.register(make_bundle("1"), who="ann", why="trained")
    await writer.register(make_bundle("1", name="trains"), who="ann", why="trained")
    assert (await soon(watch)).model == "trains"
    await writer.promote("flights", "1", **ANN)
    await nothing(watch)


async def test_without_names_new_models_are_found(open_registry, make_bundle):
    writer, reader = open_registry(), open_registry(poll_interval=60.0)
    watch = reader.watch()
    waiting = asyncio.create_task(soon(watch))
    await until(lambda: reader.available)
    await writer.register(make_bundle("1"), who="ann", why="trained")
    assert (await waiting).model == "flights"
    await writer.register(make_bundle("1", name="trains"), who="ann", why="trained")
    assert (await soon(watch)).model == "trains"


async def test_a_lost_message_is_made_good_by_the_poll(open_registry, redis_server, bundles):
    writer, reader = open_registry(), open_registry(poll_interval=0.2)
    watch = reader.watch(["flights"])
    await writer.register(bundles[0], who="ann", why="trained")
    await soon(watch)
    await watch._pubsub.unsubscribe()  # no message reaches it any more
    assert (await watch._pubsub.get_message(timeout=5))["type"] == "unsubscribe"
    await writer.promote("flights", "1", **ANN)
    async with aioredis.Redis.from_url(redis_server.url) as client:
        assert (await client.pubsub_numsub(reader._ledger.channel))[0][1] == 0
    assert (await soon(watch)).after.champion == "1"


async def test_a_killed_connection_is_renewed(open_registry, redis_server, bundles):
    writer, reader = open_registry(), open_registry(poll_interval=60.0)
    watch = reader.watch(["flights"])
    await writer.register(bundles[0], who="ann", why="trained")
    await soon(watch)
    waiting = asyncio.create_task(soon(watch))
    async with aioredis.Redis.from_url(redis_server.url) as client:
        assert await client.client_kill_filter(_type="pubsub") == 1
    await writer.promote("flights", "1", **ANN)
    assert (await waiting).after.champion == "1"


async def test_redis_killed_and_started_again(open_registry, own_redis, bundles):
    reported: list[bool] = []
    writer, reader = open_registry(own_redis.url), open_registry(own_redis.url)
    reader._ledger._on_available = reported.append
    async with aioredis.Redis.from_url(own_redis.url) as client:
        await client.config_set("appendfsync", "always")  # else the last second may be lost with the kill
    await writer.register(bundles[0], who="ann", why="trained")
    watch = reader.watch(["flights"])
    await soon(watch)
    waiting = asyncio.create_task(soon(watch, 60.0))
    own_redis.kill()
    await until(lambda: not reader.available)
    assert not waiting.done()
    own_redis.start()
    await until(lambda: reader.available)
    await writer.promote("flights", "1", **ANN)
    change = await waiting
    assert (change.after.champion, change.after.revision) == ("1", 2)
    assert reported == [True, False, True]


async def test_redis_away_at_the_start(open_registry, own_redis, bundles):
    own_redis.stop()
    reader = open_registry(own_redis.url)
    watch = reader.watch(["flights"])
    waiting = asyncio.create_task(soon(watch, 60.0))
    await until(lambda: watch._failures >= 2)
    assert not reader.available
    own_redis.start()
    await open_registry(own_redis.url).register(bundles[0], who="ann", why="trained")
    assert (await waiting).after.revision == 1


async def test_a_redis_that_stands_still_is_noticed(open_registry, own_redis, bundles):
    reader, writer = open_registry(own_redis.url + "?socket_timeout=0.3"), open_registry(own_redis.url)
    await writer.register(bundles[0], who="ann", why="trained")
    watch = reader.watch(["flights"])
    await soon(watch)
    waiting = asyncio.create_task(soon(watch, 60.0))
    own_redis.suspend()
    await until(lambda: not reader.available)
    own_redis.resume()
    await writer.promote("flights", "1", **ANN)
    assert (await waiting).after.champion == "1"


async def test_lost_data_changes_nothing_until_something_is_registered(
    open_registry, own_redis, bundles, caplog
):
    reader, writer = open_registry(own_redis.url), open_registry(own_redis.url)
    for version, bundle in zip("123", bundles, strict=True):
        await writer.register(bundle, who="ann", why="trained")
        await writer.promote("flights", version, **ANN)
    watch = reader.watch(["flights"])
    assert (await soon(watch)).after.champion == "3"
    async with aioredis.Redis.from_url(own_redis.url) as client:
        await client.flushall()
    with caplog.at_level(logging.WARNING):
        await nothing(watch)
    lost = [(r.getMessage(), vars(r)["fields"]) for r in caplog.records if r.name == "shared.registry.watch"]
    where = {"model": "flights", "model_version": "3", "revision": 6}
    assert lost == [("the registry has lost a model, its champion stays", where)]
    assert reader.available
    assert await reader.models() == ()
    await writer.register(bundles[1], who="ann", why="again")
    await writer.promote("flights", "2", **ANN)
    while (change := await soon(watch)).after.champion != "2":
        pass
    assert change.after.revision == 2


async def test_a_closed_registry_leaves_no_connection(open_registry, own_redis):
    async with open_registry(own_redis.url) as reader:
        watch = reader.watch()
        waiting = asyncio.create_task(anext(watch))
        await until(lambda: reader.available)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with aioredis.Redis.from_url(own_redis.url) as client:

        async def others() -> int:
            return len(await client.client_list()) - 1

        async with asyncio.timeout(10):
            while await others():
                await asyncio.sleep(0.01)


async def test_a_watch_ends_when_its_registry_is_closed(open_registry, bundles):
    """However soon it is cancelled afterwards: once it went on for ever, deaf to the cancellation."""
    for pause in (0.0, *[0.001] * 12, 0.05):
        registry = open_registry(poll_interval=60.0)
        watching = asyncio.create_task(_drain(registry.watch()))
        await asyncio.sleep(0.1)  # it is subscribed and waits
        await registry.__aexit__(None, None, None)
        await asyncio.sleep(pause)
        watching.cancel()
        done, _ = await asyncio.wait([watching], timeout=10)
        assert done, f"cancelled {pause} s after the registry was closed, it still runs"


async def _drain(watch) -> None:
    async for _ in watch:
        pass
