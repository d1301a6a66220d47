"""The shadow service as a process beside inference, on a real Kafka and Redis."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.kafka.topics import create_topics
from shared.messages import Answer, Labelled, Source
from tests.integration.shadow.conftest import ANN, PARTITIONS, Stage, blind_below_zero, unknown_operator
from tests.integration.shadow.oracle import added_up, recomputed, same
from tests.processes import ServiceProcess, service
from tests.streams import produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

START = 1_700_000_000_000


def make_events(first: int, count: int, *, bad_every: int = 37) -> list[tuple[int, bytes]]:
    """Numbered events over four hours of event time, some of them refused by every version."""
    numbers = random.Random(first)
    made = []
    for number in range(first, first + count):
        features = {"f0": numbers.uniform(-9, 9), "f1": numbers.randrange(4), "f2": numbers.uniform(-9, 9)}
        at = START + number * 3_000 - numbers.randrange(60_000)
        value: Any = {"event_id": f"e{number}", "occurred_at": at, "features": features}
        bad = number % bad_every == bad_every - 1
        raw = b"{" if bad else msgspec.json.encode(value)
        made.append((number % PARTITIONS, raw))
    return made


async def settled(stage: Stage, candidate: str = "2", champion: str = "1") -> None:
    """Wait until the reports say what the topics say."""
    expected = await recomputed(stage, candidate, champion)

    async def agree() -> bool:
        return same(added_up(await stage.reports(), candidate, champion), expected)

    try:
        await until(agree, every=1.0, seconds=60, what="the reports to say what the topics do")
    except AssertionError:
        found = added_up(await stage.reports(), candidate, champion)
        raise AssertionError(f"{found}\n{expected}") from None


async def done(stage: Stage, count: int, *services: str) -> None:
    for name in services:

        async def all_done(name: str = name) -> bool:
            return await stage.committed_of(name, stage.topics.events) >= count

        await until(all_done, seconds=120, what=f"{name} to have done {count} events")


async def running(process: ServiceProcess, version: str) -> None:
    """Wait until a candidate runs in a shadow process."""

    def told() -> bool:
        lines = [line for line in process.log_lines() if line["event"] == "candidates changed"]
        return bool(lines) and version in [*lines[-1]["running"], *lines[-1]["absent"]]

    await until(told, what=f"candidate {version} to run")


async def test_counts_are_those_of_the_topics_through_kills_rebalances_and_restarts(stage: Stage) -> None:
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    with ExitStack() as stack:
        inference = stack.enter_context(service("inference", stage.folder, stage.settings))
        shadow = stack.enter_context(service("shadow", stage.folder, stage.settings))
        await inference.ready()
        await shadow.ready()
        await running(shadow, "2")
        total = 0
        enough = asyncio.Event()

        async def load() -> None:
            nonlocal total
            while not enough.is_set():
                await produce(stage.client, stage.topics.events, make_events(total, 300))
                total += 300

        loading = asyncio.create_task(load())
        await asyncio.sleep(2)
        shadow.part.kill()  # kill -9 in the middle
        second = stack.enter_context(service("shadow", stage.folder, stage.settings))
        await asyncio.sleep(1)
        third = stack.enter_context(service("shadow", stage.folder, stage.settings))  # a rebalance
        await second.ready()
        await third.ready()
        await asyncio.sleep(2)
        second.part.kill()
        inference.part.kill()
        stack.enter_context(service("inference", stage.folder, stage.settings))
        fourth = stack.enter_context(service("shadow", stage.folder, stage.settings))
        await fourth.ready()
        await asyncio.sleep(2)
        third.part.stop()
        enough.set()
        await loading
        await done(stage, total, "inference", "shadow")
        await settled(stage)
    shadowed = await read_all(stage.client, stage.topics.shadow_predictions)
    predicted = await read_all(stage.client, stage.topics.predictions)
    for partition in range(PARTITIONS):
        offsets = [msgspec.json.decode(r.value)["source"]["offset"] for r in shadowed[partition]]
        assert offsets == sorted(set(offsets)), "once, and in order"
        assert offsets == [msgspec.json.decode(r.value)["source"]["offset"] for r in predicted[partition]]


@pytest.mark.faults
async def test_a_replay_by_another_group_gives_the_same_reports(stage: Stage) -> None:
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    await produce(stage.client, stage.topics.events, make_events(0, 3000))
    with service("inference", stage.folder, stage.settings) as inference:
        await inference.ready()
        await done(stage, 3000, "inference")
    with service("shadow", stage.folder, stage.settings) as shadow:
        await shadow.ready()
        await done(stage, 3000, "shadow")
        await settled(stage)
        shadow.part.stop()
    first = {(r.partition, r.window.start): _plain(r) for r in await stage.reports()}
    await _forget(stage)
    # Another group over the same events and predictions, cut into other batches and waiting more often.
    settings = stage.settings | {"DRIFTLINE_MAX_BATCH_EVENTS": "150", "DRIFTLINE_JOIN_WINDOW_EVENTS": "200"}
    settings["DRIFTLINE_GROUP_PREFIX"] += "-again"
    with service("shadow", stage.folder, settings) as shadow:
        await shadow.ready()

        async def again() -> bool:
            return {(r.partition, r.window.start): _plain(r) for r in await stage.reports()} == first

        await until(again, every=1.0, what="the same reports")


def _plain(report: Any) -> Any:
    """A report without what depends on the clock or on how records were cut into batches."""
    changed = {"written_at": 0, "final": False, "champion_latency": None, "candidate_latency": None}
    timings = {"champion_timing": None, "candidate_timing": None}
    return msgspec.to_builtins(msgspec.structs.replace(report, **changed, **timings))


async def _forget(stage: Stage) -> None:
    """Make the outputs and the state of the shadow anew."""
    topics = [stage.topics.reports, stage.topics.shadow_predictions, stage.topics.state("shadow")]
    admin = AIOKafkaAdminClient(**stage.client)
    await admin.start()
    try:
        await admin.delete_topics(topics)

        async def gone() -> bool:
            return not set(topics) & set(await admin.list_topics())

        await until(gone, what="the topics to go")
    finally:
        await admin.close()
    await create_topics(stage.client, stage.topics, partitions=PARTITIONS)


async def test_a_candidate_that_hangs_crashes_says_nan_or_cannot_be_loaded_is_told_and_the_champion_untouched(
    stage: Stage,
) -> None:
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    await stage.publish("3", candidate=True)
    await stage.publish("4", candidate=True, graph=unknown_operator())
    await stage.publish("5", candidate=True, graph=blind_below_zero())
    settings = stage.settings | {"DRIFTLINE_CANDIDATE_SECONDS": "1"}
    with (
        service("inference", stage.folder, stage.settings) as inference,
        service("shadow", stage.folder, settings) as shadow,
    ):
        await inference.ready()
        await shadow.ready()
        for version in "2345":
            await running(shadow, version)
        hanging = _model_process(shadow, "3")
        os.kill(hanging, signal.SIGSTOP)  # it hangs for good
        await produce(stage.client, stage.topics.events, make_events(0, 600))
        await done(stage, 600, "inference", "shadow")
        await settled(stage, "2")
        negative = sum(b'"f0":-' in value for _, value in make_events(0, 600))

        async def told() -> bool:
            errors: dict[str, Counter[str]] = {version: Counter() for version in "345"}
            trouble = {}
            for report in await stage.reports():
                errors.setdefault(report.model_version, Counter()).update(report.errors)
                trouble[report.model_version] = report.trouble or ""
            return (
                errors["3"]["Timeout"] > 0  # it may be well again by now: it was started anew
                and errors["4"] == {"Unavailable": 600}
                and "NoSuchOperator" in trouble["4"]
                and errors["5"]["ProcessError"] == negative  # NaN, each time
            )

        await until(told, every=1.0, what="the reports to name what is wrong")
        assert len(
            [r for p in (await read_all(stage.client, stage.topics.predictions)).values() for r in p]
        ) == sum(1 for _, value in make_events(0, 600) if value != b"{")
        await until(lambda: not _alive(hanging), what="the hanging process to be ended")
        os.kill(_model_process(shadow, "2"), signal.SIGSEGV)
        await produce(stage.client, stage.topics.events, make_events(600, 300))
        await done(stage, 900, "inference", "shadow")

        async def crashed() -> bool:
            return any(r.errors.get("Crash") for r in await stage.reports() if r.model_version == "2")

        await until(crashed, every=1.0, what="the crash to be told")
        assert (await shadow.get("/readyz"))[0] == 200


def _model_process(shadow: ServiceProcess, version: str) -> int:
    """The child of a shadow process that runs one version's graph."""
    started = [line for line in shadow.log_lines() if line["event"] == "model process started"]
    (pid,) = [line["pid"] for line in started if f"/{version}/" in line["model_path"]]
    return int(pid)


