"""scikit-learn models become bundles that score as the models do."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

from shared.bundle.package import package
from shared.bundle.read import load_bundle
from shared.bundle.spec import FeatureSpec
from shared.errors import BundleError
from shared.scoring.scorer import Scorer
from tests.integration.bundle.conftest import CARRIERS, MakeWishes

NUMBERS = ("distance", "hour", "delay")


def numbers(flights: pa.Table) -> np.ndarray:
    return flights.select(NUMBERS).to_pandas().to_numpy(dtype=np.float64)


@pytest.mark.parametrize(
    "model", [LogisticRegression(max_iter=2000), RandomForestClassifier(20), GradientBoostingClassifier()]
)
@pytest.mark.parametrize(("label", "classes"), [("late", 2), ("how_late", 3)])
def test_classifiers(
    flights: pa.Table, target: Path, wishes: MakeWishes, model: Any, label: str, classes: int
) -> None:
    data, truth = numbers(flights), flights[label].to_numpy(zero_copy_only=False)
    model.fit(data, truth)
    packaged = package(model, flights, target, wishes=wishes(features=NUMBERS))
    assert packaged.rows == 600
    assert packaged.comparison is not None
    assert packaged.comparison.max_difference < 1e-5
    spec = load_bundle(target).spec
    assert spec.task == ("binary" if classes == 2 else "multiclass")
    assert spec.classes == (("false", "true") if classes == 2 else ("early", "late", "ontime"))
    rows = [dict(zip(NUMBERS, row, strict=True)) for row in data[:5].tolist()]
    expected = model.predict_proba(data[:5])
    scores = Scorer.load(load_bundle(target)).score_rows(rows)
    np.testing.assert_allclose(scores, expected[:, 1] if classes == 2 else expected, atol=1e-5)


@pytest.mark.parametrize(
    "model", [LinearRegression(), RandomForestRegressor(20), GradientBoostingRegressor()]
)
def test_regressors(flights: pa.Table, target: Path, wishes: MakeWishes, model: Any) -> None:
    model.fit(numbers(flights), flights["minutes"].to_numpy())
    packaged = package(model, flights, target, wishes=wishes(features=NUMBERS))
    assert packaged.comparison is not None
    assert packaged.comparison.max_difference < 1e-4
    assert load_bundle(target).spec.task == "regression"
    assert load_bundle(target).spec.classes == ()


def test_a_pipeline_that_encodes_strings_takes_one_input_per_feature(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    frame = flights.select([*NUMBERS, "rain", "carrier"]).to_pandas()
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["distance", "delay"]),
            ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ],
        remainder="passthrough",
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    model.fit(frame, flights["late"].to_numpy(zero_copy_only=False))
    packaged = package(model, flights, target, wishes=wishes())
    assert packaged.comparison is not None
    assert packaged.comparison.max_difference < 1e-5
    by_name = {feature.name: feature for feature in packaged.bundle.spec.features}
    assert list(by_name) == [*NUMBERS, "rain", "carrier"]
    assert by_name["rain"].kind == "boolean"
    assert by_name["carrier"] == FeatureSpec(
        name="carrier", kind="categorical", dtype="string", categories=CARRIERS, encoding="string"
    )
    row = dict(zip(frame.columns, frame.iloc[3].tolist(), strict=True))
    score = Scorer.load(packaged.bundle).score_rows([row])[0]
    assert score == pytest.approx(model.predict_proba(frame.iloc[3:4])[0, 1], abs=1e-5)


def test_an_open_category_is_left_to_the_pipeline(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(flights.select(["carrier"]).to_pandas(), flights["late"].to_numpy(zero_copy_only=False))
    bundle = package(model, flights, target, wishes=wishes(open_categories=True)).bundle
    assert bundle.spec.features[0].categories is None
    intercept = model[-1].intercept_[0]
    score = Scorer.load(bundle).score_rows([{"carrier": "never seen"}])[0]
    assert score == pytest.approx(1 / (1 + np.exp(-intercept)), abs=1e-5)


def test_missing_numbers_reach_an_imputer(flights: pa.Table, target: Path, wishes: MakeWishes) -> None:
    frame = flights.select(["delay", "wind"]).to_pandas()
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    model.fit(frame, flights["late"].to_numpy(zero_copy_only=False))
    bundle = package(model, flights, target, wishes=wishes()).bundle
    assert [feature.nullable for feature in bundle.spec.features] == [False, True]
    score = Scorer.load(bundle).score_rows([{"delay": 12.0, "wind": None}])[0]
    missing = frame.iloc[:1].assign(delay=12.0, wind=np.nan)
    assert score == pytest.approx(model.predict_proba(missing)[0, 1], abs=1e-5)


@pytest.mark.parametrize("encoding", ["ordinal", "one-hot"])
def test_categories_encoded_by_the_bundle(
    flights: pa.Table, target: Path, tmp_path: Path, encoding: str
) -> None:
    toml = tmp_path / "model.toml"
    toml.write_text(
        f"""# kept as written
