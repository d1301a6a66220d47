"""``driftline drift baseline|simulate`` as a person at a terminal sees them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from services.cli.drift_baseline import baseline
from services.cli.drift_simulate import read_history, simulate
from shared.bundle.infer import Wishes
from shared.bundle.package import package
from shared.bundle.read import load_bundle
from shared.drift.stream.version import VersionWatch
from shared.drift.stream.watched import Watched
from shared.errors import BundleError
from tests.models import linear

ROWS = 20_000


def flights(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    times = 1_357_000_000_000 + np.arange(ROWS) * 60_000
    delay = rng.normal(size=ROWS) + np.sin(2 * np.pi * times / 86_400_000)
    late = rng.random(ROWS) < 1 / (1 + np.exp(-delay))
    return pa.table({"delay": delay, "wind": rng.gamma(2, 3, ROWS), "late": late, "at": times})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle (``bundle``), one without a baseline (``bare``) and a history."""
    folder = tmp_path_factory.mktemp("drift")
    (folder / "model.onnx").write_bytes(linear(2, [1.0, 0.0]).SerializeToString())
    wishes = Wishes(
        name="late", version="7", task="binary", score="probabilities", time_column="at", target="late"
    )
    for name, fitted in (("bundle", True), ("bare", False)):
        package(folder / "model.onnx", flights(1), folder / name, wishes=wishes, baseline=fitted)
    parquet.write_table(flights(2), folder / "history.parquet")
    return folder


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def test_the_baseline_is_shown_as_table_page_and_json(folder: Path, tmp_path: Path) -> None:
    result = run(baseline, folder / "bundle", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    names = [line.split("  ")[0].strip() for line in result.output.splitlines()]
    shown = ["delay", "wind", "joint distance", "score", "predicted_class", "label given score"]
    assert [name for name in names if name in shown] == shown
    assert "hour of day" in result.output
    html = (tmp_path / "page.html").read_text()
    assert html.count("<svg") == 9  # six channels, and the season of delay, score and class
    assert "Drift baseline of late" in html
    found = json.loads(run(baseline, folder / "bundle", "--json").output)
    assert [channel["name"] for channel in found["channels"]] == ["delay", "wind"]


def test_a_bundle_without_a_baseline_says_what_to_do(folder: Path) -> None:
    result = run(baseline, folder / "bare")
    assert isinstance(result.exception, BundleError)
    assert "has no baseline.json: package the model again with --data" in str(result.exception)


def test_a_history_and_changes_are_tried(folder: Path) -> None:
    arguments = [folder / "bundle", "--history", folder / "history.parquet", "--time-column", "at"]
    result = run(
        simulate, *arguments, "--shift", "delay=+1sd", "--shift", "wind=+0.01sd", "--places", 3,
        "--patience", 4_000,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "history      20,000 events, 13.9 days at 0.0167 events per second" in result.output
    assert "one in 43,202" in result.output
    assert "alarms       0" in result.output
    lines = {line.split("  ")[0].strip(): line for line in result.output.splitlines()}
    assert "3 of 3" in lines["delay=+1sd"]
    assert "delay: location" in lines["delay=+1sd"]
    assert "not found" in lines["wind=+0.01sd"]
    assert "left out     score, predicted_class, label given score" in result.output
    found = json.loads(run(simulate, *arguments, "--json", "--budget", 2).output)
    assert found["channels_sharing"] == found["channels"] + len(found["left_out"])
    assert found["false_alarms_per_30_days"] == 2
    assert found["events_between_alarms"] == pytest.approx(21_601, abs=1)


def test_the_detector_is_the_one_that_the_service_would_run(folder: Path) -> None:
    """The declared rate, and the features' share of a budget that score, class and labels have a part of."""
    bundle = load_bundle(folder / "bundle")
    declared = dataclasses.replace(bundle, spec=msgspec.structs.replace(bundle.spec, events_per_day=1_000))
    past = read_history(declared, folder / "history.parquet", "at", None, None, None)
    assert past.events_between_alarms == pytest.approx(30_000)
    watch = VersionWatch("late", "7", Watched.of(declared.spec, past.baseline).begin).watch("features")
    assert watch is not None
    assert watch.detector is not None
    assert watch.detector.events_between_alarms == pytest.approx(past.own)
    assert past.own == pytest.approx(30_000 * past.sharing / past.watched)
    asked = read_history(declared, folder / "history.parquet", "at", 1.0, None, None)
    assert asked.events_between_alarms == pytest.approx(30 * 86_400)


def test_a_baseline_is_fitted_from_the_first_part_of_the_history(folder: Path) -> None:
    arguments = [folder / "bare", "--history", folder / "history.parquet", "--time-column", "at"]
    result = run(simulate, *arguments, "--fit-first", "0.6")
    assert result.exit_code == 0, result.output
    assert "history      8,000 events" in result.output
    refused = run(simulate, *arguments)
    assert "has no baseline.json" in str(refused.exception)


def test_without_times_the_rate_is_needed(folder: Path) -> None:
    arguments = [folder / "bundle", "--history", folder / "history.parquet"]
    assert "--rate must say" in str(run(simulate, *arguments).exception)
