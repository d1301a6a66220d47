"""The graph's inputs and outputs against the contract: each mismatch names the feature."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bundle.signature import Tensor, signature_problems
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec

SCORE = Tensor("p", "tensor(float)", ["n", 2])
X = FeatureSpec(name="x")
HOUR = FeatureSpec(name="hour", dtype="int64")
OF_DAY = FeatureSpec(name="hour", dtype="int64", min=0, max=23)
RAIN = FeatureSpec(name="rain", kind="boolean", dtype="bool")
ORDINAL = FeatureSpec(name="c", kind="categorical", categories=("a", "b", "d"))
ONE_HOT = FeatureSpec(name="c", kind="categorical", categories=("a", "b", "d"), encoding="one-hot")
STRING = FeatureSpec(name="c", kind="categorical", encoding="string")
MAYBE = FeatureSpec(name="x", dtype="int64", nullable=True)


def contract(*features: FeatureSpec, **others: Any) -> ModelSpec:
    return ModelSpec(
        **{
            "name": "m",
            "version": "1",
            "task": "binary",
            "features": features,
            "output": OutputSpec(score="p"),
            **others,
        }
    )


def inputs(*nodes: tuple[str, str, list[Any]]) -> list[Tensor]:
    return [Tensor(name, f"tensor({kind})", shape) for name, kind, shape in nodes]


@pytest.mark.parametrize(
    ("features", "nodes"),
    [
        ([X, HOUR, RAIN, ORDINAL], [("X", "float", ["n", 4])]),
        ([X, ONE_HOT], [("X", "double", ["n", 4])]),
        ([X, ONE_HOT], [("X", "float", ["n", None])]),
        ([HOUR, RAIN, ORDINAL], [("X", "int64", ["n", 3])]),
        ([X], [("X", "float", [None, 1])]),
        ([X], [("x", "float", ["n"])]),
        ([STRING], [("c", "string", ["n", 1])]),
        ([X, STRING], [("c", "string", ["n"]), ("x", "float", ["n", 1])]),
        ([HOUR, RAIN], [("hour", "int64", ["n", 1]), ("rain", "bool", ["n", 1])]),
        ([OF_DAY, RAIN], [("hour", "int32", ["n", 1]), ("rain", "float", ["n", 1])]),
        ([X, ONE_HOT], [("x", "float", ["n", 1]), ("c", "float", ["n", 3])]),
        ([MAYBE, X], [("X", "float", ["n", 2])]),
    ],
)
def test_what_fits(features: list[FeatureSpec], nodes: list[Any]) -> None:
    assert signature_problems(contract(*features), inputs(*nodes), [SCORE]) == []


@pytest.mark.parametrize(
    ("features", "nodes", "problem"),
    [
        (
            [X, ONE_HOT],
            [("X", "float", ["n", 2])],
            "input X takes 2 columns, the declared features make 4 (x, c x 3)",
        ),
        ([X, HOUR], [("X", "float", ["n"])], "input X has the shape (n), expected (n, 2)"),
        (
            [X, HOUR],
            [("X", "float", [1, 2])],
            "input X has a fixed first axis of 1; export it with a dynamic batch",
        ),
        (
            [X, HOUR],
            [("X", "string", ["n", 2])],
            "input X takes tensor(string); a graph with one input takes numbers, "
            "and strings need one input per feature, named as the feature",
        ),
        (
            [X, STRING],
            [("X", "float", ["n", 2])],
            "feature c needs tensor(string), the input X takes tensor(float)",
        ),
        (
            [X, HOUR],
            [("X", "int64", ["n", 2])],
            "feature x is float32, the input X of tensor(int64) would cut its fraction",
        ),
        (
            [HOUR],
            [("X", "int32", ["n", 1])],
            "feature hour is int64, the input X of tensor(int32) needs min and max within 32 bits",
        ),
        (
            [MAYBE, HOUR],
            [("X", "int64", ["n", 2])],
            "feature x is nullable, and the input X of tensor(int64) cannot hold a missing value",
        ),
        (
            [X, HOUR],
            [("x", "float", ["n", 1]), ("minute", "float", ["n", 1])],
            "feature hour has no input in the graph (inputs: x, minute)",
        ),
        (
            [X, HOUR],
            [("x", "float", ["n", 1]), ("minute", "float", ["n", 1])],
            "input minute of the graph is no declared feature",
        ),
        (
            [X, HOUR],
            [("x", "float", ["n", 4]), ("hour", "int64", ["n", 1])],
            "feature x has an input of 4 columns, its declaration makes 1",
        ),
        (
            [X, HOUR],
            [("x", "float", ["n", 1, 1]), ("hour", "int64", ["n", 1])],
            "feature x has an input of shape (n, 1, 1), expected (n, 1)",
        ),
        (
            [X, ONE_HOT],
            [("x", "float", ["n", 1]), ("c", "float", ["n"])],
            "feature c has an input of shape (n), expected (n, 3)",
        ),
        (
            [X, ORDINAL],
            [("x", "float", ["n", 1]), ("c", "string", ["n", 1])],
            "feature c needs a tensor of numbers, the input c takes tensor(string) "
            "(declare encoding = 'string' where the graph encodes the categories)",
        ),
        (
            [X, HOUR],
            [("x", "bool", ["n", 1]), ("hour", "int64", ["n", 1])],
            "feature x is numeric, the input x takes tensor(bool)",
        ),
        (
            [X, HOUR],
            [("x", "float16", ["n", 1]), ("hour", "int64", ["n", 1])],
            "feature x has an input of the unsupported type tensor(float16)",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_named(
    features: list[FeatureSpec], nodes: list[Any], problem: str
) -> None:
    assert problem in signature_problems(contract(*features), inputs(*nodes), [SCORE])


THREE = {"task": "multiclass", "classes": ("a", "b", "c")}
REGRESSION = {"task": "regression"}


@pytest.mark.parametrize(
    ("others", "output"),
    [
        ({}, SCORE),
        ({}, Tensor("p", "tensor(float)", ["n"])),
        ({}, Tensor("p", "tensor(double)", ["n", 1])),
        ({}, Tensor("p", "tensor(float)", ["n", None])),
        (THREE, Tensor("p", "tensor(float)", ["n", 3])),
        (REGRESSION, Tensor("p", "tensor(float)", ["n", 1])),
        (REGRESSION, Tensor("p", "tensor(float)", ["n"])),
    ],
)
def test_a_score_that_fits(others: dict[str, Any], output: Tensor) -> None:
    assert signature_problems(contract(X, **others), inputs(("x", "float", ["n"])), [output]) == []


@pytest.mark.parametrize(
    ("others", "output", "problem"),
    [
        ({}, Tensor("q", "tensor(float)", ["n", 2]), "output.score is 'p', the graph has q"),
        (
            {},
            Tensor("p", "seq(map(int64,tensor(float)))", []),
            "output p is a sequence of maps (ZipMap), which is slow and no tensor: "
            "convert the model again with zipmap=False",
        ),
        ({}, Tensor("p", "tensor(int64)", ["n"]), "output p is tensor(int64), a score is tensor(float) or"),
        ({}, Tensor("p", "tensor(float)", ["n", 3]), "the shape (n, 3), task 'binary' needs (n, 2), (n, 1)"),
        ({}, Tensor("p", "tensor(float)", [1, 2]), "output p has a fixed first axis of 1"),
        (THREE, Tensor("p", "tensor(float)", ["n", 2]), "the shape (n, 2), task 'multiclass' needs (n, 3)"),
        (THREE, Tensor("p", "tensor(float)", ["n"]), "the shape (n), task 'multiclass' needs (n, 3)"),
        (REGRESSION, SCORE, "the shape (n, 2), task 'regression' needs (n, 1) or (n,)"),
    ],
)
def test_a_score_that_does_not_fit(others: dict[str, Any], output: Tensor, problem: str) -> None:
    (found,) = signature_problems(contract(X, **others), inputs(("x", "float", ["n"])), [output])
    assert problem in found
