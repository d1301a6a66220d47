"""Whatever lies on a topic, each service's step takes it or says why not: every record, and never a crash."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.alerting.exposition import ReportCollector
from services.alerting.page import SaidAlerts, overview
from services.alerting.process import Alerting, decode
from services.performance.metrics import PerformanceMetrics
from services.performance.packets import Packet, decode_packet
from services.performance.routing import RouteStep
from services.shadow.labels import LabelStep
from services.shadow.metrics import ShadowMetrics
from shared.alerting.rules_file import load_rules
from shared.drift.stream.reading import FeatureReader, read_predictions
from shared.errors import DecodeError
from shared.kafka.records import Output
from shared.messages import Alert
from shared.topics import TopicNames
from tests.models import numeric_spec
from tests.reports import inference
from tests.unit.fuzz.mutants import mutants
from tests.unit.services.performance.harness import HOUR, START, Log, binary
from tests.unit.services.performance.harness import Harness as Joining
from tests.unit.services.shadow.harness import NOW, Harness, records

thorough = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PREDICTION: dict[str, Any] = {
    "event_id": "e1",
    "entity_id": "n1",
    "model": "m",
    "model_version": "1",
    "score": 0.25,
    "label": "no",
    "probabilities": {"no": 0.75, "yes": 0.25},
    "occurred_at": START,
    "scored_at": START + 5,
    "source": {"topic": "events", "partition": 0, "offset": 3},
    "segments": {"carrier": "UA"},
    "canary": False,
}
LABEL = {"event_id": "e1", "label": "yes", "observed_at": START + 1000}
OUTCOME = {"event_id": "e1", "kpi": "sale", "value": 2.5, "observed_at": START + 1000}
LABELLED: dict[str, Any] = {
    "event_id": "e1",
    "model": "demo",
    "source": {"topic": "events", "partition": 0, "offset": 3},
    "occurred_at": NOW,
    "observed_at": NOW + 9,
    "truth": "yes",
    "answers": [
        {"model_version": "1", "score": 0.3, "scored_at": 1, "label": "no"},
        {"model_version": "2", "score": 0.6, "scored_at": 1, "label": "yes", "shadow": True},
    ],
    "segments": {"f1": "2"},
}
EVENT = {"event_id": "e1", "model": "demo", "occurred_at": NOW, "features": {"f0": 1, "f1": -2.5, "f2": 0}}
ALERT = msgspec.to_builtins(
    Alert(
        alert_id="a1",
        rule="drift",
        severity="critical",
        status="firing",
        subject="drift",
        summary="f0 drifts",
        started_at=NOW,
        changed_at=NOW,
        model="demo",
    )
)
REPORT = msgspec.to_builtins(inference("demo"))
SILENCE = {
    "kind": "silence", "silence_id": "s", "match": {"model": "m"}, "starts_at": 0, "ends_at": 9, "who": "ann",
    "why": "x",
}  # fmt: skip


def letters(outputs: list[Output]) -> int:
    return sum(len(output.values) for output in outputs if output.topic == "dead-letters")


@pytest.mark.parametrize(
    ("topic", "good"),
    [
        ("predictions", PREDICTION),
        ("labels", LABEL),
        ("outcomes", OUTCOME),
    ],
)
@given(data=st.data())
@thorough
def test_performance_sorts_or_refuses_and_the_join_takes_what_was_sorted(
    tmp_path_factory: pytest.TempPathFactory, topic: str, good: dict[str, Any], data: st.DataObject
) -> None:
    values: list[bytes | None] = [*data.draw(st.lists(mutants(good), min_size=1, max_size=5)), None]
    step = RouteStep(
        TopicNames(),
        PerformanceMetrics(CollectorRegistry()),
        partitions=1,
        by_entity=lambda *_: True,
        clock=lambda: NOW,
        idle_after=1_000,
        grace=0,
        max_future=86_400_000,
    )
    step.open(topic, 0, 0, None)
    (share,) = work = step.decode([records(topic, values)])
    share.part.timestamps = [START + HOUR] * len(values)
    step.compute(work)
    outputs = step.encode(work, 0)
    packets = [decode_packet(v) for o in outputs if o.topic == "performance-log" for v in o.values]
    taken = sum(len(p.answers) + len(p.labels) + len(p.outcomes) + len(p.entity_outcomes) for p in packets)
    assert taken + letters(outputs) == len(values)
    log = Log()
    log.packets += [*packets, Packet("predictions/0", START + 9 * HOUR), Packet("labels/0", START + 9 * HOUR)]
    versions = {(a.model, a.version) for p in packets for a in p.answers} | {("m", "1")}
    facts = [binary(version, model=model) for model, version in versions]
    joined = Joining(tmp_path_factory.mktemp("join"), log, *facts)
    try:
        joined.run()
    finally:
        joined.join.store.close()


@given(data=st.data())
@thorough
def test_the_shadow_joins_or_refuses_every_prediction(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    harness = Harness(tmp_path_factory.mktemp("shadow"))
    values = data.draw(st.lists(mutants(PREDICTION | {"model": "demo"}), min_size=1, max_size=5))
    harness.ask([msgspec.json.encode(EVENT)] * 6)
    harness.tell([*values, None])
    harness.flush()
    harness.restart(harness.step.snapshot("events", 0), 6)
    harness.flush()


@given(values=st.lists(mutants(LABELLED), min_size=1, max_size=4))
@thorough
def test_the_shadow_judges_or_refuses_every_labelled_event(values: list[bytes]) -> None:
    spec = numeric_spec(3, window=3600, segments=("f1",))
    metrics = ShadowMetrics(CollectorRegistry())
    step = LabelStep(lambda: {"demo": spec}, TopicNames(), metrics, clock=lambda: NOW)
    step.open("labelled", 0, 0, None)
    work = step.decode([records("labelled", [*values, None])])
    step.compute(work)
    step.encode(work, 0)
    step.flush("labelled", 0, leaving=True)
    state = step.snapshot("labelled", 0)
    step.open("labelled", 0, len(values) + 1, state)


@given(values=st.lists(mutants(EVENT), min_size=1, max_size=6))
@thorough
def test_drift_reads_or_skips_every_event(values: list[bytes]) -> None:
    reader = FeatureReader("demo", [("f0", "numeric"), ("f1", "categorical"), ("f2", "boolean")])
    rows = reader.read([*values, None], [NOW] * (len(values) + 1))
    strangers = len(values) + 1 - len(rows) - len(rows.skipped)
    assert 0 <= strangers <= len(values)


@given(values=st.lists(mutants(PREDICTION), min_size=1, max_size=6))
@thorough
def test_drift_reads_or_skips_every_prediction(values: list[bytes]) -> None:
    found = read_predictions([*values, None])
    assert len(found.kept) + len(found.skipped) == len(values) + 1


@given(values=st.lists(mutants(REPORT), min_size=1, max_size=4))
@thorough
def test_alerting_takes_or_refuses_every_report(values: list[bytes]) -> None:
    alerting = Alerting(load_rules(None))
    shown = ReportCollector(CollectorRegistry(), clock=lambda: NOW)
    for value in values:
        try:
            report = decode(value)
        except DecodeError:
            continue
        if report is not None:
            shown.take(report)
            with contextlib.suppress(ValueError, ArithmeticError):  # become dead letters
                alerting.take(report, NOW)
    alerting.tick(NOW, current=True)
    kept = {key: value for key, value in alerting.drain().items() if value is not None}
    Alerting(load_rules(None)).load(kept)
    list(shown.collect())
    overview(SaidAlerts(), shown, NOW)


@given(values=st.lists(mutants(SILENCE), min_size=1, max_size=4))
@thorough
def test_alerting_obeys_or_refuses_every_command(values: list[bytes]) -> None:
    alerting = Alerting(load_rules(None))
    for value in values:
        with contextlib.suppress(DecodeError):
            alerting.command(value, NOW)
    alerting.tick(NOW, current=True)
    alerting.drain()


@given(values=st.lists(mutants(ALERT), min_size=1, max_size=4))
@thorough
def test_the_page_shows_any_alert_as_text(values: list[bytes]) -> None:
    said = SaidAlerts()
    for value in values:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said.take(b"", value)
            said.take_state(b"watch/x", value)
            said.take_state(
                b"watch/y", value.join([b'{"rule":"r","group":[],"alert_id":"a","since":1,"alert":', b"}"])
            )
    page = overview(said, ReportCollector(CollectorRegistry(), clock=lambda: NOW), NOW)
    assert "<script" not in page.lower()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
