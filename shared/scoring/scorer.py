"""A loaded model: feature columns in, scores out, one ONNX Runtime call per micro-batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import BundleError, ProcessError, WrongShape
from shared.messages.common import MOST_SCORE
from shared.scoring.isolated import ModelLost
from shared.scoring.matrix import Column, MatrixEncoder

Floats = npt.NDArray[np.floating[Any]]


class BundleLike(Protocol):
    """What the scorer needs of a bundle."""

    @property
    def spec(self) -> ModelSpec: ...  # noqa: D102

    @property
    def model_path(self) -> Path: ...  # noqa: D102


@dataclass(slots=True)
class Scores:
    """The answers for ``n`` rows.

    Attributes
    ----------
    score
        Shape ``(n,)``: probability of the positive class, probability of the most likely class,
        or the predicted value; NaN where the model failed on the row.
    classes
        Shape ``(n,)``: index of the decided class; ``None`` for regression.
    probabilities
        Shape ``(n, k)`` for multiclass, else ``None``.
    failed
        Why, by row, for rows the model raised on or answered with a value that is not finite.
    """

    score: Floats
    classes: npt.NDArray[np.intp] | None = None
    probabilities: Floats | None = None
    failed: dict[int, ProcessError] = field(default_factory=dict)

    def select(self, rows: list[int]) -> Scores:
        """Return the answers for ``rows`` only."""
        return Scores(
            self.score[rows],
            None if self.classes is None else self.classes[rows],
            None if self.probabilities is None else self.probabilities[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Return the answers for consecutive rows as one.

        Examples
        --------
        >>> one = Scores(np.array([0.1, np.nan]), failed={1: ProcessError("no")})
        >>> Scores.joined([one, one]).failed.keys()
        dict_keys([1, 3])
        """
        failed: dict[int, ProcessError] = {}
        first, at = parts[0], 0
        for part in parts:
            failed |= {at + row: error for row, error in part.failed.items()}
            at += len(part.score)
        return cls(
            np.concatenate([part.score for part in parts]),
            None if first.classes is None else np.concatenate([part.classes for part in parts]),
            None if first.probabilities is None else np.concatenate([part.probabilities for part in parts]),
            failed,
        )

    def labels(self, spec: ModelSpec) -> Iterable[str | None]:
        """Return the decided label of each row, ``None`` for regression."""
        if self.classes is None:
            return repeat(None, len(self.score))
        names = spec.classes or ("0", "1")
        return [names[index] for index in self.classes.tolist()]

    def probabilities_by_label(self, spec: ModelSpec) -> Iterable[dict[str, float] | None]:
        """Return each row's probability by label, ``None`` unless the model is multiclass."""
        if self.probabilities is None:
            return repeat(None, len(self.score))
        return [dict(zip(spec.classes, row, strict=True)) for row in self.probabilities.tolist()]


