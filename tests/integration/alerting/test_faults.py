"""Kills, rebalances, replays and bad receivers: nobody misses an alert, and duplicates carry one key."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from devstack.apache_kafka import ApacheKafka
from shared.messages import Alert, InferenceReport
from tests.alert_oracle import FAILING, oracle, stream
from tests.integration.alerting.conftest import Stage, staged
from tests.processes import service
from tests.reports import inference, record
from tests.reports import service as alive
from tests.streams import committed_offsets, read_all, until
from tests.webhooks import WebhookReceiver

pytestmark = pytest.mark.kafka

POINTS = ("alerts-published:2", "alerts-kept:3", "before-post:4", "after-post:3")
EVERY_POINT = ("alerts-found:2", *POINTS, "alerts-placed:3")
"""One before and after each step: found, published, kept, placed, posted, noted."""
Told = set[tuple[str, str, int]]


def told(alerts: list[Alert]) -> Told:
    return {(alert.alert_id, alert.status, alert.changed_at) for alert in alerts}


async def arrived(stage: Stage, expected: Told, what: str) -> None:
    """Wait until the receiver and the topic have everything; then compare it whole."""

    def here() -> Told:
        return told([one.notification().alert for one in stage.receiver.taken])

    try:
        await until(lambda: expected <= here(), seconds=150, what=what)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{await situation(stage, expected - here())}") from error
    assert here() == expected
    published = await stage.alerts()
    assert told(published) == expected
    ids = {status: {a.alert_id for a in published if a.status == status} for status in ("firing", "resolved")}
    assert ids["resolved"] <= ids["firing"]
    by_key = {one.key: told([one.notification().alert]) for one in stage.receiver.taken}
    assert len(by_key) == len(expected), "one notification came under two keys"
    assert set().union(*by_key.values()) == expected


async def situation(stage: Stage, missing: Told) -> str:
    """What a person needs to know of a run that came to no end."""
    committed = await committed_offsets(stage.client, stage.group, stage.topics.reports)
    written = {p: len(found) for p, found in (await read_all(stage.client, stage.topics.reports)).items()}
    logs = {path: path.read_text().splitlines()[-40:] for path in sorted(stage.folder.glob("*.log"))}
    return "\n".join(
        [
            f"missing: {sorted(missing)}",
            f"on the alerts topic: {sorted(missing & told(await stage.alerts()))}",
            f"reports written {written}, committed {committed}",
            *(f"state {key}: {value!r}" for key, value in (await stage.state()).items()),
            *(f"{path.name}: {line}" for path, lines in logs.items() for line in lines),
        ]
    )


async def killed_at(stage: Stage, point: str, reports: list[InferenceReport]) -> None:
    """Work until the kill at one point of the code; what is missing then is for the next process."""
    with service("alerting", stage.folder, stage.settings | {"DRIFTLINE_CRASH_POINT": point}) as alerting:
        await stage.report(*reports)
        await until(lambda: not alerting.part.running, seconds=120, what=f"the kill at {point}")


@pytest.mark.timeout(300)
async def test_killed_at_any_step_it_misses_nothing_and_repeats_under_the_same_keys(
    kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Each point on topics of its own, all at once: most of it is waiting for a session to end."""
    reports = stream(3, minutes=10)
    half = len(reports) // 2

    async def one(number: int, point: str) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        async with staged(kafka, f"{topic_prefix}{number}-", folder) as stage:
            stage.write_rules(FAILING)
            await killed_at(stage, point, reports[:half])
            with service("alerting", stage.folder, stage.settings):
                await stage.report(*reports[half:])
                await arrived(stage, set(oracle(reports)), f"every alert after the kill at {point}")

    async with asyncio.TaskGroup() as group:
        for number, point in enumerate(POINTS):
            group.create_task(one(number, point))


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_killed_at_one_step_after_another(stage: Stage) -> None:
    stage.write_rules(FAILING)
    reports = stream(3, minutes=20)
    share = len(reports) // len(EVERY_POINT)
    for number, point in enumerate(EVERY_POINT):
        await killed_at(stage, point, reports[number * share : (number + 1) * share])
    await stage.report(*reports[len(EVERY_POINT) * share :])
    with service("alerting", stage.folder, stage.settings):
        await arrived(stage, set(oracle(reports)), "every alert")


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_replaced_while_it_works_then_replayed_as_a_whole(stage: Stage) -> None:
    stage.write_rules(FAILING)
    reports = stream(5)
    third = len(reports) // 3
    with service("alerting", stage.folder, stage.settings) as first:
        await first.ready()
        await stage.report(*reports[:third])
        with service("alerting", stage.folder, stage.settings) as second:
            await second.ready()  # it stands by: nothing moves
            await stage.report(*reports[third : 2 * third])
            first.part.kill()
            await stage.report(*reports[2 * third :])
            await arrived(stage, set(oracle(reports)), "every alert, from whoever is left")
            assert second.part.running
            second.part.stop()
    again = stage.settings | {"DRIFTLINE_GROUP_PREFIX": f"{stage.topics.prefix}again"}
    with service("alerting", stage.folder, again) as third_one:
        await third_one.ready()
        consumed = f'driftline_records_consumed_total{{topic="{stage.topics.reports}"}}'

        async def replayed() -> bool:
            return await third_one.metric(consumed) >= len(reports)

        await until(replayed, seconds=120, what="the replay of the whole topic")
        await arrived(stage, set(oracle(reports)), "nothing new")


