"""XGBoost and LightGBM: the graph agrees with the booster, missing values and categories included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
import xgboost

from shared.bundle.package import package
from shared.bundle.read import load_bundle
from shared.errors import BundleError
from shared.scoring.scorer import Scorer
from tests.integration.bundle.conftest import CARRIERS, MakeWishes

NAMES = ("distance", "hour", "delay", "wind")  # wind has nulls
TASKS = ["binary", "multiclass", "regression"]
TARGETS = {"binary": "late", "multiclass": "how_late", "regression": "minutes"}
CLASSES = {"binary": ("false", "true"), "multiclass": ("early", "late", "ontime"), "regression": ()}


def training(flights: pa.Table, task: str) -> tuple[np.ndarray, np.ndarray]:
    values = flights[TARGETS[task]].to_numpy(zero_copy_only=False)
    truth = values if task == "regression" else np.unique(values, return_inverse=True)[1]
    return flights.select(NAMES).to_pandas().to_numpy(dtype=np.float64), truth


def train_xgboost(data: np.ndarray, truth: np.ndarray, task: str, names: list[str] | None) -> Any:
    objective = {
        "binary": "binary:logistic",
        "multiclass": "multi:softprob",
        "regression": "reg:squarederror",
    }
    parameters = {"objective": objective[task], "max_depth": 4, "nthread": 1}
    if task == "multiclass":
        parameters["num_class"] = 3
    return xgboost.train(parameters, xgboost.DMatrix(data, truth, feature_names=names), 15)


def train_lightgbm(data: np.ndarray, truth: np.ndarray, task: str, names: list[str] | None) -> Any:
    parameters = {"objective": task, "verbose": -1, "num_threads": 1}
    if task == "multiclass":
        parameters["num_class"] = 3
    named = names if names is not None else "auto"
    return lightgbm.train(parameters, lightgbm.Dataset(data, truth, feature_name=named), 15)


def check(flights: pa.Table, bundle_path: Path, expected: np.ndarray) -> None:
    """The bundle scores all rows, nulls among them, as the booster did."""
    rows = flights.select(NAMES).to_pylist()
    assert sum(row["wind"] is None for row in rows) > 50
    scores = Scorer.load(load_bundle(bundle_path)).score_rows(rows)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("suffix", [".json", ".ubj"])
def test_an_xgboost_file(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, task: str, suffix: str
) -> None:
    data, truth = training(flights, task)
    booster = train_xgboost(data, truth, task, list(NAMES))
    booster.save_model(tmp_path / f"model{suffix}")
    packaged = package(tmp_path / f"model{suffix}", flights, target, wishes=wishes(target=TARGETS[task]))
    spec = packaged.bundle.spec
    assert (spec.task, spec.classes) == (task, CLASSES[task])
    assert [(f.name, f.nullable) for f in spec.features] == [(n, n == "wind") for n in NAMES]
    check(flights, target, booster.predict(xgboost.DMatrix(data, feature_names=list(NAMES))))


@pytest.mark.parametrize("task", TASKS)
def test_a_lightgbm_file(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, task: str
) -> None:
    data, truth = training(flights, task)
    booster = train_lightgbm(data, truth, task, list(NAMES))
    booster.save_model(tmp_path / "model.txt")
    packaged = package(tmp_path / "model.txt", flights, target, wishes=wishes(target=TARGETS[task]))
    spec = packaged.bundle.spec
    assert (spec.task, spec.classes) == (task, CLASSES[task])
    assert [(f.name, f.nullable) for f in spec.features] == [(n, n == "wind") for n in NAMES]
    check(flights, target, booster.predict(data))


@pytest.mark.parametrize("train", [train_xgboost, train_lightgbm])
def test_a_booster_without_names_takes_the_features_in_the_given_order(
    flights: pa.Table, target: Path, wishes: MakeWishes, train: Any
) -> None:
    data, truth = training(flights, "binary")
    booster = train(data, truth, "binary", None)
    package(booster, flights, target, wishes=wishes(features=NAMES, target="late"))
    expected = booster.predict(xgboost.DMatrix(data) if train is train_xgboost else data)
    check(flights, target, expected)


@pytest.mark.parametrize(
    "model",
    [
        xgboost.XGBClassifier(n_estimators=10, n_jobs=1),
        lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1),
    ],
)
def test_estimators_know_their_classes(
    flights: pa.Table, target: Path, wishes: MakeWishes, model: Any
) -> None:
    data, truth = training(flights, "multiclass")
    model.fit(data, truth)
    bundle = package(model, flights, target, wishes=wishes(features=NAMES)).bundle
    assert bundle.spec.classes == ("0", "1", "2")
    check(flights, target, model.predict_proba(data))


def test_early_stopping_is_kept(flights: pa.Table, target: Path, wishes: MakeWishes) -> None:
    data, truth = training(flights, "binary")
    model = xgboost.XGBClassifier(n_estimators=200, learning_rate=0.5, early_stopping_rounds=3, n_jobs=1)
    model.fit(data[:300], truth[:300], eval_set=[(data[300:], truth[300:])], verbose=False)
    assert model.best_iteration < 100
    package(model, flights, target, wishes=wishes(features=NAMES))
    check(flights, target, model.predict_proba(data)[:, 1])


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_pandas_categories_keep_the_order_of_training(
    flights: pa.Table, target: Path, wishes: MakeWishes, library: str
) -> None:
    """Trained on a frame whose categories are in another order than the alphabet's."""
    order = CARRIERS[::-1]
    frame = flights.select(["delay", "carrier"]).to_pandas()
    frame["carrier"] = frame["carrier"].astype("object").astype("category").cat.set_categories(order)
    frame.loc[::10, "carrier"] = None
    truth = flights["minutes"].to_numpy()
    if library == "lightgbm":
        model = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(frame, truth), 10)
        expected = model.predict(frame)
        table = pa.table({"delay": frame["delay"], "carrier": frame["carrier"].astype(object)})
    else:
        matrix = xgboost.DMatrix(frame, truth, enable_categorical=True)
        model = xgboost.train({"nthread": 1}, matrix, 10)
        expected = model.predict(matrix)
        table = pa.Table.from_pandas(frame)  # dictionary-encoded: carries the order itself
    bundle = package(model, table, target, wishes=wishes()).bundle
    assert bundle.spec.features[1].categories == order
    rows = table.to_pylist()
    assert rows[10]["carrier"] is None
    np.testing.assert_allclose(Scorer.load(bundle).score_rows(rows), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("suffix", "library"), [(".json", "XGBoost"), (".ubj", "XGBoost"), (".txt", "LightGBM")]
)
def test_a_file_that_is_no_model_is_named(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, suffix: str, library: str
) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_text("this is no model")
    with pytest.raises(BundleError, match=rf"broken{suffix} cannot be read as an? {library} model"):
        package(path, flights, target, wishes=wishes())


