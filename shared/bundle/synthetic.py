"""Rows drawn from the contract alone, for a bundle that must be tried without its data."""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.bundle.data import Row
from shared.bundle.spec import FeatureSpec, ModelSpec

_NULL_EVERY = 7
"""Nullable features are null in one row of so many."""


def synthetic_rows(spec: ModelSpec, count: int, seed: int = 0) -> list[Row]:
    """Return rows within the declared ranges and categories: their ends first, then random ones.

    Where no range is declared numbers are drawn from a standard normal distribution, so scores of
    such rows say that the graph runs, and nothing about the model.

    Examples
    --------
    >>> from shared.bundle.spec import OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="hour", dtype="int64", min=0, max=23),))
    >>> [row["hour"] for row in synthetic_rows(spec, 2)]
    [0, 23]
    """
    rng = np.random.default_rng(seed)
    columns = [_column(feature, index, count, rng) for index, feature in enumerate(spec.features)]
    names = [feature.name for feature in spec.features]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(feature: FeatureSpec, index: int, count: int, rng: np.random.Generator) -> list[Any]:
    if feature.kind == "boolean":
        values: list[Any] = [bool(row % 2) for row in range(count)]
    elif feature.kind == "categorical":
        categories = feature.categories or ("synthetic",)
        values = [categories[row % len(categories)] for row in range(count)]
    else:
        values = _numbers(feature, count, rng)
    if feature.nullable:  # at another row in each column, so that not all are null together
        values = [None if (row + index) % _NULL_EVERY == 2 else value for row, value in enumerate(values)]
    return values


def _numbers(feature: FeatureSpec, count: int, rng: np.random.Generator) -> list[Any]:
    low, high = feature.min, feature.max
    if low is not None and high is not None:
        drawn = rng.uniform(low, high, count)
        drawn[:2] = [low, high][:count]
    else:
        drawn = rng.standard_normal(count)
        drawn = drawn if low is None else low + np.abs(drawn)
        drawn = drawn if high is None else high - np.abs(drawn)
    if feature.dtype == "int64":
        least = -np.inf if low is None else np.ceil(low)
        most = np.inf if high is None else np.floor(high)
        return [int(value) for value in np.clip(np.round(drawn), least, most)]
    return [float(value) for value in drawn]