async def test_bad_receivers_hold_nobody_up_and_miss_nothing(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        good, failing, dropping, slow = [
            await stack.enter_async_context(receiver)
            for receiver in (
                WebhookReceiver(),
                WebhookReceiver(answers=[500, 503, 429]),
                WebhookReceiver(answers=["drop", "drop"]),
                WebhookReceiver(delay=2.0),
            )
        ]
        gone = WebhookReceiver()
        async with gone:
            pass  # its port is free now: it is down
        everybody = {"good": good, "failing": failing, "dropping": dropping, "slow": slow, "gone": gone}
        stage.write_rules(
            receivers=[
                {"name": name, "url": receiver.url, "allow_http": True, "allow_private": True}
                for name, receiver in everybody.items()
            ]
        )
        with service("alerting", stage.folder, stage.settings) as alerting:
            await alerting.ready()
            await stage.report(*(inference(model, failures=200) for model in "abc"))
            await until(lambda: len(good.taken) == 3, what="the good receiver")
            assert len(slow.taken) < 3, "the slow one should still be at it"
            assert gone.requests == []
            await stack.enter_async_context(gone)
            await stage.report(*(inference(model, minute=1) for model in "abc"))
            expected = {(model, status) for model in "abc" for status in ("firing", "resolved")}
            for name, receiver in everybody.items():

                def complete(receiver: WebhookReceiver = receiver) -> bool:
                    return {(model, status) for _, model, status in receiver.alerts()} == expected

                await until(complete, what=f"everything at {name}")
                order = [(model, status) for _, model, status in receiver.alerts()]
                for model in "abc":
                    assert order.index((model, "firing")) < order.index((model, "resolved")), name
        assert good.repeated() == {}
        assert list(dropping.repeated().values()) == [2, 2]
        assert len({one.body for one in dropping.taken}) == 6, "a repetition is the same to the byte"


async def test_what_was_aborted_is_not_acted_on(stage: Stage) -> None:
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        async with AIOKafkaProducer(**stage.client, transactional_id=f"{stage.topics.prefix}tx") as producer:
            for model, keep in (("aborted", False), ("committed", True)):
                await producer.begin_transaction()
                key, value = record(inference(model, failures=200))
                await producer.send_and_wait(stage.topics.reports, value, key=key, partition=1)
                await (producer.commit_transaction() if keep else producer.abort_transaction())
        await until(lambda: len(stage.receiver.taken) == 1, what="the committed one")
    assert [alert.model for alert in await stage.alerts()] == ["committed"]


async def test_a_service_that_falls_silent_is_missed_and_a_broken_way_is_not_an_absence(stage: Stage) -> None:
    stage.write_rules({"name": "gone", "reports": "service", "absent": "2s", "where": {"service": "drift"}})
    with service(
        "alerting", stage.folder, stage.settings | {"DRIFTLINE_HEARTBEAT_SECONDS": "0.5"}
    ) as alerting:
        await alerting.ready()
        await stage.report(alive("drift", _now(), interval=500))
        await until(lambda: len(stage.receiver.taken) == 1, what="the absence")
        await stage.report(alive("drift", _now(), interval=500))
        await until(lambda: len(stage.receiver.taken) == 2, what="its end")
        await stage.report(alive("drift", _now() + 1, interval=500, stopping=True))
        await asyncio.sleep(4)
        assert [one.notification().alert.status for one in stage.receiver.taken][:2] == ["firing", "resolved"]
        assert len(stage.receiver.taken) == 2, "it said goodbye"


def _now() -> int:
    return int(time.time() * 1000)
