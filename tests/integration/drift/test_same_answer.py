"""The drift service on a real Kafka: its detectors equal an offline computation over the raw topics."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from shared.drift import Baseline
from shared.drift.stream.merging import Merger
from tests.drift_oracle import answer
from tests.integration.drift.conftest import EVENTS_PER_DAY, Stage, fitted
from tests.processes import service

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


async def check(stage: Stage, merger: Merger, version: str = "1") -> None:
    """Compare both groups' detectors with the oracle over everything in the topics."""
    baseline = fitted()
    watch = merger.models["demo"].versions[version]
    declared = EVENTS_PER_DAY * 30
    channels = len(baseline.calibrated) + len(baseline.of_predictions().calibrated)
    features, predictions = watch.watch("features"), watch.watch("predictions")
    assert features is not None
    assert predictions is not None
    assert features.detector is not None
    assert predictions.detector is not None
    expected = answer(
        await stage.rows(stage.topics.events),
        Baseline(channels=baseline.channels, joint=baseline.joint),
        of=channels,
        declared=declared,
    )
    assert features.detector.snapshot() == expected.detector.snapshot()
    assert [alarm.channel for alarm in expected.alarms][:1] == ["f1"]
    assert set(features.latch.active) - {"joint distance"} == {"f1"}  # which moves along
    other = answer(
        await stage.rows(stage.topics.predictions, version=version),
        baseline.of_predictions(),
        of=channels,
        declared=declared,
    )
    assert predictions.detector.snapshot() == other.detector.snapshot()
    assert [order.unordered for order in watch.orders.values()] == [0, 0]


async def command(stage: Stage, *arguments: str) -> str:
    """The output of ``driftline drift ...``."""
    known = ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PREFIX")
    environment = {f"DRIFTLINE_{name}": stage.settings[f"DRIFTLINE_{name}"] for name in known}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "drift", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def check_commands(stage: Stage) -> None:
    """What a person is told is what the detectors found; a replay without the service finds it too."""
    status = await command(stage, "status")
    alarms = [line.split()[0] for line in status.splitlines() if "ALARM" in line]
    assert "f1" in alarms, status
    assert "one in 1,200,000 events (rate declared)" in status
    shown = await command(stage, "show", "f1")
    assert "ALARM: location" in shown
    page = stage.folder / "drift.html"
    await command(stage, "report", "--html", str(page))
    assert "<svg" in page.read_text()
    replayed = await command(stage, "replay", str(stage.folder / "demo-1"))
    assert "4,500 events" in replayed
    assert "f1: location" in replayed


async def test_kill_rebalance_and_replay_leave_the_detectors_as_an_offline_computation(stage: Stage) -> None:
    settings = stage.settings | {"DRIFTLINE_MODEL_BUNDLES": str(stage.bundle(baseline=fitted()))}
    await stage.play(1_500)
    with ExitStack() as stack:
        first = stack.enter_context(service("drift", stage.folder, settings))
        await first.ready()
        await stage.counted(1_500, 1_500)
        playing = asyncio.create_task(stage.play(1_000))
        await asyncio.sleep(0.3)
        first.part.kill()  # kill -9, in the middle of the stream
        await playing
        others = [stack.enter_context(service("drift", stage.folder, settings)) for _ in range(3)]
        await stage.play(1_000, shift=0.6)
        for other in others:
            await other.ready()
        await stage.play(500, shift=0.6, shares=(0.05, 0.05, 0.9))
        for other in others[1:]:
            other.part.kill()  # three to one, two of them without a word
        await stage.play(500, shift=0.6)
        merger = await stage.counted(4_500, 4_500)
        await check(stage, merger)
        reports = await stage.reported(4_500, 4_500)
        others[0].part.stop()
    await check_commands(stage)
    last = reports[-1]
    alarm = next(channel.alarm for channel in last.alarming if channel.name == "f1")
    assert alarm is not None
    assert alarm.change == "location"
    assert 2_300 <= alarm.change_point.events <= 2_800 <= alarm.raised.events + 300
    assert last.budget is not None
    assert last.budget.events_between_false_alarms == EVENTS_PER_DAY * 30