name = "coded"
version = "2"
task = "binary"
output = {{score = "probabilities"}}
classes = ["no", "yes"]
features = [
    {{name = "delay"}},
    {{name = "carrier", kind = "categorical", encoding = "{encoding}", categories = {list(CARRIERS)}}},
    {{name = "rain", kind = "boolean"}},
]
"""
    )
    codes = np.array([CARRIERS.index(value) for value in flights["carrier"].to_pylist()])
    coded = codes[:, None] if encoding == "ordinal" else np.eye(len(CARRIERS))[codes]
    rain = flights["rain"].to_numpy(zero_copy_only=False)
    data = np.column_stack([flights["delay"].to_numpy(), coded, rain]).astype(np.float64)
    model = RandomForestClassifier(10, random_state=0).fit(data, flights["late"].to_pylist())
    bundle = package(model, flights, target, toml=toml).bundle
    assert (target / "model.toml").read_text() == toml.read_text()
    rows = flights.select(["delay", "carrier", "rain"]).slice(0, 20).to_pylist()
    np.testing.assert_allclose(
        Scorer.load(bundle).score_rows(rows), model.predict_proba(data[:20])[:, 1], atol=1e-6
    )


def test_an_ordinal_encoder_in_the_graph(flights: pa.Table, target: Path, wishes: MakeWishes) -> None:
    frame = flights.select(["delay", "carrier"]).to_pandas()
    columns = ColumnTransformer([("carrier", OrdinalEncoder(), ["carrier"])], remainder="passthrough")
    model = make_pipeline(columns, GradientBoostingRegressor(n_estimators=20))
    model.fit(frame, flights["minutes"].to_numpy())
    packaged = package(model, flights, target, wishes=wishes())
    assert packaged.comparison is not None
    assert packaged.comparison.max_difference < 1e-4


def test_xgboost_at_the_end_of_a_pipeline(flights: pa.Table, target: Path, wishes: MakeWishes) -> None:
    frame = flights.select(["delay", "distance", "carrier"]).to_pandas()
    columns = ColumnTransformer(
        [("carrier", OneHotEncoder(sparse_output=False), ["carrier"])], remainder="passthrough"
    )
    model = make_pipeline(columns, XGBClassifier(n_estimators=10, n_jobs=1))
    model.fit(frame, flights["late"].to_numpy(zero_copy_only=False))
    packaged = package(model, flights, target, wishes=wishes())
    assert packaged.comparison is not None
    assert packaged.comparison.max_difference < 1e-5


@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_a_pickled_model(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, suffix: str
) -> None:
    model = LogisticRegression(max_iter=1000).fit(numbers(flights), flights["late"].to_pylist())
    path = tmp_path / f"model{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(model))
    else:
        joblib.dump(model, path)
    packaged = package(path, flights, target, wishes=wishes(features=NUMBERS))
    assert packaged.source == "scikit-learn LogisticRegression"


def test_hist_gradient_boosting_is_refused_with_advice(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(numbers(flights), flights["late"].to_pylist())
    with pytest.raises(BundleError) as caught:
        package(model, flights, target, wishes=wishes(features=NUMBERS))
    message = str(caught.value)
    assert "cannot convert HistGradientBoostingClassifier: train a GradientBoosting, LightGBM or" in message
    assert "\n" not in message
    assert not target.exists()
    assert list(target.parent.iterdir()) == []


def test_a_classifier_without_probabilities_is_refused(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    model = LinearSVC().fit(numbers(flights), flights["late"].to_pylist())
    with pytest.raises(
        BundleError, match="LinearSVC has no predict_proba: wrap it in CalibratedClassifierCV"
    ):
        package(model, flights, target, wishes=wishes(features=NUMBERS))


def test_an_unfitted_model_is_refused(flights: pa.Table, target: Path, wishes: MakeWishes) -> None:
    with pytest.raises(BundleError, match="LogisticRegression was never fitted"):
        package(LogisticRegression(), flights, target, wishes=wishes(features=NUMBERS))


@pytest.mark.parametrize(("filled", "served"), [(True, True), (False, False)])
def test_a_missing_string_must_have_been_an_empty_one_in_training(
    flights: pa.Table, target: Path, wishes: MakeWishes, filled: bool, served: bool
) -> None:
    """The graph gets '' for a null: right where training had '', wrong where it learnt NaN itself."""
    carriers = pa.array([None if i % 3 == 0 else c for i, c in enumerate(flights["carrier"].to_pylist())])
    table = pa.table({"carrier": carriers})
    frame = table.to_pandas()
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    truth = [i % 3 == 0 for i in range(len(frame))]
    model.fit(frame.fillna({"carrier": ""}) if filled else frame, truth)
    if served:
        bundle = package(model, table, target, wishes=wishes()).bundle
        score = Scorer.load(bundle).score_rows([{"carrier": None}])[0]
        empty = frame.iloc[:1].assign(carrier="")
        assert score == pytest.approx(model.predict_proba(empty)[0, 1], abs=1e-5)
        assert score > 0.9
    else:
        with pytest.raises(BundleError, match="'' in place of missing strings in training"):
            package(model, table, target, wishes=wishes())
