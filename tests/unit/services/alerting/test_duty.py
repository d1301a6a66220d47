"""What the working process does with what Faust brings it, in whatever order and however interrupted."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaError
from faust.types import TP
from prometheus_client import CollectorRegistry

from services.alerting.delivery import say
from services.alerting.duty import Duty
from services.alerting.metrics import AlertingMetrics
from shared import refusals
from shared.alerting.posting import Outcome
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import Rulebook, load_rules
from shared.logs import RateLimit
from shared.messages import Silence
from shared.topics import TopicNames
from shared.tracing import TraceContext, current_trace, trace_of
from tests.reports import inference

REPORTS = TP("reports", 0)
COMMANDS = TP("alert-commands", 0)
TOLD = ("alerts", "dead-letters")
PLACE = b"position/g/alert-commands/0"


class Table:
    """Faust's table: what was written, and what of it the broker has."""

    def __init__(self) -> None:
        self.written: dict[bytes, bytes | None] = {}
        self.durable_at: list[list[bytes]] = []
        self.trouble: list[BaseException] = []

    def put(self, key: bytes, value: bytes | None) -> None:
        self.written.pop(key, None)
        self.written[key] = value

    def items(self) -> Any:
        return list(self.written.items())

    async def durable(self) -> None:
        if self.trouble:
            raise self.trouble.pop()
        self.durable_at.append(list(self.written))


class Worker:
    """Faust's app, with the partition of commands."""

    group = "g"
    should_stop = False
    member = True
    revocations = 1
    assigned = frozenset({TP("reports", 0), COMMANDS})
    positions: Any = None

    def __init__(self) -> None:
        self.committable: dict[TP, int] = {}
        self.sent: list[tuple[str, Any, Any, Any]] = []

    def durable(self, positions: dict[TP, int]) -> None:
        self.committable = positions

    async def send_bytes(self, topic: str, key: Any, value: Any, headers: Any = None) -> Any:
        self.sent.append((topic, key, value, headers))
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    async def read_on(self) -> None:
        """Nothing was handed out."""


def event(offset: int, follows: int) -> Any:
    silence = Silence(
        silence_id=f"s{offset}", match={"rule": "x"}, starts_at=1, ends_at=9_999, who="me", at=1
    )
    value = msgspec.json.encode(silence)
    message = SimpleNamespace(
        tp=COMMANDS, topic="alert-commands", partition=0, offset=offset, follows=follows,
        key=None, value=value, headers=None,
    )  # fmt: skip
    return SimpleNamespace(message=message)


def report(offset: int) -> Any:
    message = SimpleNamespace(
        tp=REPORTS, topic="reports", partition=0, offset=offset, follows=offset,
        key=None, value=msgspec.json.encode(inference(failures=200)), headers=None,
    )  # fmt: skip
    return SimpleNamespace(message=message)


@pytest.fixture
async def duty() -> Any:
    metrics = AlertingMetrics(CollectorRegistry())
    worker: Any = Worker()
    table: Any = Table()
    rulebook = Rulebook((), (), ())
    made = Duty(worker, table, rulebook, TopicNames(""), metrics, instance="me", clock=lambda: 5)
    await made.recovered()
    worker.positions.begin(COMMANDS, 10)
    return made


def silences(duty: Duty) -> list[str]:
    return [one.silence_id for one in duty.alerting.silences]


async def test_what_comes_too_early_is_acted_on_once_what_is_missing_has_come(duty: Any) -> None:
    """A whole range was passed over for good when Faust had lost it on its way."""
    await duty.commands([event(10, 10), event(20, 15), event(21, 21)])
    assert silences(duty) == ["s10"]
    assert duty._worker.committable == {COMMANDS: 11}, "else the next process passes over them, too"
    await duty.commands([event(10, 10), event(11, 11), event(15, 12)])
    await duty.commands([event(20, 16), event(21, 21)])
    assert silences(duty) == ["s10", "s11", "s15", "s20", "s21"]
    assert duty._worker.committable == {COMMANDS: 22}


async def test_a_position_is_written_after_what_follows_from_it(duty: Any) -> None:
    await duty.commands([event(10, 10)])
    first, last = duty._table.durable_at
    assert b"silence/s10" in first
    assert PLACE not in first
    assert PLACE in last
    await duty.recovered()
    assert duty._worker.positions.all() == {COMMANDS: 11}


async def test_what_a_cancelled_call_has_not_written_is_written_by_the_next(duty: Any) -> None:
    duty._table.trouble.append(asyncio.CancelledError())
    duty._table.put = lambda *_: None
    with pytest.raises(asyncio.CancelledError):
        await duty.commands([event(10, 10)])
    assert duty._worker.committable == {}
    del duty._table.put
    await duty.tick(current=False)
    assert {b"silence/s10", PLACE} <= set(duty._table.written)
    assert duty._worker.committable == {COMMANDS: 11}


async def test_nothing_is_delivered_before_the_state_holds_it(duty: Any) -> None:
    """A post that the next process knows nothing of would be repeated under another key, or be a lie."""
    hook = Receiver(name="hook", url="https://x.y")
    duty._rulebook = Rulebook(load_rules().conditions, (), (hook,))
    await duty.recovered()
    duty._worker.positions.begin(REPORTS, 0)
    duty._worker.member = False
    await duty.reports([report(0)])
    assert duty.alerting.outbox.waiting("hook") == 1
    assert await duty.due("hook") is None
    assert await duty.standing(hook) == []
    duty._worker.member = True
    await duty.tick(current=False)
    found = await duty.due("hook")
    assert found is not None
    assert (found[0], found[1].alert.rule) == (duty.alerting.outbox, "prediction-failures")
    assert [one.rule for one in await duty.standing(hook)] == ["prediction-failures"]


