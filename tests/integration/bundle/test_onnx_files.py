"""ONNX files: taken as they are, refused with the feature's name where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.bundle.package import package
from shared.errors import BundleError
from tests.integration.bundle.conftest import MakeWishes

NUMBERS = ("distance", "hour", "delay")


@pytest.fixture
def model(flights: pa.Table) -> Any:
    data = flights.select(NUMBERS).to_pandas().to_numpy(dtype=np.float64)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    return scaled.fit(data, flights["late"].to_numpy(zero_copy_only=False))


def export(model: Any, path: Path, *, zipmap: bool = False, separate: bool = False) -> Path:
    types = (
        [(name, FloatTensorType([None, 1])) for name in NUMBERS]
        if separate
        else [("X", FloatTensorType([None, len(NUMBERS)]))]
    )
    options = {id(model): {"zipmap": zipmap}} if hasattr(model, "predict_proba") else None
    graph = to_onnx(model, initial_types=types, options=options)
    path.write_bytes(graph.SerializeToString())
    return path


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(BundleError) as caught:
        package(*arguments, **options)
    return str(caught.value)


def test_the_file_goes_in_byte_for_byte(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx")
    packaged = package(path, flights, target, wishes=wishes(features=NUMBERS, target="late"))
    assert (target / "model.onnx").read_bytes() == path.read_bytes()
    assert packaged.bundle.spec.output.score == "probabilities"
    assert packaged.bundle.spec.classes == ("false", "true")
    assert packaged.comparison is None
    assert packaged.rows == 600


def test_inputs_named_as_features_are_found_in_the_data(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx", separate=True)
    packaged = package(path, flights, target, wishes=wishes(target="late"), original=model, rows=50)
    assert tuple(feature.name for feature in packaged.bundle.spec.features) == NUMBERS
    assert packaged.comparison is not None
    assert packaged.comparison.rows == packaged.rows == 50
    assert packaged.comparison.max_difference < 1e-5


def test_another_model_as_the_original_is_refused(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx")
    data = flights.select(NUMBERS).to_pandas().to_numpy(dtype=np.float64)
    other = LogisticRegression(C=1e-6).fit(data, flights["late"].to_numpy(zero_copy_only=False))
    message = refusal(path, flights, target, wishes=wishes(features=NUMBERS), original=other)
    assert message.startswith("the ONNX graph and the original model differ by up to 0.")
    assert "above the tolerance 0.0001 in " in message
    assert not target.exists()
    loose = package(path, flights, target, wishes=wishes(features=NUMBERS), original=other, tolerance=1.0)
    assert loose.comparison is not None
    assert loose.comparison.max_difference > 1e-4


def test_features_in_another_order_are_refused(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    """The graph takes one matrix, so only the scores can tell that two columns were swapped."""
    frame = flights.select(NUMBERS).to_pandas().astype(np.float64)
    named = clone(model).fit(frame, flights["late"].to_pylist())
    path = export(model, tmp_path / "m.onnx")
    first = package(path, flights, target, wishes=wishes(features=NUMBERS, target="late"), original=named)
    assert first.comparison is not None
    toml = tmp_path / "swapped.toml"
    text = (target / "model.toml").read_text()
    toml.write_text(text.replace('"hour"', '"?"').replace('"delay"', '"hour"').replace('"?"', '"delay"'))
    message = refusal(path, flights, tmp_path / "second", toml=toml, original=named)
    assert message == (
        "features are declared in the order distance, delay, hour, "
        "and the model has them as distance, hour, delay"
    )


def test_a_zipmap_is_refused_with_advice(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx", zipmap=True)
    message = refusal(path, flights, target, wishes=wishes(features=NUMBERS, task="binary"))
    assert "is a sequence of maps (ZipMap)" in message
    assert "zipmap=False" in message


def test_a_matrix_of_another_width_is_refused(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx")
    message = refusal(path, flights, target, wishes=wishes(features=("distance", "hour")))
    assert "input X takes 3 columns, the declared features make 2 (distance, hour)" in message


def test_a_feature_that_the_graph_lacks_is_named(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx", separate=True)
    message = refusal(path, flights, target, wishes=wishes(features=("distance", "hour", "wind")))
    assert "feature wind has no input in the graph (inputs: distance, hour, delay)" in message
    assert "input delay of the graph is no declared feature" in message


def test_a_model_that_answers_nan_is_refused(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes
) -> None:
    """A linear model cannot take the nulls of ``wind``: its score of them is NaN."""
    names = ("distance", "hour", "wind")
    frame = flights.select(names).to_pandas().dropna().astype(np.float64)
    path = export(LinearRegression().fit(frame.to_numpy(), frame["hour"]), tmp_path / "m.onnx")
    message = refusal(path, flights, target, wishes=wishes(features=names, task="regression"))
    nulls = flights["wind"].null_count
    assert message.startswith(f"the model fails on {nulls} of 600 rows; checked row ")
    assert "not a finite score" in message


def test_a_given_contract_that_the_data_breaks_names_field_and_row(
    flights: pa.Table, target: Path, tmp_path: Path, model: Any
) -> None:
    toml = tmp_path / "model.toml"
    toml.write_text(
        'name = "m"\nversion = "1"\ntask = "binary"\noutput = {score = "probabilities"}\n'
        'features = [{name = "distance"}, {name = "hour", max = 22}, {name = "delay"}]\n'
    )
    message = refusal(export(model, tmp_path / "m.onnx"), flights, target, toml=toml)
    row = flights["hour"].to_pylist().index(23)
    assert f"the first is checked row {row}: features.hour is 23, above the declared maximum 22" in message


def test_a_wrong_key_in_a_given_contract_is_named(
    flights: pa.Table, target: Path, tmp_path: Path, model: Any
) -> None:
    toml = tmp_path / "model.toml"
    toml.write_text('name = "m"\nversion = "1"\ntaks = "binary"\n')
    assert "taks" in refusal(export(model, tmp_path / "m.onnx"), flights, target, toml=toml)


def test_an_existing_target_is_refused_before_the_work(tmp_path: Path) -> None:
    message = refusal(tmp_path / "never-read.onnx", tmp_path / "never-read.csv", tmp_path)
    assert message.startswith(f"{tmp_path} exists already")


def test_a_fixed_batch_is_refused(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, model: Any
) -> None:
    path = export(model, tmp_path / "m.onnx")
    graph = onnx.load(path)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, path)
    message = refusal(path, flights, target, wishes=wishes(features=NUMBERS))
    assert "input X has a fixed first axis of 1; export it with a dynamic batch" in message


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("broken.onnx", "broken.onnx cannot be loaded by ONNX Runtime"),
        ("broken.pkl", "broken.pkl cannot be unpickled"),
        ("model.h5", "model.h5: a model is read from .onnx, .json or .ubj (XGBoost), .txt (LightGBM)"),
    ],
)
def test_an_unreadable_model_is_named(
    flights: pa.Table, target: Path, tmp_path: Path, wishes: MakeWishes, name: str, problem: str
) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    assert problem in refusal(tmp_path / name, flights, target, wishes=wishes())


def test_an_object_of_an_unknown_library_is_named(
    flights: pa.Table, target: Path, wishes: MakeWishes
) -> None:
    message = refusal(object(), flights, target, wishes=wishes())
    assert message.startswith("object of builtins is no scikit-learn, XGBoost or LightGBM model")
