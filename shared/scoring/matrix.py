"""Columns of Python values to the arrays an ONNX graph takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.bundle.spec import FeatureSpec, ModelSpec

Column = Sequence[Any] | npt.NDArray[Any]
"""``n`` values of one feature: an array where none can be missing, else a list with ``None`` for missing."""

Inputs = dict[str, npt.NDArray[Any]]
"""Array by ONNX input name, the first axis being events."""

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class MatrixEncoder:
    """Encodes feature columns as one matrix, or as one array per feature.

    Parameters
    ----------
    spec
        Features in order, with kinds, categories and encodings.
    inputs
        ``(name, ONNX type, rank)`` of each graph input. A single input takes the whole matrix
        ``(n, width)``; several inputs are named after the features and take ``(n, 1)`` or ``(n,)``.

    Examples
    --------
    >>> from shared.bundle.spec import OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...     features=(FeatureSpec(name="x", nullable=True),
    ...               FeatureSpec(name="c", kind="categorical", categories=("a", "b"), encoding="one-hot")))
    >>> MatrixEncoder(spec, [("X", "tensor(float)", 2)]).encode([(1.5, None), ("b", "a")])["X"]
    array([[1.5, 0. , 1. ],
           [nan, 1. , 0. ]], dtype=float32)
    """

    def __init__(self, spec: ModelSpec, inputs: Sequence[tuple[str, str, int]]) -> None:
        self._features = spec.features
        self._coders = [_coder(feature) for feature in spec.features]
        self._matrix = inputs[0] if len(inputs) == 1 and not _is_feature_input(spec, inputs) else None
        self._inputs: Mapping[str, tuple[str, int]] = {name: (kind, rank) for name, kind, rank in inputs}

    def encode(self, columns: Sequence[Column]) -> Inputs:
        """Return the graph's inputs for ``n`` events given as one column per feature."""
        coded = [
            coder(column) if coder is not None else column
            for coder, column in zip(self._coders, columns, strict=True)
        ]
        if self._matrix is None:
            return {
                feature.name: self._one_input(feature, column)
                for feature, column in zip(self._features, coded, strict=True)
            }
        rows = [row for column in coded for row in (column if _is_one_hot(column) else (column,))]
        # Column by column into Fortran order, then one transposition to the rows ONNX wants.
        matrix = np.array(rows, dtype=_DTYPES[self._matrix[1]])
        return {self._matrix[0]: np.ascontiguousarray(matrix.T)}

    def _one_input(self, feature: FeatureSpec, column: Column) -> npt.NDArray[Any]:
        kind, rank = self._inputs[feature.name]
        if kind == "tensor(string)":
            array = np.array(["" if value is None else value for value in column], dtype=np.object_)
        else:
            array = np.asarray(column, dtype=_DTYPES[kind])
            if array.ndim == 2:  # one-hot columns stand as rows here
                return np.ascontiguousarray(array.T)
        return array[:, None] if rank == 2 else array


def _is_one_hot(column: Column) -> bool:
    """Return whether a coded column is one-hot, one row per category."""
    return isinstance(column, np.ndarray) and column.ndim == 2


def _is_feature_input(spec: ModelSpec, inputs: Sequence[tuple[str, str, int]]) -> bool:
    """Return whether a single input is the model's only feature by name, not a matrix."""
    return len(spec.features) == 1 and inputs[0][0] == spec.features[0].name


def _strings(known: frozenset[str]) -> Callable[[Column], Any]:
    """Return what leaves known categories as they are and makes any other value a missing one."""
    return lambda column: [value if value in known else None for value in column]


def _coder(feature: FeatureSpec) -> Callable[[Column], Any] | None:
    """Return what turns a categorical column into numbers, or None where values go in as they are."""
    if feature.kind != "categorical":
        return None
    if feature.encoding == "string":
        return _strings(frozenset(feature.categories)) if feature.categories else None
    # An unlisted value can only be null, or a category declared as unknown = "missing": NaN both.
    codes = {category: float(index) for index, category in enumerate(feature.categories or ())}
    if feature.encoding == "ordinal":
        return lambda column: [codes.get(value, np.nan) for value in column]
    slots = np.arange(len(codes), dtype=np.float64)[:, None]
    return lambda column: slots == np.array([codes.get(value, np.nan) for value in column])
