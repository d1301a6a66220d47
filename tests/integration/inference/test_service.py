"""The inference service as a process on a real Kafka and Redis."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from devstack.redis_server import RedisServer
from shared.dead_letters import read_dead_letter
from shared.messages import InferenceReport, Prediction
from shared.registry import RedisRegistry
from shared.reports import decode_report
from tests.integration.inference.conftest import PARTITIONS, Stage, good_event
from tests.models import linear, numeric_spec, write_bundle
from tests.processes import ServiceProcess, service
from tests.streams import produce, read_all, until

pytestmark = pytest.mark.kafka


async def all_done(stage: Stage, count: int) -> None:
    async def done() -> bool:
        return await stage.committed() == count

    await until(done, what=f"{count} events committed")


async def predictions(stage: Stage) -> dict[int, list[Prediction]]:
    found = await read_all(stage.client, stage.topics.predictions)
    return {
        p: [msgspec.json.decode(r.value, type=Prediction) for r in records] for p, records in found.items()
    }


def same(sent: list[tuple[int, bytes]], found: dict[int, list[Prediction]]) -> bool:
    """Whether each partition's predictions are its good events, once and in order."""
    return all(
        [p.event_id for p in found[partition]]
        == [json.loads(value)["event_id"] for at, value in sent if at == partition]
        for partition in range(PARTITIONS)
    )


async def test_every_kind_of_bad_event_ends_in_dead_letters_and_the_rest_is_scored(stage: Stage) -> None:
    await stage.publish("1")
    bad = {
        "not JSON": b"{",
        "not UTF-8": b'{"event_id": "\xff"}',
        "missing": good_event("x", features={"f0": 1, "f1": 1}),
        "unknown": good_event("x", features={"f0": 1, "f1": 1, "f2": 1, "f3": 1}),
        "wrong type": good_event("x", features={"f0": "1", "f1": 1, "f2": 1}),
        "out of range": good_event("x", features={"f0": 1, "f1": 1e9, "f2": 1}),
        "NaN": good_event("x").replace(b"1.5", b"NaN"),
        "wrong model": good_event("x", model="nobody"),
        "5 MB": good_event("x" * 150, padding="y" * 5_000_000),
        "tombstone": None,
        "future": good_event("x", occurred_at=4_000_000_000_000),
    }
    sent = stage.events(60)
    mixed = [(partition, value) for partition, value in sent]
    for position, value in enumerate(bad.values()):
        mixed.insert(5 * position, (0, value))
    await produce(stage.client, stage.topics.events, mixed, max_request_size=8 << 20)
    with service("inference", stage.folder, stage.settings) as inference:
        await inference.ready()
        await all_done(stage, len(mixed))
        assert same(sent, await predictions(stage))
        letters = (await read_all(stage.client, stage.topics.dead_letters))[0]
        assert [letter.value for letter in letters] == list(bad.values())
        reasons = {name: read_dead_letter(letter.headers) for name, letter in zip(bad, letters, strict=True)}
        fields = {name: reason.field for name, reason in reasons.items() if reason}
        assert fields == {
            "not JSON": None,
            "not UTF-8": None,
            "missing": "features.f2",
            "unknown": "features.f3",
            "wrong type": "features.f0",
            "out of range": "features.f1",
            "NaN": "features.f0",
            "wrong model": "model",
            "5 MB": None,
            "tombstone": None,
            "future": "occurred_at",
        }
        assert all(reason and reason.topic == stage.topics.events for reason in reasons.values())
        assert await inference.metric('driftline_dead_letters_total{reason="DecodeError"}') == 4
        inference.part.stop()
        assert inference.part.running is False
    reports = [
        report
        for records in (await read_all(stage.client, stage.topics.reports)).values()
        for record in records
        if isinstance(report := decode_report(record.value), InferenceReport)
    ]
    last = {(r.model, r.window.start, r.partition): r for r in reports}
    assert sum(r.predictions for r in last.values()) == 60
    assert sum(sum(r.errors.values()) for r in last.values()) == len(bad)