def test_xgboost_on_a_frame_with_whole_and_boolean_columns(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    """XGBoost splits such columns in another notation, which onnxmltools does not read by itself."""
    frame = flights.select(["hour", "rain", "delay"]).to_pandas()
    model = xgboost.XGBRegressor(n_estimators=10, n_jobs=1).fit(frame, flights["minutes"].to_numpy())
    assert model.get_booster().feature_types == ["int", "i", "float"]
    bundle = package(model, flights, target, wishes=wishes()).bundle
    rows = flights.select(["hour", "rain", "delay"]).to_pylist()
    np.testing.assert_allclose(Scorer.load(bundle).score_rows(rows), model.predict(frame), atol=1e-4)
    assert model.get_booster().feature_types == ["int", "i", "float"]  # the person's model is untouched


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (
            xgboost.XGBClassifier(n_estimators=3, booster="dart"),
            "XGBoost's booster 'dart' cannot be converted",
        ),
        (
            lightgbm.LGBMClassifier(
                n_estimators=3, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, verbose=-1
            ),
            "LightGBM's boosting 'rf' cannot be converted",
        ),
        (
            lightgbm.LGBMRegressor(n_estimators=3, objective="l1", verbose=-1),
            r"onnxmltools .* cannot convert LightGBM regression_l1, 3 trees: use a model that the converter",
        ),
    ],
)
def test_a_kind_that_does_not_convert_is_named(
    flights: pa.Table, target: Path, wishes: MakeWishes, model: Any, problem: str
) -> None:
    data, truth = training(flights, "binary")
    with pytest.raises(BundleError, match=problem):
        package(model.fit(data, truth), flights, target, wishes=wishes(features=NAMES))
    assert not target.exists()
