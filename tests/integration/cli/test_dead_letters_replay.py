from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition

from devstack.embedded_kafka import EmbeddedKafka
from shared.kafka.topics import create_topics
from shared.pipeline.options import PipelineOptions
from shared.pipeline.writer import TransactionalWriter
from shared.topics import TopicNames
from tests.integration.cli.conftest import Bad, Cli, read, write_letters

pytestmark = pytest.mark.kafka


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def test_sends_original_bytes_key_and_headers_where_they_came_from(cli: Cli) -> None:
    letters = [
        Bad(2, b'{"event_id": "a"', b"plane", (("traceparent", b"00-1"), ("x", None))),
        Bad(0, b"\xff\x00 not text", None),
        Bad(2, None, b"tombstone"),
        Bad(1, b"x" * 5_000_000, b"large"),
    ]
    write_letters(cli.servers, cli.topics, letters)
    out, _ = cli("dead-letters", "replay", "--all", "--yes")
    assert "4 sent again" in out
    dead = cli.topics.dead_letters
    assert [(r.partition, r.key, r.value, r.headers) for r in read(cli.servers, cli.topics.events)] == [
        (0, None, b"\xff\x00 not text", (("driftline-replay-of", f"{dead}/0/0".encode()),)),
        (1, b"large", b"x" * 5_000_000, (("driftline-replay-of", f"{dead}/1/0".encode()),)),
        (
            2,
            b"plane",
            b'{"event_id": "a"',
            (("traceparent", b"00-1"), ("x", None), ("driftline-replay-of", f"{dead}/2/0".encode())),
        ),
        (2, b"tombstone", None, (("driftline-replay-of", f"{dead}/2/1".encode()),)),
    ]


def send_each_once(cli: Cli, *, first: str) -> None:
    """Replay one letter of the event b, then all of a, b and c: nothing is sent a second time."""
    out, _ = cli("dead-letters", "replay", first, "--yes")
    assert "1 sent again" in out
    out, _ = cli("dead-letters", "replay", "--all", "--yes")
    assert "2 dead letters to send again; 1 was sent again before" in out
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"b", b"a", b"c"]
    out, _ = cli("dead-letters", "replay", "--all", "--yes")
    assert "0 dead letters to send again; 3 were sent again before" in out


def test_a_letter_is_sent_once_unless_again_is_asked_for(cli: Cli) -> None:
    write_letters(cli.servers, cli.topics, [Bad(0, b"a"), Bad(0, b"b"), Bad(0, b"c")])
    send_each_once(cli, first="0:1")
    cli("dead-letters", "replay", "0:0-1", "--again", "--yes")
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"b", b"a", b"c", b"a", b"b"]


def test_letters_of_one_event_send_it_once(cli: Cli) -> None:
    """A service that delivers at least once writes a letter again when it ended before its position."""
    same = [Bad(0, b"a"), Bad(0, b"b")]
    write_letters(cli.servers, cli.topics, same)
    write_letters(cli.servers, cli.topics, [*same, Bad(0, b"c")])
    send_each_once(cli, first="0:3")
    cli("dead-letters", "replay", "0:0", "0:2", "--again", "--yes")
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"b", b"a", b"c", b"a"]
    listed, _ = cli("dead-letters", "list", "--json")
    assert [json.loads(line)["sent_again"] for line in listed.splitlines()] == [True] * 5


def test_selects_by_field_limit_and_range_and_a_dry_run_sends_nothing(cli: Cli) -> None:
    write_letters(
        cli.servers,
        cli.topics,
        [Bad(0, b"a"), Bad(0, b"b", field="features.carrier"), Bad(0, b"c"), Bad(0, b"d")],
    )
    out, _ = cli("dead-letters", "replay", "--field", "hour", "--limit", "2", "--dry-run")
    assert "2 dead letters to send again" in out
    assert read(cli.servers, cli.topics.events) == []
    cli("dead-letters", "replay", "--field", "hour", "--limit", "2", "--yes")
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"a", b"c"]
    cli("dead-letters", "replay", "0:1-2", "--yes")
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"a", b"c", b"b"]


def test_asks_before_it_sends(cli: Cli) -> None:
    write_letters(cli.servers, cli.topics, [Bad(0, b"a")])
    cli("dead-letters", "replay", "--all", stdin=b"n\n", code=1)
    assert read(cli.servers, cli.topics.events) == []
    cli("dead-letters", "replay", "--all", stdin=b"y\n")
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"a"]


def test_a_letter_without_a_place_to_go_is_named_and_the_others_are_sent(cli: Cli) -> None:
    write_letters(cli.servers, cli.topics, [Bad(0, b"a"), Bad(1, b"b")])
    write_letters(cli.servers, cli.topics, [Bad(1, b"lost")], topic=f"{cli.topics.prefix}gone")
    out, err = cli("dead-letters", "replay", "--all", "--yes", code=1)
    assert "2 sent again" in out
    assert f"not sent: 1:1 came from topic {cli.topics.prefix}gone, which is not there any more" in err
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"a", b"b"]


