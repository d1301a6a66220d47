from __future__ import annotations

import json
import subprocess
import threading

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from shared.messages import Prediction, Source
from tests.integration.cli.conftest import Cli, read, with_producer

pytestmark = pytest.mark.kafka


def event(event_id: str, **more: object) -> bytes:
    return json.dumps({"event_id": event_id, "occurred_at": 5, "features": {"hour": 1}} | more).encode()


def partition_of(key: bytes, partitions: int = 3) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def test_lines_are_sent_as_they_are_under_the_entity_or_the_event(cli: Cli) -> None:
    lines = [event("e1", entity_id="plane"), event("e2", unknown=[1]), event("e3", entity_id="plane")]
    out, _ = cli("events", "send", "-", stdin=b"\n\n".join(lines))
    assert f"3 events sent to {cli.topics.events}" in out
    sent = read(cli.servers, cli.topics.events)
    assert {(r.key, r.value, r.partition) for r in sent} == {
        (b"plane", lines[0], partition_of(b"plane")),
        (b"e2", lines[1], partition_of(b"e2")),
        (b"plane", lines[2], partition_of(b"plane")),
    }
    assert [r.value for r in sent if r.key == b"plane"] == [lines[0], lines[2]]


def test_a_line_that_is_no_event_is_named_and_those_before_it_are_sent(cli: Cli) -> None:
    bad = event("e2", features={"hour": {}})
    out, err = cli("events", "send", stdin=b"\n".join([event("e1"), b"", bad, event("e3")]), code=1)
    assert "1 event sent" in out
    assert "standard input line 3: Expected `bool | int | float | str | null`, got `object`" in err
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [event("e1")]


def test_without_a_check_anything_is_sent(cli: Cli) -> None:
    cli("events", "send", "--no-check", stdin=b"not json\n" + event("e1"))
    assert {(r.key, r.value) for r in read(cli.servers, cli.topics.events)} == {
        (None, b"not json"),
        (b"e1", event("e1")),
    }


def test_an_event_too_large_for_the_topic_is_said_to_be(cli: Cli) -> None:
    out, err = cli("events", "send", "--no-check", stdin=b"x" * 9_000_000, code=1)
    assert "0 events sent" in out
    assert "standard input line 1: the broker did not take it: it is larger than" in err


def test_one_event_made_of_options(cli: Cli) -> None:
    features = ["--feature", "hour=17", "--feature", "carrier=UA", "--feature", "gate=null"]
    cli(
        "events",
        "send",
        "--event-id",
        "e9",
        "--entity-id",
        "n1",
        "--occurred-at",
        "77",
        "--model",
        "m",
        *features,
    )
    (sent,) = read(cli.servers, cli.topics.events)
    assert sent.key == b"n1"
    assert json.loads(sent.value) == {
        "event_id": "e9",
        "entity_id": "n1",
        "model": "m",
        "occurred_at": 77,
        "features": {"hour": 17, "carrier": "UA", "gate": None},
    }


def test_a_pipe_that_falls_silent_holds_nothing_back(cli: Cli) -> None:
    process = cli.start("events", "send", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(event("e1") + b"\n")
    process.stdin.flush()
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    while not read(cli.servers, cli.topics.events):
        assert process.poll() is None
    watchdog.cancel()
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--bootstrap-servers", "nonsense"], "kafka_bootstrap_servers: 'nonsense' is not host:port", 2),
        (["--bootstrap-servers", "127.0.0.1:1"], "127.0.0.1:1 cannot be reached", 1),
        (["--topic-prefix", "nowhere-"], "there is no topic nowhere-events: `driftline topics create`", 1),
        (["--occurred-at", "noon"], "the event: Invalid RFC3339 encoded datetime", 1),
        (["--feature", "hour"], "'hour' is not NAME=VALUE", 2),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cli: Cli, arguments: list[str], message: str, code: int) -> None:
    _, err = cli("events", "send", "--event-id", "e1", *arguments, code=code)
    assert message in err
    assert "Traceback" not in err


def test_tail_shows_committed_predictions_of_one_model(cli: Cli) -> None:
    def prediction(event_id: str, model: str) -> bytes:
        return msgspec.json.encode(
            Prediction(
                event_id, model, "3", 0.83129, 1_357_017_300_000, 2, Source("events", 2, 7), None, "late"
            )
        )

    async def write(producer: AIOKafkaProducer) -> None:
        for event_id, model in (("e1", "a"), ("e2", "b"), ("e3", "a")):
            await producer.send_and_wait(cli.topics.predictions, prediction(event_id, model), partition=0)
        async with AIOKafkaProducer(
            bootstrap_servers=cli.servers, transactional_id=f"{cli.topics.prefix}aborted"
        ) as other:
            await other.begin_transaction()
            await other.send_and_wait(cli.topics.predictions, prediction("aborted", "a"), partition=0)
            await other.abort_transaction()
        await producer.send_and_wait(cli.topics.predictions, prediction("e4", "a"), partition=0)

    with_producer(cli.servers, write)
    tail = ["predictions", "tail", "--from-beginning", "--model", "a", "--max", "3"]
    assert cli(*tail)[0].splitlines() == [
        f"2013-01-01 05:15:00Z  a 3  {event_id}  score 0.8313  late  events[2]@7"
        for event_id in ("e1", "e3", "e4")
    ]
    lines = cli(*tail, "--json")[0].splitlines()
    assert [line.encode() for line in lines] == [prediction(event_id, "a") for event_id in ("e1", "e3", "e4")]
