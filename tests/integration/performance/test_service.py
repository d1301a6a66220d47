"""The performance service as processes on a real Kafka: the same figures as offline, whatever happened."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sk

from services.performance.packets import Packet, decode_packet
from shared.bundle.truth import KpiSpec
from shared.dead_letters import read_dead_letter
from shared.messages import Label, Labelled, Outcome, PerformanceReport, Prediction
from shared.quality.figures import figures_of
from shared.quality.merging import by_version, by_window
from tests.integration.performance.conftest import HORIZON, HOUR, PARTITIONS, START, Stage
from tests.processes import service
from tests.streams import first_offsets, produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]


def truth_of(stage: Stage) -> dict[str, str]:
    """The label of each event that counts: the last one sent within the horizon."""
    at = {p.event_id: p.occurred_at for p in stage.predictions}
    in_order = [label for label in stage.labels if label.observed_at <= at[label.event_id] + HORIZON]  # type: ignore[operator]
    return {label.event_id: str(label.label) for label in in_order}


def check(stage: Stage, reports: list[PerformanceReport]) -> None:
    """Every window of every version, and each version as a whole, against scikit-learn on the same rows."""
    truth = truth_of(stage)
    for report in [*by_window(reports), *by_version(reports)]:
        rows = [
            p
            for p in stage.predictions
            if p.model_version == report.model_version
            and report.window.start <= p.occurred_at < report.window.end
        ]
        known = [p for p in rows if p.event_id in truth]
        y = np.array([truth[p.event_id] == "yes" for p in known])
        scores = np.array([p.score for p in known])
        chosen = scores >= 0.5
        quality = report.quality
        assert (quality.predictions, quality.labels) == (len(rows), len(known))
        (tn, fp), (fn, tp) = sk.confusion_matrix(y, chosen, labels=[False, True]).tolist()
        table = {t: Counter(row) for t, row in quality.confusion.items()}
        assert [table["no"]["no"], table["no"]["yes"], table["yes"]["no"], table["yes"]["yes"]] == [
            tn,
            fp,
            fn,
            tp,
        ]
        figures = figures_of(report)
        assert figures["log_loss"].value == pytest.approx(sk.log_loss(y, scores), abs=1e-9)
        assert figures["brier"].value == pytest.approx(sk.brier_score_loss(y, scores), abs=1e-9)
        assert figures["f1"].value == pytest.approx(sk.f1_score(y, chosen), abs=1e-12)
        area = figures["auc"]
        assert abs(area.value - sk.roc_auc_score(y, scores)) <= area.resolution + 1e-12
        for feature, values in report.segments.items():
            for value, part in values.items():
                assert part.predictions == sum((p.segments or {})[feature] == value for p in rows)
        if report.model_version == "1":
            assert report.kpis["cost"].value.total == -5 * fp - 20 * fn


async def joined(stage: Stage) -> bool:
    """Whether every label that counts has been joined, and every prediction is in a report."""
    truth = truth_of(stage)
    wanted = Counter(p.model_version for p in stage.predictions)
    labels = Counter(p.model_version for p in stage.predictions if p.event_id in truth)
    found = {r.model_version: r.quality for r in by_version(await stage.reports())}
    return all(
        v in found and (found[v].predictions, found[v].labels) == (wanted[v], labels[v]) for v in ("1", "2")
    )


async def trimmed(stage: Stage) -> bool:
    """Whether the log has lost what nobody needs any more, in every partition."""
    return min((await first_offsets(stage.client, stage.topics.performance_log, PARTITIONS)).values()) > 0


async def told_by_the_command_line(stage: Stage) -> None:
    """What a person is told: KPIs of final windows, in JSON and as a table; nobody runs a registry here."""
    reports = await stage.reports()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")} | {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": str(stage.client["bootstrap_servers"]),
        "DRIFTLINE_TOPIC_PREFIX": stage.topics.prefix,
        "DRIFTLINE_REDIS_URL": "redis://127.0.0.1:1",
    }

    async def driftline(*arguments: str) -> str:
        command = [sys.executable, "-m", "services.cli", "performance", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, env=environment, check=True
        )
        return done.stdout

    told = {v["model_version"]: v for v in json.loads(await driftline("report", "demo", "--json"))}
    final = [window for window in by_window(reports) if window.final and window.model_version == "1"]
    assert told["1"]["provisional"] is False
    for name in ("cost", "sales"):
        sums = [window.kpis[name].value for window in final if name in window.kpis]
        assert told["1"]["kpis"][name]["n"] == sum(kpi.n for kpi in sums)
    labelled = sum(window.quality.labels for window in final)
    assert told["1"]["realised"]["accuracy"]["n"] == labelled < told["1"]["labels"]["joined"]
    assert told["1"]["estimated_open"]["predictions"] > 0
    assert "demo" in await driftline("status")


async def test_figures_equal_an_offline_computation_after_kills_rebalances_and_a_new_disk(
    stage: Stage,
) -> None:
    # Hours are sent in seconds: an input called idle just before its process is killed is waited for so long.
    stage.settings |= {"DRIFTLINE_GRACE_SECONDS": "20"}
    with service("performance", stage.folder, stage.replica("a")) as first:
        await first.ready()
        for hours in ((0,), (1, 2)):  # the first alone: it is deleted from the log before the others
            for hour in hours:
                await stage.send_hour(hour, 150)
            await until(lambda: joined(stage), seconds=90, every=0.5, what="the first hours to be joined")
        check(stage, await stage.reports())
        with service("performance", stage.folder, stage.replica("b")) as second:  # a rebalance
            await second.ready()
            await stage.send_hour(3, 150)
            first.part.kill()  # -9, in the middle of it
            await stage.send_hour(4, 150)
            await stage.send_hour(5, 150)
            await until(lambda: joined(stage), seconds=90, every=0.5, what="the other to take over")
            await until(lambda: trimmed(stage), seconds=90, every=0.5, what="what has ended to be deleted")
            second.part.kill()
    stage.lose_disk("b")
    await stage.send_hour(6, 150)
    with service("performance", stage.folder, stage.replica("c")) as third:  # from what Kafka still has alone
        await third.ready()
        await stage.send_hour(7, 150)
        await until(lambda: joined(stage), seconds=90, every=0.5, what="a new replica to join the rest")
        check(stage, await stage.reports())
        assert await third.metric("driftline_performance_recovery_seconds") > 0
        assert any(report.final for report in await stage.reports()), "a horizon has passed meanwhile"
        await told_by_the_command_line(stage)
        third.part.stop()
    told = [
        msgspec.json.decode(record.value, type=Labelled)
        for records in (await read_all(stage.client, stage.topics.labelled)).values()
        for record in records
    ]
    last = {t.event_id: t for t in told}
    truth = truth_of(stage)
    assert {event_id: t.truth for event_id, t in last.items()} == truth
    for event_id, t in last.items():
        versions = {p.model_version for p in stage.predictions if p.event_id == event_id}
        assert {a.model_version for a in t.answers} == versions
    repeated = [t for t in told if t.replaces is None]
    assert len(repeated) == len({t.event_id for t in repeated}), "told once as new, whoever was killed"


async def test_bad_labels_are_dead_letters_and_the_good_ones_are_joined(stage: Stage) -> None:
    bad = {
        b"{": "DecodeError",
        b'{"event_id": "e0-1"}': "DecodeError",
        b'{"event_id": "e0-1", "label": "yes", "observed_at": 4000000000000}': "ValidationError",
    }
    await produce(stage.client, stage.topics.labels, [(0, value) for value in bad])
    nameless = msgspec.json.encode({"kpi": "sale", "value": 1, "observed_at": START})
    await produce(stage.client, stage.topics.outcomes, [(0, nameless)])
    with service("performance", stage.folder, stage.replica("a")) as process:
        await process.ready()
        await stage.send_hour(0, 60)
        await until(lambda: joined(stage), seconds=60, every=0.5, what="the good labels")
        letters = [
            record
            for records in (await read_all(stage.client, stage.topics.dead_letters)).values()
            for record in records
        ]
        process.part.stop()
    found = {letter.value: read_dead_letter(letter.headers) for letter in letters}
    assert {value: letter.error for value, letter in found.items() if letter} == bad | {
        nameless: "ValidationError"
    }


def attributed_offline(answers: list[Prediction], outcomes: list[Outcome]) -> dict[int, tuple[int, float]]:
    """How many answers of each hour have an outcome, and the sum: it is at the latest answer before it."""
    values: dict[str, tuple[int, float]] = {}
    for outcome in sorted(outcomes, key=moment):
        before = [a for a in answers if a.entity_id == outcome.entity_id and a.occurred_at <= moment(outcome)]
        if before:
            latest = max(before, key=lambda answer: (answer.occurred_at, answer.event_id))
            values[latest.event_id] = (
                (latest.occurred_at - START) // HOUR,
                outcome.value,
            )  # the last one counts
    hours = {hour for hour, _ in values.values()}
    by_hour = {hour: [value for at, value in values.values() if at == hour] for hour in hours}
    return {hour: (len(some), round(sum(some), 6)) for hour, some in by_hour.items()}


def moment(outcome: Outcome) -> int:
    assert isinstance(outcome.observed_at, int)
    return outcome.observed_at


async def test_an_outcome_of_an_entity_goes_to_its_latest_answer_before_it(stage: Stage) -> None:
    """Outcomes come before the answers they belong to, and from other partitions: it makes no difference."""
    stage.settings |= {
        "DRIFTLINE_MODEL_BUNDLES": str(stage.bundle("3", KpiSpec(name="spent", value="spent", by="entity"))),
        "DRIFTLINE_IDLE_SECONDS": "600",  # so that event time waits for every input
        "DRIFTLINE_GRACE_SECONDS": "0",
    }
    rng = random.Random(11)
    customers = [f"c{number}" for number in range(20)]
    answers = [
        stage.prediction(f"e{n}", "3", START + rng.randrange(3 * HOUR), rng.random(), rng.choice(customers))
        for n in range(200)
    ]
    outcomes = [
        Outcome(
            kpi="spent",
            value=round(rng.random() * 9, 2),
            observed_at=START + rng.randrange(3 * HOUR),
            entity_id=rng.choice(customers),
        )
        for _ in range(100)
    ]
    expected = attributed_offline(answers, outcomes)
    assert sum(count for count, _ in expected.values()) > 50

    async def found() -> bool:
        reports = [report for report in by_window(await stage.reports()) if "spent" in report.kpis]
        sums = {(r.window.start - START) // HOUR: r.kpis["spent"].value for r in reports}
        return {hour: (kpi.n, round(kpi.total, 6)) for hour, kpi in sums.items()} == expected

    with service("performance", stage.folder, stage.replica("a")) as process:
        await process.ready()
        await stage.send(stage.topics.outcomes, outcomes, by=lambda outcome: f"{outcome.value}")
        await stage.send(stage.topics.predictions, answers, by=lambda answer: str(answer.entity_id))
        assert not await found(), "event time has not come to the outcomes"
        await stage.pass_time(START + 4 * HOUR)
        await until(found, seconds=60, every=0.5, what="every outcome to be with its answer")
        process.part.stop()


async def test_with_the_defaults_labels_of_an_input_called_idle_count_for_a_minute(stage: Stage) -> None:
    """The service's clock goes ten times faster: ten seconds of idling and a minute of grace are seven."""
    for name in ("IDLE", "GRACE", "SESSION"):
        del stage.settings[f"DRIFTLINE_{name}_SECONDS"]
    answers = [
        stage.prediction(f"e{hour}-{n}", "1", START + hour * HOUR, 0.7, f"c{n}")
        for hour in range(9)
        for n in range(12)
    ]
    early = [answer for answer in answers if answer.occurred_at < START + 3 * HOUR]  # over by event time

    async def logged() -> list[tuple[int, int, Packet]]:
        found = await read_all(stage.client, stage.topics.performance_log)
        return [
            (at, record.timestamp, decode_packet(record.value or b""))
            for at, records in found.items()
            for record in records
        ]

    async def called_idle() -> bool:
        silent = {packet.source for *_, packet in await logged() if packet.idle}
        come = {packet.high for *_, packet in await logged()}
        return (
            silent >= {f"{stage.topics.labels}/{n}" for n in range(PARTITIONS)} and START + 8 * HOUR in come
        )

    async def final() -> list[PerformanceReport]:
        return [report for report in await stage.reports() if report.final]

    async def early_hours_are_final() -> bool:
        of_early = [report for report in await final() if report.window.start < START + 3 * HOUR]
        return sum(report.quality.predictions for report in of_early) == len(early)

    with service("performance", stage.folder, stage.replica("a"), faster=10) as process:
        await process.ready()
        await stage.send(stage.topics.predictions, answers)
        await until(called_idle, seconds=60, every=0.1, what="the labels' silence to be noticed")
        labels = [Label(event_id=a.event_id, label="yes", observed_at=a.occurred_at + HOUR) for a in early]
        await stage.send(stage.topics.labels, labels)
        await until(early_hours_are_final, seconds=90, every=0.5, what="horizons to end a grace later")
        process.part.stop()
    reached = {
        at: min(t for p, t, packet in await logged() if p == at and packet.high == START + 8 * HOUR)
        for at in range(PARTITIONS)
    }
    for report in await final():
        if report.window.start < START + 3 * HOUR:
            assert report.labels.joined == report.quality.predictions
            assert report.labels.missing == report.labels.late == report.orphans == 0
        assert report.written_at >= reached[report.partition] + 60_000
