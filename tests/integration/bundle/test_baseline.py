"""The drift baseline that packaging writes: of features, of answers, and what a person is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, feather, parquet
from sklearn.linear_model import LinearRegression

from services.cli.baseline_view import truth_rows
from services.cli.bundles import package as package_command
from services.performance.facts import facts_of
from shared.bundle.baseline import load_baseline
from shared.bundle.infer import Wishes
from shared.bundle.package import package
from shared.bundle.read import load_bundle
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.bundle.write import encode_spec
from shared.drift import Baseline
from shared.drift.fitting import SEASON_UNFOLLOWED
from shared.drift.residual_baseline import ResidualBaseline
from shared.drift.stream.groups import shared_channels
from shared.errors import BundleError
from tests.models import linear

ROWS = 6_000
DAY = 86_400.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(linear(3, [1.5, 0.0, 0.0]).SerializeToString())
    return path


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Three features; the label is drawn with the model's own probability; one row a minute, shuffled."""
    rng = np.random.default_rng(21)
    delay = rng.normal(size=ROWS)
    late = rng.random(ROWS) < 1 / (1 + np.exp(-1.5 * delay))
    minutes = rng.permutation(ROWS)
    return pa.table(
        {
            "delay": delay,
            "hour": rng.normal(size=ROWS) + 3 * np.sin(2 * np.pi * minutes / 1440),
            "wind": pa.array(rng.normal(size=ROWS), mask=rng.random(ROWS) < 0.1),
            "late": late,
            "at": pa.array((minutes * 60_000).astype(np.int64), pa.timestamp("ms", tz="UTC")),
        }
    )


def spec_file(directory: Path, **changes: Any) -> Path:
    names = ("delay", "hour", "wind")
    fields: dict[str, Any] = {
        "name": "late",
        "version": "1",
        "task": "binary",
        "features": tuple(FeatureSpec(name=name, nullable=True) for name in names),
        "output": OutputSpec(score="probabilities"),
        "classes": ("on_time", "late"),
        "seasonality": "day",  # the rows span four days
    }
    path = directory / "model.toml"
    path.write_bytes(encode_spec(ModelSpec(**{**fields, **changes})))
    return path


def made(model: Path, table: Any, tmp_path: Path, **options: Any) -> Baseline:
    target = tmp_path / "bundle"
    wishes = options.pop("wishes", Wishes(time_column="at", target="late"))
    packaged = package(model, table, target, toml=spec_file(tmp_path), wishes=wishes, rows=50, **options)
    baseline = load_baseline(load_bundle(target))
    assert baseline is not None
    assert baseline == packaged.baseline
    return baseline


def test_features_score_class_and_labels_are_in_the_bundle(
    model: Path, table: pa.Table, tmp_path: Path
) -> None:
    baseline = made(model, table.set_column(2, "wind", table["wind"].fill_null(0.0)), tmp_path)
    assert [channel.name for channel in baseline.channels] == ["delay", "hour", "wind"]
    assert [channel.name for channel in baseline.predictions] == ["score", "predicted_class"]
    score, decided = baseline.predictions
    assert (score.rows, score.calibrated, score.ordered) == (ROWS, True, True)
    positive = int((np.asarray(table["delay"]) >= 0).sum())
    assert dict(zip(decided.categories, decided.counts, strict=False)) == {
        "late": positive,
        "on_time": ROWS - positive,
    }
    assert baseline.labels is not None
    assert sum(baseline.labels.labels) == ROWS
    assert sum(baseline.labels.positives) == sum(table["late"].to_pylist())
    middle = np.array([0.025, 0.075, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.925, 0.975])
    assert np.abs(baseline.labels.calibration - middle).max() < 0.06  # the label was drawn from the score