async def test_the_log_says_which_model_and_from_which_record(
    duty: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_limit", RateLimit(10))
    duty._rulebook = load_rules()
    await duty.recovered()
    duty._worker.positions.begin(REPORTS, 7)
    bad, good = report(7), report(8)
    bad.message.value = b"{"
    good.message.headers = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())]
    traces: list[TraceContext | None] = []
    caplog.handler.addFilter(lambda _: traces.append(current_trace.get()) or True)  # type: ignore[func-returns-value]
    await duty.reports([bad, good])
    said = {one.getMessage(): vars(one)["fields"] for one in caplog.records if one.levelname == "WARNING"}
    place = {"topic": "reports", "partition": 0}
    assert said["record refused"].items() >= (place | {"offset": 7, "reason": "DecodeError"}).items()
    about = {"model": "m", "rule": "prediction-failures"}
    assert said["alert firing"].items() >= (place | {"offset": 8} | about).items()
    assert [trace.trace_id for trace in traces if trace] == ["a" * 32]


LASTING = {
    "name": "lasting", "reports": "inference", "figure": "failure_ratio", "above": 0.05, "for": "1m",
    "summary": "{model} fails", "group_by": ["model", "model_version"],
}  # fmt: skip


async def test_whatever_becomes_of_an_alert_is_logged_under_the_trace_it_began_in(
    duty: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It fires because time passed, is refused, delivered, and ends with a report of another trace."""
    to = {"name": "hook", "url": "https://x.y"}
    (tmp_path / "rules.yml").write_text(
        json.dumps({"defaults": False, "rules": [LASTING], "receivers": [to]})
    )
    duty._rulebook = load_rules(tmp_path / "rules.yml")
    now = [inference().written_at]
    duty._clock = lambda: now[0]
    await duty.recovered()
    duty._worker.positions.begin(REPORTS, 7)
    caplog.set_level(logging.INFO)
    lines: list[tuple[str, str, dict[str, Any]]] = []

    def note(line: logging.LogRecord) -> bool:
        trace = current_trace.get()
        lines.append(
            (line.getMessage(), "" if trace is None else trace.trace_id, vars(line).get("fields", {}))
        )
        return True

    caplog.handler.addFilter(note)
    began, over = report(7), report(8)
    began.message.headers = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())]
    over.message.value = msgspec.json.encode(inference(minute=3))
    over.message.headers = [("traceparent", f"00-{'c' * 32}-{'d' * 16}-01".encode())]
    await duty.reports([began])
    assert lines == [], "it is pending"
    now[0] += 61_000
    await duty.tick(current=True)
    for outcome in (Outcome("HTTP 500", again=True), Outcome(), Outcome("HTTP 400")):
        if outcome.error == "HTTP 400":
            await duty.reports([over])
        now[0] += 600_000
        outbox, delivery = await duty.due("hook")
        assert delivery.alert.traceparent == f"00-{'a' * 32}-{'b' * 16}-01"
        await duty.settle(outbox, delivery, outcome)
        say(delivery, outcome, duty._metrics)
    said = [
        "alert firing", "notification not delivered yet", "notification delivered", "alert resolved",
        "notification given up, it is a dead letter: `driftline alerts redeliver` sends it again",
    ]  # fmt: skip
    assert [event for event, _, _ in lines] == said
    assert {trace for _, trace, _ in lines} == {"a" * 32}
    assert [fields["offset"] for _, _, fields in lines] == [7, 7, 7, 8, 7]
    for _, _, fields in lines:
        whose = {"topic": "reports", "partition": 0, "model": "m", "model_version": "1"}
        assert fields.items() >= (whose | {"alert_id": delivery.alert.alert_id}).items()
    traces = {topic: [trace_of(sent[3]) for sent in duty._worker.sent if sent[0] == topic] for topic in TOLD}
    assert [trace and trace.trace_id for trace in traces["alerts"]] == ["a" * 32] * 2
    assert [trace and trace.trace_id for trace in traces["dead-letters"]] == ["a" * 32]


async def test_what_the_broker_refuses_is_tried_again(duty: Any) -> None:
    duty._table.trouble.append(KafkaError())
    await duty.commands([event(10, 10)])
    assert duty._worker.committable == {COMMANDS: 11}


@pytest.mark.parametrize("lost", [{"member": False}, {"revocations": 2}])
async def test_who_may_have_lost_the_partitions_writes_nothing(duty: Any, lost: dict[str, Any]) -> None:
    """A process that was frozen goes on where it was: it would write its old state over the newer one."""
    vars(duty._worker).update(lost)
    await duty.commands([event(10, 10)])
    assert duty._table.written == {}
    vars(duty._worker).update(member=True, revocations=1)
    await duty.tick(current=False)
    assert {b"silence/s10", PLACE} <= set(duty._table.written), "it was only the network: nothing is lost"


async def test_who_is_frozen_in_the_middle_of_a_write_does_not_end_it(duty: Any) -> None:
    async def frozen() -> None:
        duty._worker.member = False

    duty._table.durable = frozen
    await duty.commands([event(10, 10)])
    assert b"silence/s10" in duty._table.written
    assert PLACE not in duty._table.written
    assert duty._worker.committable == {}