def test_looks_for_what_was_left_open_where_letters_came_from_and_nowhere_else(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster may have thousands of topics."""
    looked: list[tuple[str, ...]] = []

    def writer(tp: TopicPartition, options: PipelineOptions, **more: int) -> TransactionalWriter:
        looked.append(options.outputs)
        return TransactionalWriter(tp, options, **more)

    monkeypatch.setattr("services.cli.replay.TransactionalWriter", writer)
    write_letters(cli.servers, cli.topics, [Bad(0, b"a")])
    write_letters(cli.servers, cli.topics, [Bad(1, b"b")], topic=cli.topics.labels)
    assert "1 sent again" in cli("dead-letters", "replay", "0:0", "--yes")[0]
    assert set(looked) == {(cli.topics.events, cli.topics.labels)}


@pytest.mark.parametrize("point", ["after-begin", "after-send", "before-commit", "after-commit"])
def test_killed_at_any_step_every_letter_is_visible_once(cli: Cli, point: str) -> None:
    write_letters(cli.servers, cli.topics, [Bad(0, b"a"), Bad(0, b"b"), Bad(1, b"c")])
    process = cli.start("dead-letters", "replay", "--all", "--yes", DRIFTLINE_CRASH_POINT=f"{point}:1")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    out, _ = cli("dead-letters", "replay", "--all", "--yes")
    assert ("1 sent again" if point == "after-commit" else "3 sent again") in out
    assert [r.value for r in read(cli.servers, cli.topics.events)] == [b"a", b"b", b"c"]


def test_two_at_once_send_every_letter_once(cli: Cli) -> None:
    letters = [Bad(0, f"{number}".encode()) for number in range(1_200)]
    write_letters(cli.servers, cli.topics, letters)
    hold = {"DRIFTLINE_CRASH_POINT": "before-commit:99:hold=3"}
    first = cli.start("dead-letters", "replay", "--all", "--yes", **hold)
    until(lambda: len(read(cli.servers, cli.topics.events, "read_uncommitted")) >= 500)
    cli("dead-letters", "replay", "--all", "--yes")
    _, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "another replay took over" in err.decode()
    counts = Counter(r.value for r in read(cli.servers, cli.topics.events))
    assert counts == Counter(bad.value for bad in letters)


def test_many_at_once_send_every_letter_once(cli: Cli) -> None:
    letters = [Bad(number % 3, f"{number}".encode()) for number in range(60)]
    write_letters(cli.servers, cli.topics, letters)
    running = [cli.start("dead-letters", "replay", "--all", "--yes") for _ in range(3)]
    for process in running:
        process.communicate(timeout=90)
    cli("dead-letters", "replay", "--all", "--yes")  # whoever won last: nothing may be left
    counts = Counter(r.value for r in read(cli.servers, cli.topics.events))
    assert counts == Counter(bad.value for bad in letters)


def test_list_and_show_tell_what_was_sent_again(cli: Cli) -> None:
    write_letters(cli.servers, cli.topics, [Bad(0, b"a\x1b[2J"), Bad(0, b"b")])
    cli("dead-letters", "replay", "0:0", "--yes")
    lines = [json.loads(line) for line in cli("dead-letters", "list", "--json")[0].splitlines()]
    assert {(x["offset"], x["sent_again"], x["reason"]["field"]) for x in lines} == {
        (0, True, "features.hour"),
        (1, False, "features.hour"),
    }
    shown = cli("dead-letters", "show", "0", "0")[0]
    assert "sent again:  yes" in shown
    assert "a\\x1b[2J" in shown
    assert cli.raw("dead-letters", "show", "0:0", "--raw")[0] == b"a\x1b[2J"
    whole = json.loads(cli("dead-letters", "show", "0", "0", "--json")[0])
    assert (whole["key"], whole["value"], whole["sent_again"]) == ("k", "a\x1b[2J", True)
    assert {"name": "driftline-error", "value": "ValidationError"} in whole["headers"]
    table = cli("dead-letters", "list")[0]
    assert "2 dead letters" in table
    assert "hour is 77, above the declared maximum 23" in table


def test_names_the_topic_that_is_missing(cli: Cli) -> None:
    _, err = cli("dead-letters", "list", "--topic-prefix", "nowhere-", code=1)
    assert "there is no topic nowhere-dead-letters: `driftline topics create` makes it" in err
    assert TopicNames("nowhere-").dead_letters in err


def test_without_transactions_it_takes_a_flag_and_a_kill_repeats_a_letter() -> None:
    with EmbeddedKafka() as server:
        servers, topics = server.bootstrap_servers, TopicNames("t-")
        asyncio.run(create_topics({"bootstrap_servers": servers}, topics, partitions=3))
        cli = Cli(servers, topics)
        write_letters(servers, topics, [Bad(0, b"a")])
        _, err = cli("dead-letters", "replay", "--all", "--yes", code=1)
        assert "add --at-least-once to accept that" in err
        replay = ["dead-letters", "replay", "--all", "--yes", "--at-least-once"]
        killed = cli.start(*replay, DRIFTLINE_CRASH_POINT="before-commit:1")  # the event is out, the mark not
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert "1 sent again" in cli(*replay)[0]
        assert "0 dead letters to send again" in cli(*replay)[0]
        assert [r.value for r in read(servers, topics.events)] == [b"a", b"a"]