def _logged(process: ServiceProcess, event: str) -> bool:
    return any(line["event"] == event for line in process.log_lines())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_canary_answers_its_share_and_the_comparison_leaves_it_out(stage: Stage) -> None:
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    with (
        service("inference", stage.folder, stage.settings) as inference,
        service("shadow", stage.folder, stage.settings) as shadow,
    ):
        await inference.ready()
        await shadow.ready()
        await running(shadow, "2")
        await stage.registry.set_canary("demo", "2", percent=40, **ANN)
        await until(lambda: _logged(inference, "canary changed"), what="the canary")
        events = make_events(0, 900)
        for key in range(30):
            some = events[key * 30 : key * 30 + 30]
            await produce(stage.client, stage.topics.events, some, key=b"key%d" % key)
        await done(stage, 900, "inference", "shadow")
        await settled(stage)
        predictions = [
            (record.key, msgspec.json.decode(record.value))
            for records in (await read_all(stage.client, stage.topics.predictions)).values()
            for record in records
        ]
        canaries = {key for key, p in predictions if p.get("canary")}
        assert 4 <= len(canaries) <= 20
        assert all((p["model_version"] == "2") == (key in canaries) for key, p in predictions)
        assert all(p["segments"]["f1"] in "0123" for _, p in predictions)
        assert sum(r.comparison.canary for r in await stage.reports()) == sum(
            k in canaries for k, _ in predictions
        )


