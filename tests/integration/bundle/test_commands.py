"""``driftline models package|inspect|validate`` as a person at a terminal sees them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import csv
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from services.cli.bundles import inspect, package, validate
from shared.bundle.checksums import file_digest, format_sums
from shared.bundle.read import load_bundle
from shared.errors import BundleError

COLUMNS = ["delay", "rain", "carrier"]


@pytest.fixture
def files(flights: pa.Table, tmp_path: Path) -> tuple[str, str]:
    """Paths of a pickled pipeline and of its training data."""
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=1000))
    model.fit(flights.select(COLUMNS).to_pandas(), flights["late"].to_pylist())
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    csv.write_csv(flights.select([*COLUMNS, "late"]), tmp_path / "flights.csv")
    return str(tmp_path / "model.pkl"), str(tmp_path / "flights.csv")


def make(files: tuple[str, str], target: Path, *options: str) -> Result:
    model, data = files
    arguments = [model, "--data", data, "--out", str(target), "--name", "late", "--version", "1", *options]
    return CliRunner().invoke(package, arguments)


def test_package_says_what_it_did(files: tuple[str, str], target: Path) -> None:
    result = make(
        files, target, "--target", "late", "--ranges", "observed", "--margin", "0", "--segments", "carrier"
    )
    assert result.exit_code == 0, result.output
    printed = result.output.split("\n\n")[0]  # the table of the drift baseline follows
    lines = dict(line.split(maxsplit=1) for line in printed.replace("rows scored", "rows").splitlines())
    assert lines["model"] == "scikit-learn Pipeline ending in LogisticRegression"
    assert lines["rows"] == "600"
    assert float(lines["difference"].split()[0]) < 1e-5
    bundle = load_bundle(target)
    assert lines["digest"] == bundle.digest
    delays = [float(line.split(",")[0]) for line in Path(files[1]).read_text().splitlines()[1:]]
    assert (bundle.spec.features[0].min, bundle.spec.features[0].max) == (min(delays), max(delays))
    assert bundle.spec.segments == ("carrier",)


def test_package_calls_the_directory_after_name_and_version(
    files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = files
    result = CliRunner().invoke(
        package, [model, "--data", data, "--name", "late", "--version", "2", "--target", "late"]
    )
    assert result.exit_code == 0, result.output
    assert load_bundle(tmp_path / "late-2").spec.version == "2"


def test_package_raises_what_the_entry_point_prints(files: tuple[str, str], target: Path) -> None:
    result = make(files, target, "--target", "lateness")
    assert isinstance(result.exception, BundleError)
    assert "--target 'lateness' is no column of the data" in str(result.exception)


def test_help_warns_of_pickles() -> None:
    output = " ".join(CliRunner().invoke(package, ["--help"]).output.split())
    assert "runs code that is in it: only package files of your own" in output


def test_inspect_shows_the_contract(files: tuple[str, str], target: Path) -> None:
    make(files, target, "--target", "late", "--description", "Late at arrival?")
    result = CliRunner().invoke(inspect, [str(target)])
    assert result.exit_code == 0, result.output
    for text in (
        "late version 1",
        "Late at arrival?",
        "binary",
        "carrier",
        "categorical, string",
        "AA, DL, UA",
    ):
        assert text in result.output
    assert load_bundle(target).digest in result.output


def test_inspect_as_json(files: tuple[str, str], target: Path) -> None:
    make(files, target, "--target", "late")
    found = json.loads(CliRunner().invoke(inspect, [str(target), "--json"]).output)
    bundle = load_bundle(target)
    assert (found["digest"], found["size_bytes"]) == (bundle.digest, bundle.size)
    assert [feature["name"] for feature in found["spec"]["features"]] == COLUMNS


def verdicts(target: Path, *options: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and verdict and detail by check."""
    result = CliRunner().invoke(validate, [str(target), *options])
    rows = [line.split(maxsplit=2) for line in result.output.splitlines()]
    return result.exit_code, {name: (verdict, detail) for verdict, name, detail in rows}


def test_validate_with_rows_of_ones_own(files: tuple[str, str], target: Path) -> None:
    make(files, target, "--target", "late")
    code, checks = verdicts(target, "--rows", files[1], "--count", "600")
    assert code == 0
    assert {verdict for verdict, _ in checks.values()} == {"ok"}
    assert checks["rows"][1].startswith("600 rows of flights.csv, scores from ")


def test_validate_says_that_rows_are_made_up(files: tuple[str, str], target: Path) -> None:
    make(files, target, "--target", "late", "--ranges", "observed", "--nullable", "carrier")
    code, checks = verdicts(target)
    assert code == 0, checks
    assert checks["rows"][1].startswith(
        "500 made-up rows (from the declared ranges and categories, no real data)"
    )


def test_validate_stops_at_the_first_failure(files: tuple[str, str], target: Path) -> None:
    make(files, target, "--target", "late")
    (target / "model.onnx").write_bytes(b"other")
    code, checks = verdicts(target)
    assert code == 1
    assert checks["checksums"][0] == "failed"
    assert "model.onnx is damaged or was changed" in checks["checksums"][1]
    assert [checks[name][0] for name in ("model.toml", "graph", "signature", "rows")] == ["skipped"] * 4


@pytest.mark.parametrize(
    ("old", "new", "failing", "detail"),
    [
        ("segments", "segmets", "model.toml", "segmets"),
        ('"delay"', '"dealy"', "signature", "feature dealy has no input in the graph"),
        ('"probabilities"', '"probability"', "signature", "output.score is 'probability'"),
    ],
)
def test_validate_names_what_is_wrong(
    files: tuple[str, str], target: Path, old: str, new: str, failing: str, detail: str
) -> None:
    make(files, target, "--target", "late", "--segments", "carrier")
    path, names = target / "model.toml", load_bundle(target).files
    path.write_text(path.read_text().replace(old, new))
    sums = {name: file_digest(target / name) for name in names}
    (target / "SHA256SUMS").write_bytes(format_sums(sums))
    code, checks = verdicts(target)
    assert code == 1
    assert checks[failing][0] == "failed"
    assert detail in checks[failing][1]


def test_validate_refuses_rows_out_of_range(files: tuple[str, str], target: Path, tmp_path: Path) -> None:
    make(files, target, "--target", "late", "--ranges", "observed")
    rows = pa.table({"delay": [1e6], "rain": np.array([True]), "carrier": ["AA"]})
    csv.write_csv(rows, tmp_path / "rows.csv")
    code, checks = verdicts(target, "--rows", str(tmp_path / "rows.csv"))
    assert code == 1
    assert "features.delay is 1000000, above the declared maximum" in checks["rows"][1]
