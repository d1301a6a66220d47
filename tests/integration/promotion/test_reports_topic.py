"""The reports topic on a real Kafka: read to its end and on, decisions written, an outage survived."""

from __future__ import annotations

import msgspec
import pytest

from devstack.apache_kafka import ApacheKafka
from shared.errors import TransientError
from shared.messages import Comparison, DecisionReport, ShadowReport
from shared.promotion.following import ReportsTopic
from shared.promotion.judge import Judge
from shared.registry.order import now_ms
from tests.integration.promotion.conftest import ANN
from tests.streams import create_topics, produce, read_all, until
from tests.unit.shared.promotion.reports import both_reports, report, world

pytestmark = pytest.mark.kafka


def client_of(kafka) -> dict:
    return {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}


def encoded(reports: list[ShadowReport]) -> list[tuple[int, bytes]]:
    return [(i % 3, msgspec.json.encode(r)) for i, r in enumerate(reports)]


async def test_every_report_is_read_once_in_order_and_strangers_are_passed_over(kafka, topic_prefix):
    client, name = client_of(kafka), f"{topic_prefix}reports"
    await create_topics(client, {name: 3})
    reports = [report(partition=p, comparison=Comparison(both=p)) for p in range(30)]
    await produce(client, name, [*encoded(reports), (0, b'{"kind":"tomorrow"}'), (1, b"no JSON"), (2, None)])
    topic, seen = ReportsTopic(client, name), []
    try:
        await topic.read_to_end(seen.append)
        assert sorted(r.partition for r in seen) == list(range(30))
        await topic.read_to_end(seen.append)
        assert len(seen) == 30
        await produce(client, name, encoded([report(partition=99)]))
        await topic.read_to_end(seen.append)
        assert [r.partition for r in seen[30:]] == [99]
    finally:
        await topic.close()


async def test_other_kinds_are_not_even_decoded(kafka, topic_prefix):
    client, name = client_of(kafka), f"{topic_prefix}reports"
    await create_topics(client, {name: 1})
    await produce(client, name, encoded([report(partition=1)]), key=b"shadow/flights/1")
    await produce(client, name, encoded([report(partition=2)]), key=b"drift/flights/1")
    topic, seen = ReportsTopic(client, name, kinds=("shadow", "decision")), []
    try:
        await topic.read_to_end(seen.append)
        assert [r.partition for r in seen] == [1]
    finally:
        await topic.close()


async def test_a_topic_that_is_not_there_yet_is_trouble_that_passes(kafka, topic_prefix):
    client, name = client_of(kafka), f"{topic_prefix}reports"
    topic, seen = ReportsTopic(client, name), []
    try:
        with pytest.raises(TransientError, match="there is no such topic yet"):
            await topic.read_to_end(seen.append)
        await create_topics(client, {name: 1})
        await topic.read_to_end(seen.append)
        assert seen == []
    finally:
        await topic.close()


async def decisions(client, name: str) -> list[DecisionReport]:
    found = []
    for records in (await read_all(client, name)).values():
        for record in records:
            if b'"kind":"decision"' in record.value:
                found.append((record.key, msgspec.json.decode(record.value, type=DecisionReport)))
    return found


async def test_a_promotion_is_made_and_told_on_a_real_broker(kafka, topic_prefix, stage):
    registry, _, _ = stage
    client, name = client_of(kafka), f"{topic_prefix}reports"
    await create_topics(client, {name: 3})
    await produce(client, name, encoded(both_reports(world(8_000, 1), written_at=now_ms())))
    topic = ReportsTopic(client, name)
    try:
        judge = Judge(registry, topic)
        assert [entry.action for entry in await judge.turn()] == ["promote"]
        assert await judge.turn() == []
    finally:
        await topic.close()
    ((key, told),) = await decisions(client, name)
    assert key.startswith(b"decision/flights/revision 6/")
    assert (told.decision, told.model_version) == ("promoted", "2")


@pytest.mark.faults
async def test_the_broker_is_away_between_the_promotion_and_the_telling(topic_prefix, stage):
    registry, _, _ = stage
    with ApacheKafka() as kafka:
        client, name = client_of(kafka), f"{topic_prefix}reports"
        await create_topics(client, {name: 1})
        await produce(
            client, name, [(0, v) for _, v in encoded(both_reports(world(8_000, 1), written_at=now_ms()))]
        )
        topic = ReportsTopic(client, name)
        judge = Judge(registry, topic)
        promote = registry.promote

        async def and_then_the_broker_freezes(*args, **kwargs):
            entry = await promote(*args, **kwargs)
            kafka.nodes[0].suspend()
            return entry

        registry.promote = and_then_the_broker_freezes
        try:
            with pytest.raises(TransientError):
                await judge.turn()
            assert (await registry.pointers("flights")).champion == "2"
            kafka.nodes[0].resume()

            async def told() -> bool:
                try:
                    await judge.turn()
                except TransientError:
                    return False
                return True

            await until(told, seconds=120, what="the judge goes on")
        finally:
            await topic.close()
        assert [entry.action for entry in await registry.history("flights")].count("promote") == 2
        assert {told.revision for _, told in await decisions(client, name)} == {6}
        (entry, *_) = await registry.history("flights")
        assert entry.request_id == "gates/promoted/2/5"
        assert ANN["who"] != entry.who
