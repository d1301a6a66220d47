"""Orders that the scores could not tell apart."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bundle.agreement import check_agreement
from shared.bundle.convert.original import Facts
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.errors import BundleError


def contract(categories: tuple[str, ...] = ("a", "b"), encoding: Any = "ordinal") -> ModelSpec:
    return ModelSpec(
        name="m",
        version="1",
        task="binary",
        output=OutputSpec(score="p"),
        features=(
            FeatureSpec(name="x"),
            FeatureSpec(name="c", kind="categorical", categories=categories, encoding=encoding),
        ),
        classes=("no", "yes"),
    )


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (
            Facts("p", features=("c", "x")),
            "features are declared in the order x, c, and the model has them as c, x",
        ),
        (Facts("p", classes=("yes", "no")), "classes are declared in the order no, yes, and the model has"),
        (
            Facts("p", categories={"c": ("b", "a")}),
            "categories of c are declared in the order a, b, and the model has them as b, a",
        ),
    ],
)
def test_another_order_is_refused(facts: Facts, problem: str) -> None:
    with pytest.raises(BundleError) as caught:
        check_agreement(contract(), facts)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    "facts",
    [
        Facts("p"),
        Facts("p", features=("x", "c"), classes=("no", "yes"), categories={"c": ("a", "b")}),
        Facts("p", features=("f0", "f1"), classes=("0", "1"), categories={"c": ("A", "B")}),
    ],
)
def test_the_same_order_and_other_names_pass(facts: Facts) -> None:
    check_agreement(contract(), facts)


@pytest.mark.parametrize("encoding", ["one-hot", "string"])
def test_the_order_of_categories_matters_for_codes_only(encoding: str) -> None:
    check_agreement(contract(encoding=encoding), Facts("p", categories={"c": ("b", "a")}))