class Scorer:
    """Scores events of one model version; ``predict`` is safe in a thread.

    Parameters
    ----------
    spec
        The model's contract.
    session
        An ``onnxruntime.InferenceSession`` over the model's graph.
    """

    def __init__(self, spec: ModelSpec, session: Any) -> None:
        self.spec = spec
        self._session = session
        self._outputs = [spec.output.score]
        self._encoder = MatrixEncoder(
            spec, [(node.name, node.type, len(node.shape)) for node in session.get_inputs()]
        )

    @classmethod
    def over(cls, bundle: BundleLike, session: Any) -> Scorer:
        """Return a scorer for a bundle over a session of its graph.

        Raises
        ------
        BundleError
            The graph lacks the declared score output.
        """
        names = [node.name for node in session.get_outputs()]
        if bundle.spec.output.score not in names:
            raise BundleError(
                f"output.score is {bundle.spec.output.score!r}, "
                f"but model.onnx has the outputs {', '.join(names)}"
            )
        return cls(bundle.spec, session)

    @classmethod
    def load(cls, bundle: BundleLike, *, threads: int = 1) -> Scorer:
        """Return a warm scorer for a bundle.

        Raises
        ------
        BundleError
            ONNX Runtime refuses the graph, or the graph lacks the declared score output.
        """
        import onnxruntime as ort  # heavy, and not needed by services that do not score

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(
                str(bundle.model_path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own without a common base
            raise BundleError(f"model.onnx cannot be loaded by ONNX Runtime: {error}") from error
        return cls.over(bundle, session)

    def predict(self, columns: Sequence[Column]) -> Scores:
        """Return the scores of ``n`` rows given as one column per feature.

        A row that makes the model raise does not take the others with it: the micro-batch is
        halved until the row is alone, and only that row is marked as failed.

        Raises
        ------
        ModelLost
            The model runs in a process of its own, and that is gone: no row is at fault.
        """
        raw, failed = self._run(columns, 0, len(columns[0]))
        scores = self._interpret(raw)
        limit = min(MOST_SCORE, float(np.finfo(scores.score.dtype).max))
        good = np.abs(scores.score) <= limit  # false of NaN and of what is infinite
        if scores.probabilities is not None:
            good &= np.isfinite(scores.probabilities).all(axis=1)
        for row in np.flatnonzero(~good).tolist():
            failed.setdefault(row, ProcessError(_no_answer(raw[row])))
        scores.failed = failed
        return scores

    def warm_up(self) -> None:
        """Score one row that fits the model's own contract, so that the first event pays nothing.

        Raises
        ------
        BundleError
            The graph fails on that row.
        """
        try:
            scores = self.predict([[_typical(feature)] for feature in self.spec.features])
        except ModelLost as error:
            raise BundleError(f"the model fails on a row that fits its model.toml: {error}") from error
        if scores.failed:
            raise BundleError(f"the model fails on a row that fits its model.toml: {scores.failed[0]}")

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the scores of rows given as mappings by feature name.

        Shape ``(n,)``, or ``(n, k)`` probabilities for a multiclass model.

        Raises
        ------
        ProcessError
            The model fails on a row; the message gives the row's position.
        """
        scores = self.predict([[row.get(feature.name) for row in rows] for feature in self.spec.features])
        if scores.failed:
            row, error = min(scores.failed.items())
            raise ProcessError(f"row {row}: {error}") from error
        return scores.score if scores.probabilities is None else scores.probabilities

    def _run(
        self, columns: Sequence[Column], first: int, size: int
    ) -> tuple[Floats, dict[int, ProcessError]]:
        try:
            raw = self._session.run(self._outputs, self._encoder.encode(columns))[0]
            raw = self._one_answer_per_row(raw, size)
        except ModelLost:
            raise  # no row is at fault
        except Exception as error:  # onnxruntime raises classes of its own without a common base
            if size == 1:
                failure = ProcessError(f"the model failed on this event: {error}")
                return self._blank(), {first: error if isinstance(error, WrongShape) else failure}
        else:
            return raw, {}
        half = size // 2
        left, left_failed = self._run([column[:half] for column in columns], first, half)
        right, right_failed = self._run([column[half:] for column in columns], first + half, size - half)
        return np.concatenate([left, right]), left_failed | right_failed

    def _one_answer_per_row(self, raw: Floats, size: int) -> Floats:
        """Return the score output as ``(n,)``, or ``(n, k)`` for a multiclass model.

        Raises
        ------
        WrongShape
            It has another shape than the contract declares.
        """
        if self.spec.task == "multiclass":
            if raw.shape == (size, len(self.spec.classes)):
                return raw
        elif raw.size == size and raw.ndim and raw.shape[0] == size:
            return raw.reshape(size)
        elif self.spec.task == "binary" and raw.shape == (size, 2):
            return raw[:, self.spec.output.positive]
        raise WrongShape(f"the model answered an array of shape {raw.shape} for {size} rows")

    def _blank(self) -> Floats:
        """Return the answer for one row that has none."""
        shape = (1, len(self.spec.classes)) if self.spec.task == "multiclass" else (1,)
        return np.full(shape, np.nan, dtype=np.float32)

    def _interpret(self, raw: Floats) -> Scores:
        if self.spec.task == "multiclass":
            classes = np.where(np.isnan(raw), -np.inf, raw).argmax(axis=1)
            return Scores(raw[np.arange(len(raw)), classes], classes, raw)
        if self.spec.task == "regression":
            return Scores(raw)
        # In the score's own precision, so that a float32 score of 0.1 meets a threshold written as 0.1.
        threshold = raw.dtype.type(self.spec.threshold)
        return Scores(raw, (raw >= threshold).astype(np.intp))


def _no_answer(raw: Any) -> str:
    """Say what is wrong with the score, or the probabilities, of one row."""
    if raw.ndim:
        return f"the model answered the probabilities {raw.tolist()}, not all of them finite"
    what = "beyond 1e100" if np.isfinite(raw) else "not a finite score"
    return f"the model answered {raw}, {what}"


def _typical(feature: FeatureSpec) -> Any:
    """Return a value the feature admits."""
    if feature.kind == "boolean":
        return False
    if feature.kind == "categorical":
        return feature.categories[0] if feature.categories else ""
    low = feature.min if feature.min is not None else -np.inf
    high = feature.max if feature.max is not None else np.inf
    nearest_to_zero = min(max(0.0, low), high)
    return int(nearest_to_zero) if feature.dtype == "int64" else nearest_to_zero