def test_times_sort_the_rows_and_show_the_season(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(22)
    minutes = rng.permutation(3 * ROWS)
    season = 3 * np.sin(2 * np.pi * minutes * 60 / DAY)
    columns = {"delay": rng.normal(size=3 * ROWS), "hour": rng.normal(size=3 * ROWS) + season}
    frame = pa.table({**columns, "wind": np.zeros(3 * ROWS), "late": minutes % 2 == 0, "at": minutes * 60.0})
    seasonal = made(model, frame, tmp_path).channels[1]
    assert seasonal.phases is not None
    assert seasonal.phases.cycle == "hour-of-day"
    assert seasonal.calibrated


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        (Wishes(target="late", time_column="at", seasonality="week"), "its rows span 4.2 days: 2 weeks are"),
        (Wishes(target="late"), "its rows have no times: 2 days are needed to see a rhythm of the day"),
    ],
)
def test_where_the_rows_cannot_show_a_rhythm_no_channel_is_calibrated(
    wishes: Wishes, why: str, model: Path, table: pa.Table, tmp_path: Path
) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0))
    baseline = made(model, whole, tmp_path, wishes=wishes)
    assert baseline.joint is None
    for channel in (*baseline.channels, *baseline.predictions):
        assert channel.counts
        assert channel.reason is not None
        assert channel.reason.startswith(why) or channel.reason == SEASON_UNFOLLOWED
    assert str(baseline.channels[0].reason).startswith(why)
    assert baseline.labels is not None
    assert not baseline.labels.calibrated
    assert baseline.labels.rates_known, "quality is still estimated"


def test_who_declares_that_there_is_no_rhythm_needs_no_times(
    model: Path, table: pa.Table, tmp_path: Path
) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0))
    baseline = made(model, whole, tmp_path, wishes=Wishes(target="late", seasonality="none"))
    assert baseline.channels[0].calibrated
    assert baseline.labels is not None
    assert baseline.labels.calibrated


def test_a_model_that_fails_on_a_row_is_refused_as_before(
    model: Path, table: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="the model fails on"):  # a missing wind is NaN in this graph
        made(model, table, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_without_time_and_target_it_says_so(model: Path, table: pa.Table, tmp_path: Path) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0))
    baseline = made(model, whole, tmp_path, wishes=Wishes())
    assert baseline.labels is None
    assert not any(channel.ordered for channel in baseline.channels)


def test_held_out_rows_make_the_part_of_the_score(model: Path, table: pa.Table, tmp_path: Path) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0))
    baseline = made(model, whole, tmp_path, held_out=whole.slice(0, 2_000))
    assert baseline.channels[0].rows == ROWS
    assert baseline.predictions[0].rows == 2_000
    assert baseline.labels is not None
    assert baseline.labels.held_out
    assert sum(baseline.labels.labels) == 2_000


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".feather"])
def test_every_kind_of_file_gives_the_same_baseline(
    model: Path, table: pa.Table, tmp_path: Path, suffix: str
) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0)).slice(0, 1_000)
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv.gz":
        with pa.CompressedOutputStream(str(path), "gzip") as stream:
            csv.write_csv(whole, stream)
    else:
        {".csv": csv.write_csv, ".parquet": parquet.write_table, ".feather": feather.write_feather}[suffix](
            whole, str(path)
        )
    (tmp_path / "file").mkdir()
    (tmp_path / "memory").mkdir()
    assert made(model, path, tmp_path / "file") == made(model, whole, tmp_path / "memory")


def test_a_feature_called_score_keeps_its_name(model: Path, table: pa.Table, tmp_path: Path) -> None:
    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0)).rename_columns(
        ["score", "hour", "wind", "late", "at"]
    )
    features = tuple(FeatureSpec(name=name, nullable=True) for name in ("score", "hour", "wind"))
    toml = spec_file(tmp_path, features=features)
    packaged = package(model, whole, tmp_path / "bundle", toml=toml, rows=50)
    assert packaged.baseline is not None
    assert [channel.name for channel in packaged.baseline.predictions] == ["score_", "predicted_class"]