async def test_labels_and_their_corrections_are_judged_through_a_kill(stage: Stage) -> None:
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    numbers = random.Random(9)
    told: list[tuple[int, bytes]] = []
    truths: dict[int, tuple[str, float, float]] = {}
    former: dict[int, Labelled] = {}
    for _ in range(1200):
        number = numbers.randrange(700)  # some events come again with another label
        scores = truths[number][1:] if number in truths else (numbers.random(), numbers.random())
        truths[number] = (numbers.choice(["yes", "no"]), *scores)
        answers = tuple(
            Answer(model_version=v, score=s, scored_at=1, label="yes" if s >= 0.5 else "no", shadow=v == "2")
            for v, s in zip("12", scores, strict=True)
        )
        message = Labelled(
            event_id=f"e{number}",
            model="demo",
            source=Source(stage.topics.events, 0, number),
            occurred_at=START,
            observed_at=START + numbers.randrange(5 * 3_600_000),
            truth=truths[number][0],
            answers=answers,
            replaces=former.get(number),
        )
        former[number] = msgspec.structs.replace(message, replaces=None)
        told.append((number % PARTITIONS, msgspec.json.encode(message)))
    with ExitStack() as stack:
        shadow = stack.enter_context(service("shadow", stage.folder, stage.settings))
        await shadow.ready()
        await produce(stage.client, stage.topics.labelled, told[:600])
        await asyncio.sleep(1)
        shadow.part.kill()
        await produce(stage.client, stage.topics.labelled, told[600:])
        again = stack.enter_context(service("shadow", stage.folder, stage.settings))
        await again.ready()
        expected = (
            len(truths),
            sum((b > a) if truth == "yes" else (b < a) for truth, a, b in truths.values()),
            sum((a - (t == "yes")) ** 2 - (b - (t == "yes")) ** 2 for t, a, b in truths.values()),
        )

        async def judged() -> bool:
            reports = await stage.reports(stage.topics.labelled)
            found = [r.judged for r in reports]
            brier = sum(j.brier.total for j in found)
            counts = (sum(j.pairs for j in found), sum(j.wins for j in found))
            return counts == expected[:2] and abs(brier - expected[2]) < 1e-6

        await until(judged, every=1.0, what="the labels to be judged")


@pytest.mark.faults
async def test_without_the_champion_it_waits_and_catches_up_with_it_later(stage: Stage) -> None:
    """What waits, more than a megabyte of state, is committed with every micro-batch."""
    await stage.publish("1")
    await stage.publish("2", candidate=True)
    values = [(0, value) for _, value in make_events(0, 34_000)]
    await produce(stage.client, stage.topics.events, values)
    settings = stage.settings | {"DRIFTLINE_JOIN_WINDOW_EVENTS": "18000"}
    with service("shadow", stage.folder, settings) as shadow:
        await shadow.ready()
        await done(stage, 18_000, "shadow")
        await asyncio.sleep(3)
        waiting = await shadow.metric('driftline_shadow_waiting_events{partition="0",side="champion"}')
        assert 18_000 <= waiting < 32_000, "it goes no further than the join window and one fetch"
        shadow.part.kill()
        with (
            service("shadow", stage.folder, settings) as again,
            service("inference", stage.folder, stage.settings) as inference,
        ):
            await again.ready()
            await inference.ready()
            await done(stage, 34_000, "inference", "shadow")
            await settled(stage)
