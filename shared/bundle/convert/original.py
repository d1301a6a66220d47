"""What packaging needs of a model, whichever library trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.bundle.spec import Encoding, ModelSpec, Task
from shared.errors import BundleError
from shared.scoring.matrix import MatrixEncoder

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model says of itself; None where it does not say.

    Attributes
    ----------
    score
        Name of the graph output with the score.
    task, classes
        As in ``model.toml``.
    features
        Names of the columns it was trained on, in order.
    encoding
        How its string columns reach the graph, unless ``model.toml`` says otherwise.
    categories
        Category order by feature, where the model carries it.
    """

    score: str
    task: Task | None = None
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    encoding: Encoding = "ordinal"
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Original(Protocol):
    """A model as its own library holds it."""

    @property
    def title(self) -> str:
        """Return library and class, for people."""

    @property
    def facts(self) -> Facts:
        """Return what the model says of itself."""

    def to_onnx(self, spec: ModelSpec) -> bytes:
        """Return the graph that takes the features of ``spec``."""

    def predict(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Floats:
        """Return the model's own scores, shaped as :meth:`shared.scoring.scorer.Scorer.score_rows`."""


def encoded_matrix(spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> npt.NDArray[np.float64]:
    """Return the features as the float64 matrix ``(n, width)`` a model without names is trained on."""
    name = "\0matrix"  # no feature can be called so, hence the encoder takes it for a matrix
    return MatrixEncoder(spec, [(name, "tensor(double)", 2)]).encode(columns)[name]


def pick(spec: ModelSpec, raw: Floats) -> Floats:
    """Return raw predictions in the shape of a score: ``(n,)``, or ``(n, k)`` for a multiclass task.

    Raises
    ------
    BundleError
        The predictions have another number of classes than ``model.toml`` declares.
    """
    if spec.task == "multiclass":
        if raw.ndim != 2 or raw.shape[1] != len(spec.classes):
            shape = raw.shape[1] if raw.ndim == 2 else 1
            raise BundleError(f"classes lists {len(spec.classes)} labels, the model predicts {shape}")
        return raw
    if spec.task == "binary" and raw.ndim == 2 and raw.shape[1] == 2:
        return raw[:, spec.output.positive]
    if raw.size != len(raw):
        raise BundleError(f"task is {spec.task!r}, but the model predicts {raw.shape[1]} values a row")
    return raw.reshape(len(raw))


def class_labels(values: Sequence[Any]) -> tuple[str, ...]:
    """Return class values as the labels of ``model.toml``.

    Examples
    --------
    >>> class_labels(np.array([False, True])), class_labels([0.0, 1.0]), class_labels(["a", "b"])
    (('false', 'true'), ('0', '1'), ('a', 'b'))
    """
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    return tuple(_label(value) for value in plain)


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