HOSTILE: dict[str, tuple[Any, str]] = {
    "constant": (np.full(ROWS, 5.0), "every training value is 5"),
    "all missing": (pa.array([None] * ROWS, pa.float64()), "every training value is missing"),
    "all NaN": (np.full(ROWS, np.nan), "every training value is missing"),
    "all infinite": (np.full(ROWS, np.inf), "every training value is missing"),
    "few usable": (np.where(np.arange(ROWS) < 100, np.arange(ROWS), np.nan), "only 100 usable training rows"),
    "walk": (np.cumsum(np.random.default_rng(3).normal(size=ROWS)), "depend on each other"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_column_is_a_sentence(table: pa.Table, case: str) -> None:
    from shared.bundle.baseline import feature_column
    from shared.drift import fit_baseline

    values, reason = HOSTILE[case]
    hostile = pa.table({"delay": values, "at": np.arange(ROWS) * 60.0})
    column = feature_column(hostile, FeatureSpec(name="delay"))
    channel = fit_baseline({"delay": column}, {"delay": "numeric"}, np.arange(ROWS) * 60.0).channels[0]
    assert reason in (channel.reason or "")


def test_a_hundred_thousand_categories_and_mixed_types(table: pa.Table) -> None:
    from shared.bundle.baseline import feature_column
    from shared.drift import fit_baseline

    names = pa.table({"id": [f"user {i}" for i in range(100_000)]})
    column = feature_column(names, FeatureSpec(name="id", kind="categorical", encoding="string"))
    channel = fit_baseline({"id": column}, {"id": "categorical"}).channels[0]
    assert channel.reason == "more than 20,000 values, none of them frequent: it looks like an identifier"
    mixed = [1.0, "seven", None, True, float("nan"), float("inf"), 10**400, [1]] * 200
    channel = fit_baseline({"x": mixed}, {"x": "numeric"}).channels[0]
    assert channel.reason == "only 400 usable training rows; 512 are needed"


def test_a_baseline_of_other_features_is_refused(model: Path, table: pa.Table, tmp_path: Path) -> None:
    from shared.bundle.read import BASELINE_NAME
    from shared.bundle.write import add_file
    from shared.drift import fit_baseline

    whole = table.set_column(2, "wind", table["wind"].fill_null(0.0))
    made(model, whole, tmp_path)
    other = fit_baseline({"speed": np.arange(1000.0)}, {"speed": "numeric"})
    (tmp_path / "bundle" / BASELINE_NAME).unlink()
    add_file(tmp_path / "bundle", BASELINE_NAME, other.encode())
    with pytest.raises(BundleError, match="they differ in delay, hour, speed, wind"):
        load_baseline(load_bundle(tmp_path / "bundle"))


def test_the_command_prints_a_line_per_channel(model: Path, table: pa.Table, tmp_path: Path) -> None:
    whole = table.set_column(2, "wind", pa.array(np.full(ROWS, 4.0)))
    csv.write_csv(whole, str(tmp_path / "rows.csv"))
    arguments = [str(model), "--data", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "bundle")]
    arguments += ["--spec", str(spec_file(tmp_path)), "--time-column", "at", "--target", "late"]
    result = CliRunner().invoke(package_command, arguments)
    assert result.exit_code == 0, result.output
    lines = {line.split("  ")[0]: line for line in result.output.splitlines()}
    assert re.search(r"0\.2\d\d sd .* yes", lines["delay"])
    assert "no: every training value is 4: there is no spread to measure change in" in lines["wind"]
    assert re.search(r"labels +6,000 .* sd .* yes", lines["label given score"])
    assert "Label given score is of the rows the model was fitted to" in result.output
    without = [*arguments[:4], str(tmp_path / "other"), *arguments[5:], "--no-baseline"]
    result = CliRunner().invoke(package_command, without)
    assert result.exit_code == 0, result.output
    assert load_bundle(tmp_path / "other").baseline_path is None


def test_a_regression_is_packaged_with_what_its_errors_are_given_its_predictions(tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    x = rng.normal(size=10_000)
    minutes = 20 + 5 * x + rng.normal(0, 3, 10_000)
    rows = pa.table({"x": x, "minutes": minutes, "at": np.arange(10_000) * 60.0})
    fitted = LinearRegression().fit(x[:, None].astype(np.float32), minutes)
    wishes = Wishes(
        name="delay", version="1", features=("x",), target="minutes", time_column="at", seasonality="day"
    )
    packaged = package(fitted, rows, tmp_path / "bundle", wishes=wishes, rows=50)
    baseline = load_baseline(load_bundle(tmp_path / "bundle"))
    assert baseline is not None
    assert baseline == packaged.baseline
    assert baseline.labels is None
    assert isinstance(baseline.residuals, ResidualBaseline)
    assert baseline.residuals.calibrated
    assert baseline.residuals.ordered
    assert not baseline.residuals.held_out
    assert baseline.residuals.spreads == pytest.approx([3 * np.sqrt(2 / np.pi)] * 20, rel=0.2)
    features = [("x", "numeric")]
    without = shared_channels(
        features, msgspec.structs.replace(baseline, residuals=msgspec.UNSET), classes=False
    )
    assert shared_channels(features, baseline, classes=False) == without + 1
    lines = [row for row in truth_rows(baseline) if row[1] == "residuals"]
    assert [line[-1] for line in lines] == ["yes"]
    facts = facts_of(load_bundle(tmp_path / "bundle"))
    assert facts.residual_baseline == baseline.residuals
    assert facts.label_baseline is None