async def test_hot_swap_under_load_loses_and_repeats_nothing(stage: Stage) -> None:
    await stage.publish("1")
    sent: list[tuple[int, bytes]] = []
    with service("inference", stage.folder, stage.settings) as inference:
        await inference.ready()

        enough = asyncio.Event()

        async def load() -> None:
            while not enough.is_set():
                more = stage.events(90)
                sent.extend(more)
                await produce(stage.client, stage.topics.events, more)

        loading = asyncio.create_task(load())
        for version, bias in (("2", 3.0), ("3", -3.0)):
            await asyncio.sleep(1)
            await stage.publish(version, bias=bias)
            info = f'driftline_model_info{{model="demo",version="{version}"}}'
            await until(lambda info=info: _is_one(inference, info), what=f"version {version} to answer")
        await asyncio.sleep(1)
        enough.set()
        await loading
        await all_done(stage, len(sent))
        lines = inference.log_lines()
    found = await predictions(stage)
    assert same(sent, found)
    for partition in range(PARTITIONS):
        versions = [p.model_version for p in found[partition]]
        assert versions == sorted(versions), "a version answered again after it was replaced"
        assert set(versions) == {"1", "2", "3"}
        recorded = {
            line["model_version"]: line["offset"]
            for line in lines
            if line["event"] == "model version answers from here" and line["partition"] == partition
        }
        assert recorded == {v: found[partition][versions.index(v)].source.offset for v in ("1", "2", "3")}
    scores = {p.model_version: p.score for p in found[0]}
    assert scores["3"] < scores["1"] < scores["2"]


async def _is_one(process: ServiceProcess, sample: str) -> bool:
    return await process.metric(sample) == 1


async def test_a_bundle_that_cannot_be_loaded_leaves_the_old_version_serving(stage: Stage) -> None:
    await stage.publish("1")
    with service("inference", stage.folder, stage.settings) as inference:
        await inference.ready()
        spec = numeric_spec(3, version="2", classes=("a", "b"))
        broken = linear(3)
        broken.graph.node[0].op_type = "NoSuchOperator"
        bundle = write_bundle(stage.folder / "broken", broken, spec)
        await stage.registry.register(bundle.path, who="test", why="broken on purpose")
        await stage.registry.promote("demo", "2", who="test", why="broken on purpose")
        failed = 'driftline_model_loads_total{model="demo",outcome="failed"}'
        await until(lambda: _is_one(inference, failed), what="the failed load to be counted")
        assert await inference.metric('driftline_model_trouble{model="demo"}') == 1
        sent = stage.events(30)
        await produce(stage.client, stage.topics.events, sent)
        await all_done(stage, 30)
        assert {p.model_version for records in (await predictions(stage)).values() for p in records} == {"1"}
        (error,) = [line for line in inference.log_lines() if line["level"] == "error"]
        assert error["model_version"] == "2"
        assert "NoSuchOperator" in error["error"]


async def test_redis_away_is_no_reason_to_stop(stage: Stage) -> None:
    with RedisServer(stage.folder / "redis") as redis:
        settings = stage.settings | {"DRIFTLINE_REDIS_URL": redis.url}
        store, cache = settings["DRIFTLINE_BUNDLE_STORE"], Path(settings["DRIFTLINE_CACHE_DIR"])
        async with RedisRegistry(redis.url, store, cache, stage.topics.prefix) as registry:
            stage.registry = registry
            await stage.publish("1")
            with service("inference", stage.folder, settings) as inference:
                await inference.ready()
                up = "driftline_registry_up"
                assert await inference.metric(up) == 1
                redis.kill()
                await until(
                    lambda: _is(inference, "driftline_registry_up", 0), what="the registry to be missed"
                )
                await produce(stage.client, stage.topics.events, stage.events(30))
                await all_done(stage, 30)
                redis.start()
                await until(
                    lambda: _is_one(inference, "driftline_registry_up"), what="the registry to be back"
                )
                assert (await inference.get("/readyz"))[0] == 200


async def _is(process: ServiceProcess, sample: str, value: float) -> bool:
    return await process.metric(sample) == value


async def test_it_waits_for_a_champion_and_says_so(stage: Stage) -> None:
    await produce(stage.client, stage.topics.events, stage.events(3))
    with service("inference", stage.folder, stage.settings) as inference:

        async def says_so() -> bool:
            status, body = await inference.get("/readyz")
            return status == 503 and "no champion loaded yet for demo" in body

        await until(says_so, what="the service to say what it waits for")
        assert (await inference.get("/healthz"))[0] == 200
        await stage.publish("1")
        await inference.ready()
        await all_done(stage, 3)


async def test_missing_topics_stop_the_start_with_the_command_that_helps(stage: Stage) -> None:
    settings = stage.settings | {"DRIFTLINE_TOPIC_PREFIX": f"{stage.topics.prefix}none-"}
    with service("inference", stage.folder, settings) as inference:
        await until(lambda: not inference.part.running, what="the refusal")
        events = [line["event"] for line in inference.log_lines() if line["level"] == "error"]
    assert len(events) == 5
    assert all("does not exist; create it with: driftline topics create" in event for event in events)
