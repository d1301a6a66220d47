"""Scores equal a computation in NumPy; a row the model fails on does not take the others with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.bundle.signature import Tensor
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.errors import BundleError, ProcessError
from shared.scoring.matrix import MatrixEncoder
from shared.scoring.scorer import Scorer
from tests.models import linear, numeric_spec, table, table_spec, write_bundle


def test_scores_equal_numpy(tmp_path: Path) -> None:
    scorer = Scorer.load(write_bundle(tmp_path / "b", linear(3, [0.5, -2.0, 1.0], 0.25), numeric_spec()))
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    scores = scorer.predict(x.T.tolist())
    expected = 1 / (1 + np.exp(-(x @ np.array([0.5, -2.0, 1.0]) + 0.25)))
    np.testing.assert_allclose(scores.score, expected, rtol=0, atol=1e-6)
    assert list(scores.labels(scorer.spec)) == ["yes" if p >= 0.5 else "no" for p in scores.score]


def test_threshold_is_met_in_the_scores_own_precision(tmp_path: Path) -> None:
    spec = numeric_spec(1, threshold=0.1)
    logit = float(np.log(0.1 / 0.9))
    scorer = Scorer.load(write_bundle(tmp_path / "b", linear(1, [0.0], logit), spec))
    score = scorer.predict([[0.0]])
    if score.score[0] >= np.float32(0.1):
        assert list(score.labels(spec)) == ["yes"]
    else:
        assert list(score.labels(spec)) == ["no"]


def test_only_the_rows_the_model_raises_on_fail(tmp_path: Path) -> None:
    scorer = Scorer.load(write_bundle(tmp_path / "b", table([1.0, 2.0, float("nan")]), table_spec(3)))
    scores = scorer.predict([[0, 99, 1, 2, 1, 77]])
    assert sorted(scores.failed) == [1, 3, 5]
    assert "out of" in str(scores.failed[1])
    assert str(scores.failed[3]) == "the model answered nan, not a finite score"
    assert scores.score[[0, 2, 4]].tolist() == [1.0, 2.0, 2.0]
    assert scores.select([0, 2, 4]).score.tolist() == [1.0, 2.0, 2.0]


class Answering:
    """A session that gives an answer already known."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_inputs(self) -> list[Tensor]:
        return [Tensor("X", "tensor(float)", ["n", 3])]

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        return [self.answer[: len(inputs["X"])]]


def test_a_row_with_a_probability_that_is_no_number_fails_though_another_class_is_likely() -> None:
    answer = np.array([[0.2, 0.3, 0.5], [0.9, np.nan, 0.1], [0.1, 0.8, 0.1]], np.float32)
    spec = numeric_spec(3, task="multiclass", classes=("a", "b", "c"))
    scores = Scorer(spec, Answering(answer)).predict([np.zeros(3)] * 3)
    assert sorted(scores.failed) == [1]
    assert "nan, 0.1" in str(scores.failed[1])
    assert "not all of them finite" in str(scores.failed[1])


def test_a_value_whose_square_is_no_number_fails() -> None:
    answer = np.array([1e99, -1e101, np.inf, 5.0])
    scores = Scorer(numeric_spec(3, task="regression"), Answering(answer)).predict([np.zeros(4)] * 3)
    assert {row: str(error) for row, error in scores.failed.items()} == {
        1: "the model answered -1e+101, beyond 1e100",
        2: "the model answered inf, not a finite score",
    }


def test_score_rows_says_which_row_failed(tmp_path: Path) -> None:
    scorer = Scorer.load(write_bundle(tmp_path / "b", table([1.0]), table_spec(1)))
    with pytest.raises(ProcessError, match="row 1: the model failed"):
        scorer.score_rows([{"row": 0}, {"row": 5}])


def test_a_graph_without_the_declared_output_is_refused(tmp_path: Path) -> None:
    spec = numeric_spec(output=OutputSpec(score="chance"))
    with pytest.raises(BundleError, match=r"output.score is 'chance', but model.onnx has .*probabilities"):
        Scorer.load(write_bundle(tmp_path / "b", linear(3), spec))


def test_bytes_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", linear(3), numeric_spec())
    bundle.model_path.write_bytes(b"no protobuf")
    with pytest.raises(BundleError, match=r"model.onnx cannot be loaded"):
        Scorer.load(bundle)


def test_warm_up_fails_on_a_model_that_cannot_score_its_own_contract(tmp_path: Path) -> None:
    spec = table_spec(1)
    scorer = Scorer.load(write_bundle(tmp_path / "b", table([float("inf")]), spec))
    with pytest.raises(BundleError, match="fails on a row that fits"):
        scorer.warm_up()


MIXED = ModelSpec(
    name="m",
    version="1",
    task="regression",
    output=OutputSpec(score="y"),
    features=(
        FeatureSpec(name="x", nullable=True),
        FeatureSpec(name="c", kind="categorical", categories=("a", "b"), nullable=True),
        FeatureSpec(name="h", kind="categorical", categories=("p", "q"), encoding="one-hot"),
        FeatureSpec(name="s", kind="categorical", encoding="string", nullable=True),
        FeatureSpec(name="f", kind="boolean"),
    ),
)
COLUMNS = [(1.5, None), ("b", None), ("p", "q"), ("word", None), (True, False)]


def test_one_array_per_feature() -> None:
    inputs = [
        ("x", "tensor(float)", 2),
        ("c", "tensor(float)", 2),
        ("h", "tensor(float)", 2),
        ("s", "tensor(string)", 2),
        ("f", "tensor(bool)", 1),
    ]
    arrays = MatrixEncoder(MIXED, inputs).encode(COLUMNS)
    np.testing.assert_array_equal(arrays["x"], np.array([[1.5], [np.nan]], np.float32))
    np.testing.assert_array_equal(arrays["c"], np.array([[1.0], [np.nan]], np.float32))
    np.testing.assert_array_equal(arrays["h"], np.array([[1, 0], [0, 1]], np.float32))
    assert arrays["s"].tolist() == [["word"], [""]]
    assert arrays["f"].tolist() == [True, False]


def test_one_matrix_in_the_declared_order() -> None:
    spec = ModelSpec(
        name="m",
        version="1",
        task="regression",
        output=OutputSpec(score="y"),
        features=(*MIXED.features[:3], MIXED.features[4]),
    )
    (matrix,) = MatrixEncoder(spec, [("X", "tensor(double)", 2)]).encode([*COLUMNS[:3], COLUMNS[4]]).values()
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, [[1.5, 1, 1, 0, 1], [np.nan, np.nan, 0, 1, 0]])


def test_a_value_outside_declared_string_categories_counts_as_missing() -> None:
    feature = FeatureSpec(
        name="s", kind="categorical", encoding="string", categories=("a",), unknown="missing", nullable=True
    )
    spec = ModelSpec(
        name="m", version="1", task="regression", output=OutputSpec(score="y"), features=(feature,)
    )
    (array,) = MatrixEncoder(spec, [("s", "tensor(string)", 2)]).encode([("a", "zzz", None)]).values()
    assert array.tolist() == [["a"], [""], [""]]
